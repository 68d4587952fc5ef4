"""The administration in a real browser, under the same Content Security Policy as the chat."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.conftest import Person
from tests.browser.test_access import SCHEMES, WIDTHS, violations
from tests.browser.test_chat import send, wait_for_text

PAGES = (
    "",
    "chat/conversation/",
    "chat/transcriptread/",
    "chat/modelprovider/",
    "chat/modelprovider/demo/change/",
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
        expect(page.locator("#header")).to_have_css("display", "flex")  # Its style sheet was let in,
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
    expect(page.get_by_text("That you have read this is recorded.")).to_be_visible()
    page.goto(f"{person.url}/admin/chat/transcriptread/")
    expect(page.locator("#result_list")).to_contain_text("Read")


LISTS = [path for path in PAGES if path.count("/") == 2 and "add" not in path] + [
    "auth/group/",
    "mfa/authenticator/",
]
# Django's script for two lists side by side gives a name to elements that may have none.
OF_DJANGO = "help-tooltip"


@SCHEMES
@WIDTHS
def test_every_list_and_form_is_accessible_and_fits(
    people: Callable[..., Person], scheme: str, options: dict[str, object]
) -> None:
    person = people(color_scheme=scheme, reduced_motion="reduce", **options)
    page = person.page
    wait_for_text(send(page, "A title that is long enough to need more than one line in a narrow list"), 10)
    for path in dict.fromkeys([*PAGES, *LISTS, "chat/user/2/delete/"]):
        page.goto(f"{person.url}/admin/{path}")
        assert [found for found in violations(page) if OF_DJANGO not in found] == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        too_wide = page.locator(".results").evaluate_all(
            "all => all.map(it => it.scrollWidth - it.clientWidth)"
        )
        if page.evaluate("innerWidth") > 1000:
            assert max([*too_wide, 0]) <= 0, path
