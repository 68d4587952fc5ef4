"""The administration in a real browser, under the same Content Security Policy as the chat."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import Person
from tests.browser.test_access import violations
from tests.browser.test_chat import send, wait_for_text
from tests.browser.test_page import DESKTOP, PHONE
from tests.servers import ADMIN, ServerProcess

PAGES = (
    "",
    "chat/conversation/",
    "chat/transcriptread/",
    "chat/endpoint/",
    "chat/endpoint/demo/change/",
    "chat/chatmodel/",
    "chat/chatmodel/1/change/",
    "chat/user/",
    "chat/user/add/",
    "chat/user/1/change/",
    "chat/user/1/login-link/",
    "auth/group/add/",
)


def test_every_page_of_the_administration_obeys_the_policy(person: Person) -> None:
    page = person.page
    for path in PAGES:
        answer = page.goto(f"{person.url}/admin/{path}")
        assert answer is not None
        assert answer.status == 200, path
        expect(page.locator("#header")).to_have_css("display", "flex")  # Its style sheet was allowed,
        expect(page.locator("body")).to_have_css("background-color", "rgb(253, 252, 250)")  # and so was ours,
    page.goto(f"{person.url}/admin/auth/group/add/")
    expect(page.locator(".selector-available")).to_be_visible()  # and its scripts were.


def test_a_transcript_is_found_and_read(person: Person) -> None:
    page = person.page
    wait_for_text(send(page, "Which transcript is this?"), 10)
    page.goto(f"{person.url}/admin/chat/conversation/")
    page.get_by_role("searchbox").or_(page.locator("#searchbar")).first.fill("which transcript")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="Which transcript is this?").first.click()
    expect(page.get_by_role("article").first).to_contain_text("Which transcript is this?")
    expect(page.get_by_role("article").nth(1)).to_contain_text("Demo")
    expect(page.get_by_text("Your access to this chat is recorded.")).to_be_visible()
    page.goto(f"{person.url}/admin/chat/transcriptread/")
    expect(page.locator("#result_list")).to_contain_text("Read")


LISTS = [path for path in PAGES if path.count("/") == 2 and "add" not in path] + [
    "auth/group/",
    "mfa/authenticator/",
]
LONG = "W" * 190
# What the lists have to hold: one long word each, as people and providers write them.
LONG_ENTRIES = f"""
from uuid import uuid4
from django.contrib.auth.models import Group
from django.utils import timezone
from allauth.mfa.models import Authenticator
from chat.models import *
from chat.models.audit import add_to_record
person, _ = User.objects.get_or_create(
    email="{LONG[:60]}@{LONG[:60]}.{LONG[:60]}.example.org",
    defaults=dict(first_name="{LONG[:150]}", last_name="{LONG[:150]}"),
)
if not Conversation.objects.filter(title="{LONG}").exists():
    conversation = Conversation.objects.create(owner=person, title="{LONG}", deleted_at=timezone.now())
    message = Message.objects.create(
        conversation=conversation, position=1, role="assistant", text="{LONG}", added_revision=1, revision=1
    )
    Generation.objects.create(
        conversation=conversation, message=message, model_label="{LONG}", status="interrupted",
        finish_reason="{LONG[:100]}", error_code="{LONG[:40]}", error_message="{LONG}", error_detail="{LONG}",
    )
    Feedback.objects.create(message=message, user=person, is_good=False, reason="other", comment="{LONG}")
    provider = Endpoint.objects.create(
        slug="{LONG[:50]}", name="{LONG[:100]}", sync_error="{LONG}", sync_detail="{LONG}",
    )
    ChatModel.objects.create(endpoint=provider, name="{LONG}", display_name="{LONG}")
    Group.objects.create(name="{LONG[:150]}")
    Authenticator.objects.create(user=person, type="totp", data={{}})
    reader = User.objects.get(email="{ADMIN}")
    changes = [("name", "{LONG}", "{LONG}")]
    add_to_record(
        TranscriptRead.of_search("{LONG}", 1_000_000, reader),
        TranscriptRead.of_person(person, reader, "changed", changes, conversation_id=uuid4()),
    )
"""
# Django's script for two lists side by side labels elements that must not have a label.
OF_DJANGO = "help-tooltip"


def test_every_list_and_form_is_accessible_and_fits(server: ServerProcess, person: Person) -> None:
    server.manage("shell", "--verbosity=0", stdin=LONG_ENTRIES)
    page = person.page
    wait_for_text(send(page, "A title that is long enough to need more than one line in a narrow list"), 10)
    wrong: list[tuple[str, object]] = []
    for path in dict.fromkeys([*PAGES, *LISTS, "chat/user/2/delete/"]):
        page.goto(f"{person.url}/admin/{path}")
        for width in (DESKTOP, PHONE):
            page.set_viewport_size(width["viewport"])
            found = violations(page, is_seen_on_a_phone=True)
            wrong += [(path, one) for one in found if OF_DJANGO not in one]
            if not page.evaluate("document.documentElement.scrollWidth <= innerWidth"):
                wrong.append((path, "The page is too wide."))
        page.set_viewport_size(DESKTOP["viewport"])
        lists = page.locator(".results").evaluate_all("all => all.map(it => it.scrollWidth - it.clientWidth)")
        if max([*lists, 0]) > 0:
            wrong.append((path, f"The list is {max(lists)} px too wide."))
    assert wrong == []
