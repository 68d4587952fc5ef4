"""The focus after its element is removed, and the effect of the next key, in real Chromium."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Person
from tests.browser.test_chat import replies, wait_for_text
from tests.browser.test_page import PHONE, ask, box


def by_mouse(button: Locator) -> None:
    button.click()


def by_keyboard(button: Locator) -> None:
    button.focus()
    button.press("Enter")


def status_of(page: Page, status: str) -> None:
    expect(replies(page).last).to_have_attribute("data-status", status)


@pytest.mark.parametrize("press", [by_mouse, by_keyboard])
def test_text_typed_after_send_stop_continue_and_retry_is_entered_in_the_box(
    person: Person, press: Callable[[Locator], None]
) -> None:
    page = person.page
    typed = ""
    box(page).fill("Where is the focus?")
    for name, status in (
        ("Send", "running"),
        ("Stop", "stopped"),
        ("Continue", "running"),
        ("Stop", "stopped"),
        ("Retry", "running"),
    ):
        if name == "Stop":
            wait_for_text(replies(page).last)
        press(page.get_by_role("button", name=name, exact=True).last)
        page.keyboard.type("?")  # the key that opens the shortcuts elsewhere
        status_of(page, status)
        page.keyboard.type("/a")
        typed += "?/a"
        expect(box(page)).to_be_focused()
        expect(box(page)).to_have_value(typed)
    expect(page.get_by_role("dialog", name="Shortcuts")).to_be_hidden()
    page.get_by_role("button", name="Stop").click()
    status_of(page, "stopped")


def test_on_a_touch_screen_the_focus_stays_on_the_page_and_opens_no_keyboard(
    people: Callable[..., Person],
) -> None:
    page = people(**PHONE).page
    focused = "() => document.activeElement.matches('main button')"
    box(page).fill("Tap")
    page.get_by_role("button", name="Send", exact=True).tap()
    wait_for_text(replies(page).first)
    expect(page.get_by_role("button", name="Send", exact=True)).to_be_hidden()
    page.wait_for_function(focused)
    page.get_by_role("button", name="Stop").tap()
    status_of(page, "stopped")
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    page.wait_for_function(focused)


def test_a_button_that_disappears_returns_the_focus_to_the_box(person: Person) -> None:
    page = person.page
    ask(page, "/demo instant /demo echo One")
    ask(page, "/demo instant /demo echo Two")
    prompt = page.locator("article[data-role=user]").nth(1)
    prompt.get_by_label("More").focus()
    page.keyboard.press("Enter")
    prompt.get_by_role("button", name="Delete from here on").press("Enter")
    expect(page.locator("article")).to_have_count(2)
    expect(box(page)).to_be_focused()
    by_keyboard(page.get_by_role("button", name="Undo"))
    expect(page.locator("article")).to_have_count(4)
    expect(box(page)).to_be_focused()
    box(page).blur()
    page.locator("article").first.get_by_text("One").click()
    elsewhere = person.tab()
    elsewhere.goto(page.url)
    ask(elsewhere, "/demo instant /demo echo Three")
    expect(page.locator("article")).to_have_count(6)
    assert page.evaluate("document.activeElement.id !== 'prompt'"), "it was taken from a reader"


def test_enter_that_confirms_a_candidate_of_an_input_method_sends_nothing(person: Person) -> None:
    """Safari sends the key after the composition has ended, with the code 229 alone."""
    page = person.page
    keys = page.context.new_cdp_session(page)
    box(page).fill("/demo fail にほんご")
    box(page).focus()
    key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 229}
    keys.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", **key})
    keys.send("Input.dispatchKeyEvent", {"type": "keyUp", **key})
    expect(box(page)).to_have_value("/demo fail にほんご")
    page.keyboard.type("!")
    expect(box(page)).to_have_value("/demo fail にほんご!")
    page.keyboard.press("Enter")
    expect(page.locator("article[data-role=user] .message-body")).to_have_text(["/demo fail にほんご!"])


def test_the_keys_of_an_input_method_choose_no_model_and_end_no_renaming(person: Person) -> None:
    page = person.page
    ask(page, "/demo instant A name to be kept")
    model = page.get_by_role("combobox", name="Model")
    before = model.input_value()
    model.focus()
    page.keyboard.press("Enter")
    composing = (
        "(it, key) => it.dispatchEvent(new KeyboardEvent('keydown',"
        " { key, keyCode: 229, bubbles: true, cancelable: true }))"
    )
    search = page.get_by_role("searchbox")
    search.fill("fast")
    search.evaluate(composing, "Enter")
    expect(search).to_be_visible()
    assert model.input_value() == before
    page.keyboard.press("Escape")
    page.locator(".entry").filter(has_text="A name to be kept").hover()
    page.locator(".entry").filter(has_text="A name to be kept").get_by_role("button", name="Options").click()
    page.locator("#entry-menu").get_by_role("button", name="Rename").click()
    title = page.locator(".entry input")
    title.evaluate(composing, "Escape")
    expect(title).to_be_focused()
