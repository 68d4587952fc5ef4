"""The other features of the page, in real Chromium, from the user's point of view."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import APIResponse, Locator, Page, Route, expect

from tests.browser.conftest import Person
from tests.browser.test_chat import WHOLE_REPLY, replies, send, text_of, wait_for_text
from tests.servers import ServerProcess

DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
WIDTHS = pytest.mark.parametrize("options", [DESKTOP, PHONE], ids=["1280px", "390px"])


LONG_CHAT = """
from chat.models import ChatModel, Conversation, Generation, Message, User
owner, model = User.objects.get(email="admin@example.org"), ChatModel.objects.first()
chat = Conversation.objects.create(owner=owner, title="A long one", revision=1, last_position=400)
parent, messages = None, []
for number in range(1, 401):
    prompt = number % 2
    parent = Message(conversation=chat, parent=parent, position=number,
        role="user" if prompt else "assistant",
        text=f"Question {number}" if prompt else f"Answer {number}. " + "Some words of it. " * (number % 90),
        added_revision=1, revision=1)
    messages.append(parent)
Message.objects.bulk_create(messages)
Generation.objects.bulk_create(
    Generation(conversation=chat, message=message, model=model, model_label="Demo", status="complete")
    for message in messages[1::2])
chat.head = parent
chat.save()
print(chat.pk)
"""


def ask(page: Page, text: str) -> Locator:
    """Sends a prompt and waits for the end of the reply."""
    reply = send(page, text)
    expect(reply).not_to_have_attribute("data-status", re.compile("queued|running"), timeout=WHOLE_REPLY)
    return reply


def box(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Message")


def open_list(page: Page) -> Locator:
    """Returns the list of chats; on a phone it is a drawer."""
    toggle = page.get_by_role("button", name="Chats")
    if toggle.get_attribute("aria-expanded") == "false":
        toggle.click()
    return page.get_by_role("navigation", name="Chats")


def entry(page: Page, title: str) -> Locator:
    return page.locator(".entry").filter(has_text=title)


def options_of(page: Page, title: str) -> Locator:
    entry(page, title).hover()
    entry(page, title).get_by_role("button", name="Options").click()
    return page.locator("#entry-menu")


def distance_from_end(page: Page) -> float:
    return page.evaluate(
        "() => { const it = document.getElementById('scroller');"
        "return it.scrollHeight - it.scrollTop - it.clientHeight; }"
    )


@WIDTHS
def test_switching_chats_keeps_the_page_and_the_back_button_works(
    people: Callable[..., Person], options: dict[str, object]
) -> None:
    page = people(**options).page
    ask(page, "/demo instant /demo echo The first one")
    first = page.url
    page.evaluate("window.kept = true")
    open_list(page).get_by_role("button", name="New chat").click()
    page.wait_for_url(lambda url: url != first)
    expect(replies(page)).to_have_count(0)
    ask(page, "/demo instant /demo echo The second one")
    second = page.url
    expect(page).to_have_title(re.compile("The second one"))
    open_list(page).get_by_role("link", name="The first one").first.click()
    page.wait_for_url(first)
    expect(replies(page)).to_have_text(re.compile("The first one"))
    expect(page).to_have_title(re.compile("The first one"))
    page.go_back()
    page.wait_for_url(second)
    expect(replies(page)).to_have_text(re.compile("The second one"))
    page.go_forward()
    page.wait_for_url(first)
    expect(replies(page)).to_have_text(re.compile("The first one"))
    assert page.evaluate("window.kept"), "the page was loaded anew"


def test_a_running_reply_continues_while_another_chat_is_open(person: Person) -> None:
    page = person.page
    seen = wait_for_text(send(page, "Go on without me"), 20)
    page.get_by_role("button", name="New chat").click()
    expect(replies(page)).to_have_count(0)
    expect(entry(page, "Go on without me")).to_have_attribute("data-state", "running")
    page.get_by_role("link", name="Go on without me").click()
    wait_for_text(replies(page).first, len(seen) + 20)


def test_an_unread_reply_is_marked_in_the_list_until_it_is_seen(person: Person) -> None:
    page = person.page
    send(page, "Tell me later")
    page.get_by_role("button", name="New chat").click()
    expect(entry(page, "Tell me later")).to_have_attribute("data-state", "new", timeout=WHOLE_REPLY)
    page.get_by_role("link", name="Tell me later").click()
    expect(replies(page)).to_have_count(1)
    expect(entry(page, "Tell me later")).not_to_have_attribute("data-state", "new")


def test_another_tab_lists_a_new_chat_by_itself(person: Person) -> None:
    other = person.tab()
    other.goto(person.url)
    person.page.bring_to_front()
    ask(person.page, "/demo instant Seen from the other tab")
    other.bring_to_front()
    expect(entry(other, "Seen from the other tab")).to_be_visible()


def test_a_rating_asks_why_and_is_shown_in_the_other_tab(person: Person) -> None:
    reply = ask(person.page, "/demo instant Judge me")
    other = person.tab()
    other.goto(person.page.url)
    theirs = other.get_by_role("button", name="Bad reply")
    expect(theirs).to_have_attribute("aria-pressed", "false")
    reply.get_by_role("button", name="Bad reply").click()
    expect(theirs).to_have_attribute("aria-pressed", "true")
    reply.get_by_role("button", name="Submit").click()
    for page in (person.page, other):
        expect(page.get_by_role("button", name="Submit")).to_have_count(0)


def test_the_page_follows_a_reply_only_while_i_am_at_its_end(person: Person) -> None:
    page = person.page
    reply = send(page, "/demo long Follow me")
    page.wait_for_function(
        "() => document.getElementById('scroller').scrollHeight"
        " > document.getElementById('scroller').clientHeight + 200"
    )
    assert distance_from_end(page) < 60
    page.locator("#scroller").hover()
    page.mouse.wheel(0, -250)
    jump = page.get_by_role("button", name="Jump to latest")
    expect(jump).to_be_visible()
    top = page.evaluate("document.getElementById('scroller').scrollTop")
    wait_for_text(reply, len(text_of(reply)) + 300)
    assert page.evaluate("document.getElementById('scroller').scrollTop") == pytest.approx(top, abs=2)
    jump.click()
    expect(jump).to_be_hidden()
    wait_for_text(reply, len(text_of(reply)) + 200)
    assert distance_from_end(page) < 60
    page.get_by_role("button", name="Stop").click()


@WIDTHS
def test_a_long_chat_opens_at_its_end_and_loads_earlier_messages_without_a_jump(
    people: Callable[..., Person], server: ServerProcess, options: dict[str, object]
) -> None:
    page = people(**options).page
    chat = server.manage("shell", "--verbosity=0", stdin=LONG_CHAT).strip()
    page.goto(f"{server.url}/conversations/{chat}/")
    expect(page.locator("article")).to_have_count(50)
    assert distance_from_end(page) < 2
    first = page.locator("article").first.get_attribute("id")
    top = page.evaluate(
        "id => { document.getElementById('scroller').scrollTop = 600;"
        "return document.getElementById(id).getBoundingClientRect().top; }",
        first,
    )
    expect(page.locator("article")).to_have_count(100)
    page.wait_for_function(
        "([id, top]) => Math.abs(document.getElementById(id).getBoundingClientRect().top - top) < 2",
        arg=[first, top],
    )
    for shown in range(150, 401, 50):
        page.evaluate("document.getElementById('scroller').scrollTop = 1")
        page.evaluate("document.getElementById('scroller').scrollTop = 0")
        expect(page.locator("article")).to_have_count(shown)
    expect(page.get_by_text("Question 1", exact=True)).to_be_attached()
    page.get_by_role("button", name="Jump to latest").click()
    expect(page.locator("article")).to_have_count(50)
    page.wait_for_function(
        "() => { const it = document.getElementById('scroller');"
        "return it.scrollHeight - it.scrollTop - it.clientHeight < 2; }"
    )
    page.get_by_role("link", name="Show earlier messages").press("Enter")
    expect(page.locator("article")).to_have_count(100)


def test_a_long_chat_is_printed_whole(people: Callable[..., Person], server: ServerProcess) -> None:
    person = people(reduced_motion="reduce")
    person.allowed_errors.append("status of 500")
    page = person.page
    chat = server.manage("shell", "--verbosity=0", stdin=LONG_CHAT).strip()
    page.add_init_script(
        "window.print = () => { const count = (of) => document.querySelectorAll(of).length;"
        "window.printed = [count('article'), count('#more p')]; }"
    )
    page.goto(f"{server.url}/conversations/{chat}/")
    expect(page.locator("article")).to_have_count(50)
    note = page.get_by_text("Earlier messages are missing here")
    expect(note).to_be_hidden()
    page.emulate_media(media="print")  # as the browser's own command
    expect(note).to_be_visible()
    page.emulate_media(media="screen")
    page.route("**/before/**", lambda route: route.fulfill(status=500, body="Broken"), times=2)
    command = page.locator("[data-print]")
    command.dispatch_event("click")
    expect(page.locator("#toasts")).to_contain_text("Earlier messages could not be loaded.")
    assert page.evaluate("window.printed") is None
    page.unroute_all()
    command.dispatch_event("click")
    expect(page.locator("#toasts")).to_contain_text("Loading the whole chat for print")
    page.wait_for_function("() => window.printed")
    assert page.evaluate("window.printed") == [400, 0]


@WIDTHS
def test_my_place_survives_a_reload_and_a_switch(
    people: Callable[..., Person], options: dict[str, object]
) -> None:
    page = people(**options).page
    ask(page, "/demo instant /demo long Keep my place")
    url = page.url
    page.evaluate("document.getElementById('scroller').scrollTop = 700")
    expect(page.get_by_role("button", name="Jump to latest")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Jump to latest")).to_be_visible()
    assert page.evaluate("document.getElementById('scroller').scrollTop") == pytest.approx(700, abs=4)
    open_list(page).get_by_role("button", name="New chat").click()
    page.wait_for_url(lambda now: now != url)
    page.go_back()
    page.wait_for_url(url)
    page.wait_for_function("() => Math.abs(document.getElementById('scroller').scrollTop - 700) < 4")


def test_a_draft_stays_with_its_chat_and_is_gone_after_log_out(person: Person) -> None:
    page = person.page
    ask(page, "/demo instant Home of a draft")
    url = page.url
    box(page).fill("Half a thought")
    page.get_by_role("button", name="New chat").click()
    page.wait_for_url(lambda now: now != url)
    expect(box(page)).to_have_value("")
    page.get_by_role("link", name="Home of a draft").click()
    expect(box(page)).to_have_value("Half a thought")
    page.reload()
    expect(box(page)).to_have_value("Half a thought")
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/accounts/login/**")
    assert page.evaluate("Object.keys(localStorage).filter(name => name.startsWith('draft:'))") == []


def test_a_prompt_waits_in_the_queue_and_can_be_withdrawn(person: Person) -> None:
    page = person.page
    wait_for_text(send(page, "First in the queue"))
    second = send(page, "Second in the queue")
    expect(second).to_contain_text("Queued. It starts when the previous reply ends.")
    second.get_by_role("button", name="Cancel").click()
    expect(second).to_have_attribute("data-status", "stopped")
    expect(replies(page).first).to_have_attribute("data-status", "running")
    page.get_by_role("button", name="Stop").click()
    expect(replies(page).first).to_have_attribute("data-status", "stopped")


def test_rename_pin_archive_and_delete_from_the_list_with_undo(person: Person) -> None:
    page = person.page
    ask(page, "/demo instant A name to be changed")
    options_of(page, "A name to be changed").get_by_role("button", name="Rename").click()
    page.keyboard.type("A better name")
    page.keyboard.press("Enter")
    expect(entry(page, "A better name")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("A better name")
    options_of(page, "A better name").get_by_role("button", name="Pin", exact=True).click()
    pinned = page.locator("#conversations section").filter(has=page.get_by_role("heading", name="Pinned"))
    expect(pinned).to_contain_text("A better name")
    options_of(page, "A better name").get_by_role("button", name="Archive").click()
    expect(page.get_by_text("Chat archived.")).to_be_visible()
    expect(entry(page, "A better name")).to_have_count(0)
    page.get_by_role("navigation", name="Chats").get_by_role("link", name="Archive").click()
    options_of(page, "A better name").get_by_role("button", name="Unarchive").click()
    expect(entry(page, "A better name")).to_be_visible()
    url = page.url
    options_of(page, "A better name").get_by_role("button", name="Delete").click()
    page.wait_for_url(lambda now: now != url)
    expect(entry(page, "A better name")).to_have_count(0)
    expect(page.get_by_role("link", name="Show older chats")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    page.wait_for_url(url)
    expect(replies(page)).to_have_count(1)
    expect(entry(page, "A better name")).to_be_visible()


def test_escape_leaves_the_old_name(person: Person) -> None:
    page = person.page
    ask(page, "/demo instant The name stays")
    options_of(page, "The name stays").get_by_role("button", name="Rename").click()
    page.keyboard.type("Never mind")
    page.keyboard.press("Escape")
    expect(entry(page, "The name stays")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_contain_text("The name stays")


@WIDTHS
def test_choosing_a_model_by_search_with_the_keyboard(
    people: Callable[..., Person], options: dict[str, object]
) -> None:
    page = people(**options).page
    model = page.get_by_role("combobox", name="Model")
    model.focus()
    page.keyboard.press("Enter")
    panel = page.get_by_role("dialog", name="Choose a model")
    expect(panel.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("no such model")
    expect(panel.get_by_text("No models found.")).to_be_visible()
    panel.get_by_role("searchbox").fill("fast")
    page.keyboard.press("Enter")
    expect(panel).to_be_hidden()
    expect(model if options is PHONE else box(page)).to_be_focused()
    assert "fast" in model.evaluate("it => it.selectedOptions[0].label").lower()


def test_the_model_list_says_and_finds_what_each_model_can(person: Person) -> None:
    page = person.page
    page.get_by_role("combobox", name="Model").click()
    panel = page.get_by_role("dialog", name="Choose a model")
    expect(panel.locator(".model-entry").first).to_contain_text("32k context")
    page.keyboard.type("reasoning")
    expect(panel.locator(".model-entry:visible")).not_to_have_count(0)
    expect(panel.locator(".model-entry:visible").first).to_contain_text("reasoning")


def test_a_prompt_that_is_longer_than_the_model_can_take_is_told_before_it_is_sent(person: Person) -> None:
    page = person.page
    box(page).fill("word " * 2_000)
    expect(page.locator("#estimate")).to_have_text("about 2,500 tokens")
    box(page).fill("word " * 30_000)
    expect(page.locator("#estimate")).to_have_text("Too long for this model: 32,000 tokens.")
    box(page).fill("")
    expect(page.locator("#estimate")).to_be_hidden()


def test_a_favourite_model_comes_first(person: Person) -> None:
    page = person.page
    page.get_by_role("combobox", name="Model").click()
    star = page.get_by_role("button", name=re.compile("Favourite: .*fast", re.IGNORECASE))
    star.click()
    expect(star).to_have_attribute("aria-pressed", "true")
    page.reload()
    page.get_by_role("combobox", name="Model").click()
    expect(page.locator(".model-name").first).to_have_text(re.compile("fast", re.IGNORECASE))
    star.click()
    expect(star).to_have_attribute("aria-pressed", "false")


def test_copying_a_reply(person: Person) -> None:
    page = person.page
    person.context.grant_permissions(["clipboard-read", "clipboard-write"])
    reply = ask(page, "/demo instant /demo echo Some **bold** words")
    reply.get_by_role("button", name="Copy").first.click()
    expect(page.get_by_text("Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "Some **bold** words"


def test_copying_a_block_of_code(person: Person) -> None:
    page = person.page
    person.context.grant_permissions(["clipboard-read", "clipboard-write"])
    reply = ask(page, "/demo instant /demo echo ```python\nprint(1)\n```")
    reply.locator(".copy-code").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()").strip() == "print(1)"


def test_saying_what_was_wrong_with_a_reply(person: Person) -> None:
    page = person.page
    reply = ask(page, "/demo instant Judge me")
    reply.get_by_role("button", name="Bad reply").click()
    reply.get_by_label("Not helpful").check()
    reply.get_by_label("Comment").fill("It says nothing.")
    reply.get_by_role("button", name="Submit").click()
    expect(page.get_by_text("Thank you for your feedback.")).to_be_visible()
    page.reload()
    bad = replies(page).first.get_by_role("button", name="Bad reply")
    expect(bad).to_have_attribute("aria-pressed", "true")
    bad.click()
    expect(bad).to_have_attribute("aria-pressed", "false")


def test_feedback_is_stored_however_late_its_responses_arrive(person: Person) -> None:
    """The live page shows the effect of both requests before their responses arrive."""
    page = person.page
    reply = ask(page, "/demo instant Judge me slowly")
    held: list[tuple[Route, APIResponse]] = []
    page.route("**/feedback/", lambda route: held.append((route, route.fetch())))
    bad = reply.get_by_role("button", name="Bad reply")
    bad.press("Enter")
    reply.get_by_label("Not helpful").check()
    expect(bad).to_have_attribute("aria-pressed", "true")
    reply.get_by_label("Comment").fill("It says nothing.")
    _answer(page, held)
    expect(page.locator(".feedback-form")).to_be_visible()
    assert reply.get_by_label("Not helpful").is_checked()
    expect(reply.get_by_label("Comment")).to_have_value("It says nothing.")
    reply.get_by_role("button", name="Submit").click()
    expect(page.locator(".feedback-form")).to_have_count(0)
    _answer(page, held)
    expect(page.get_by_text("Thank you for your feedback.")).to_be_visible()


def _answer(page: Page, held: list[tuple[Route, APIResponse]]) -> None:
    while not held:  # The request is on its way.
        page.wait_for_timeout(20)
    route, response = held.pop()
    with page.expect_event("requestfinished"):
        route.fulfill(response=response)


@WIDTHS
def test_an_earlier_variant_of_a_reply_is_shown_and_the_later_one_again(
    people: Callable[..., Person], options: dict[str, object]
) -> None:
    page = people(**options).page
    ask(page, "/demo instant /demo echo The answer")
    replies(page).first.get_by_role("button", name="Retry").click()
    variants = page.get_by_role("group", name="Variant 2 of 2")
    expect(variants).to_be_visible()
    second = replies(page).first.get_attribute("id")
    ask(page, "/demo instant /demo echo And on from there")
    expect(replies(page)).to_have_count(2)
    back = variants.get_by_role("button", name="Previous variant")
    back.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("group", name="Variant 1 of 2")).to_be_visible()
    expect(replies(page)).to_have_count(1)
    expect(page.get_by_role("button", name="Previous variant")).to_be_focused()
    expect(page.get_by_role("button", name="Previous variant")).to_have_attribute("aria-disabled", "true")
    page.get_by_role("button", name="Next variant").click()
    expect(replies(page)).to_have_count(2)
    expect(replies(page).first).to_have_id(second or "")


def test_deleting_from_a_message_on_and_restoring_it(person: Person) -> None:
    page = person.page
    ask(page, "/demo instant /demo echo One")
    ask(page, "/demo instant /demo echo Two")
    prompt = page.locator("article[data-role=user]").nth(1)
    prompt.hover()
    prompt.get_by_label("More").click()
    prompt.get_by_role("button", name="Delete from here on").click()
    expect(page.locator("article")).to_have_count(2)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("article")).to_have_count(4)


def test_settings_reach_the_page_and_stay(person: Person) -> None:
    page = person.page
    page.get_by_role("link", name="Settings").click()
    page.get_by_label("Theme").select_option("Dark")
    page.get_by_label("Text size").select_option("Large")
    page.get_by_label("Enter key").select_option(value="mod-enter")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    page.get_by_role("link", name="Chats").click()
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"
    assert page.evaluate("getComputedStyle(document.documentElement).fontSize") == "18px"
    box(page).fill("One line")
    box(page).press("Enter")
    expect(box(page)).to_have_value("One line\n")
    box(page).press("Control+Enter")
    replies(page).first.wait_for()
    page.goto(f"{person.url}/settings/")
    page.get_by_label("Theme").select_option(value="system")
    page.get_by_label("Text size").select_option(value="medium")
    page.get_by_label("Enter key").select_option(value="auto")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()


def test_the_whole_page_speaks_german_live_parts_included(people: Callable[..., Person]) -> None:
    page = german(people)
    expect(page.locator("html")).to_have_attribute("lang", "de")
    page.get_by_role("textbox", name="Nachricht").fill("/demo fail")
    page.get_by_role("button", name="Senden").click()
    reply = replies(page).first
    expect(reply).to_have_attribute("data-status", "failed")
    expect(reply).to_contain_text("Beim Server des Anbieters ist ein Fehler aufgetreten.")
    expect(reply.get_by_role("button", name="Erneut versuchen")).to_be_visible()
    page.get_by_role("button", name="Neuer Chat").click()
    expect(page.get_by_role("heading", name="Was möchten Sie wissen?")).to_be_visible()
    page.get_by_role("textbox", name="Nachricht").fill("/demo long")
    page.get_by_role("button", name="Senden").click()
    expect(replies(page).first.locator(".live-line")).to_have_text(re.compile(r"^[1-9]\d* s"))
    page.get_by_role("button", name="Anhalten").click()
    expect(replies(page).first).to_have_attribute("data-status", "stopped")


def german(people: Callable[..., Person]) -> Page:
    """Returns a page of a user who chose German."""
    person = people("other@example.org")
    page = person.page
    page.goto(f"{person.url}/settings/")
    page.get_by_label("Language").select_option("Deutsch")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Einstellungen")).to_be_visible()
    page.goto(person.url)
    return page


def test_the_keyboard_alone_is_enough(person: Person) -> None:
    page = person.page
    page.locator("#scroller").focus()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Shortcuts")).to_be_hidden()
    page.locator("#scroller").focus()
    page.keyboard.press("/")
    expect(box(page)).to_be_focused()
    page.keyboard.type("By keyboard")
    page.keyboard.press("Enter")
    reply = replies(page).first
    reply.wait_for()
    wait_for_text(reply)
    page.keyboard.press("Control+Shift+X")
    expect(reply).to_have_attribute("data-status", "stopped")
    reply.get_by_role("button", name="Retry").focus()
    page.keyboard.press("Enter")
    expect(replies(page).first).to_have_attribute("data-status", "running")
    page.keyboard.press("Control+Shift+X")
    url = page.url
    page.keyboard.press("Control+Shift+O")
    page.wait_for_url(lambda now: now != url)
    expect(box(page)).to_be_focused()


def test_a_screen_reader_gets_each_sentence_and_focus_stays(person: Person) -> None:
    page = person.page
    page.evaluate(
        "document.documentElement.dataset.announce = 'sentences'; window.said = '';"
        "const reader = document.getElementById('reader');"
        "new MutationObserver(() => { said += reader.textContent; }).observe(reader, {childList: true});"
    )
    reply = send(page, "/demo long Read to me")
    expect(reply).to_have_attribute("aria-busy", "true")
    expect(page.locator("#live-status")).to_have_text("Answering")
    page.wait_for_function("() => said.includes('You wrote')")
    expect(box(page)).to_be_focused()
    page.get_by_role("button", name="Stop").click()
    expect(reply).to_have_attribute("aria-busy", "false")
    expect(page.locator("#live-status")).to_have_text("")


def test_the_live_status_counts_and_the_end_says_how_long_it_thought(person: Person) -> None:
    page = person.page
    reply = send(page, "/demo think Count")
    expect(reply.locator(".live-line")).to_have_text(re.compile(r"\d+ s"))
    expect(reply).to_have_attribute("data-status", "complete", timeout=WHOLE_REPLY)
    expect(reply.locator(".reasoning summary")).to_have_text(re.compile(r"Reasoned for \d"))
    expect(reply.locator(".facts")).to_have_text(re.compile(r"\d+ tokens · .*s · \d+/s"))


def test_a_notice_says_offline_and_the_draft_is_kept(person: Person) -> None:
    page = person.page
    person.allowed_errors += ["ERR_INTERNET_DISCONNECTED", "htmx:", "WebSocket"]
    box(page).fill("Written in a tunnel")
    person.context.set_offline(True)
    expect(page.get_by_text("You are offline.")).to_be_visible()
    person.context.set_offline(False)
    expect(page.get_by_text("You are offline.")).to_be_hidden()
    page.reload()
    expect(box(page)).to_have_value("Written in a tunnel")


def test_while_i_am_offline_a_running_reply_says_what_is_kept_and_nothing_pops_up(
    people: Callable[..., Person],
) -> None:
    person = people()
    person.allowed_errors += ["ERR_INTERNET_DISCONNECTED", "ERR_CONNECTION", "WebSocket", "htmx:", "Policy"]
    page = person.tab()
    page.add_init_script(
        "const Real = WebSocket; window.sockets = [];"
        "window.WebSocket = class extends Real {"
        " constructor(url) { super(url); window.sockets.push(this); } }"
    )
    page.goto(person.url)
    reply = send(page, "/demo slow Go on in the dark")
    expect(reply.locator(".state")).to_contain_text("Reasoning…")
    with page.expect_event("requestfailed", lambda request: "/conversations/?" in request.url):
        person.context.set_offline(True)
        page.evaluate("window.sockets.forEach(socket => socket.close())")
        expect(reply.locator(".live-line")).to_have_text("Reconnecting. The text so far is kept.")
    expect(page.locator("#connection")).to_contain_text("You are offline.")
    expect(page.locator(".toast")).to_have_count(0)
    person.context.set_offline(False)
    expect(reply.locator(".live-line")).to_have_text(re.compile(r"\d+ s"))
    expect(page.locator("#connection")).to_have_text("")
    page.get_by_role("button", name="Stop").click()
    expect(reply).to_have_attribute("data-status", "stopped")


def test_a_chat_deleted_elsewhere_says_so(person: Person) -> None:
    page = person.page
    person.allowed_errors.append("404")  # that the chat was seen may be noted in between
    ask(page, "/demo instant Gone soon")
    other = person.tab()
    other.goto(page.url)
    other.get_by_label("Chat options").click()
    other.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_text("This chat was deleted.")).to_be_visible()


def test_the_drawer_opens_and_closes_on_a_phone(people: Callable[..., Person]) -> None:
    page = people(**PHONE).page
    sidebar = page.get_by_role("navigation", name="Chats")
    expect(sidebar).to_be_hidden()
    page.get_by_role("button", name="Chats").click()
    expect(sidebar).to_be_visible()
    page.keyboard.press("Escape")
    expect(sidebar).to_be_hidden()
    expect(page.get_by_role("button", name="Chats")).to_be_focused()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"


def test_the_box_has_the_focus_after_a_reload_and_in_each_chat_but_takes_it_from_nothing(
    person: Person,
) -> None:
    page = person.page
    ask(page, "/demo instant Where was I")
    page.get_by_role("button", name="Copy").last.focus()
    page.reload()
    expect(box(page)).to_be_focused()
    page.get_by_role("button", name="New chat").click()
    expect(replies(page)).to_have_count(0)
    expect(box(page)).to_be_focused()
    page.get_by_role("link", name="Where was I").click()
    expect(replies(page)).to_have_count(1)
    expect(box(page)).to_be_focused()
    expect(page.get_by_role("link", name="Where was I")).to_have_attribute("aria-current", "page")
    options_of(page, "Where was I").get_by_role("button", name="Rename").click()
    page.locator(".new-chat").evaluate("button => button.form.requestSubmit()")
    expect(replies(page)).to_have_count(0)
    expect(page.locator(".entry input")).to_be_focused()


def test_on_a_touch_screen_enter_breaks_the_line_unless_i_chose_otherwise(
    people: Callable[..., Person],
) -> None:
    page = people(**PHONE).page
    expect(page.locator("#prompt:focus")).to_have_count(0)
    box(page).fill("/demo instant One line")
    box(page).press("Enter")
    box(page).press_sequentially("and another")
    expect(box(page)).to_have_value("/demo instant One line\nand another")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(replies(page)).to_have_count(1)
    page.evaluate("document.documentElement.dataset.send = 'enter'")
    box(page).fill("/demo instant Enter sends")
    box(page).press("Enter")
    expect(replies(page)).to_have_count(2)


def test_the_demo_suggests_what_it_can_show(person: Person) -> None:
    page = person.page
    suggestion = page.get_by_role("button", name="Failed reply")
    suggestion.click()
    expect(box(page)).to_be_focused()
    expect(box(page)).to_have_value("/demo fail ")
    page.locator("#model").evaluate("it => it.append(new Option('Another', 'x', true, true))")
    expect(suggestion).to_be_hidden()
    page.locator("#model").evaluate("it => it.lastElementChild.remove()")
    box(page).press("Enter")
    expect(replies(page)).to_have_count(1)
    expect(suggestion).to_be_hidden()


def test_the_same_words_pop_up_once_and_over_the_thread(person: Person) -> None:
    page = person.page
    person.context.grant_permissions(["clipboard-read", "clipboard-write"])
    reply = ask(page, "/demo instant /demo echo Twice")
    page.evaluate(
        "() => { window.popped = 0; new MutationObserver(changes => {"
        " for (const one of changes) window.popped += one.addedNodes.length;"
        "}).observe(document.getElementById('toasts'), { childList: true }); }"
    )
    for _ in range(3):
        reply.get_by_role("button", name="Copy", exact=True).click()
    page.wait_for_function("() => window.popped === 3")
    expect(page.locator(".toast")).to_have_count(1)
    names = ".toast", "#messages", "#toasts", ".chat-head"
    toast, thread, toasts, head = (page.locator(name).bounding_box() for name in names)
    assert toast and thread and toasts and head
    assert toast["x"] + toast["width"] / 2 == pytest.approx(thread["x"] + thread["width"] / 2, abs=1)
    assert toasts["y"] >= head["y"] + head["height"]


def test_while_it_thinks_one_line_says_so(person: Person) -> None:
    page = person.page
    reply = send(page, "/demo slow Think")
    expect(reply.locator(".reasoning summary")).to_have_text("Reasoning…")
    expect(reply.get_by_text("Reasoning…").locator("visible=true")).to_have_count(1)
    expect(reply.locator(".live-line")).to_be_visible()
    reply.locator("summary").click()
    expect(reply.locator(".state .thinking")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(reply).to_have_attribute("data-status", "stopped")


@WIDTHS
def test_the_head_keeps_its_place_between_an_empty_page_and_a_chat(
    people: Callable[..., Person], options: dict[str, object]
) -> None:
    page = people(**options).page
    toggle = page.locator(".sidebar-toggle")
    empty = toggle.bounding_box()
    ask(page, "/demo instant Stay where you are")
    assert toggle.bounding_box() == empty
    if options is PHONE:
        url = page.url
        page.get_by_role("button", name="New chat").click()
        page.wait_for_url(lambda now: now != url)
        expect(replies(page)).to_have_count(0)
        assert toggle.bounding_box() == empty


@WIDTHS
def test_the_page_stays_in_place_while_it_loads_and_a_chat_begins(
    people: Callable[..., Person], options: dict[str, object]
) -> None:
    person = people(**options)
    page = person.tab()
    page.add_init_script(
        "window.shift = 0; new PerformanceObserver(list => {"
        " for (const one of list.getEntries()) if (!one.hadRecentInput) window.shift += one.value;"
        "}).observe({ type: 'layout-shift', buffered: true });"
    )
    page.goto(person.url)
    ask(page, "/demo instant Steady")
    assert page.evaluate("window.shift") < 0.05
