"""Replies side by side, in real Chromium: by keyboard, and one at a time on a phone."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.conftest import Person
from tests.browser.test_access import violations
from tests.browser.test_chat import WHOLE_REPLY, choose_model, replies
from tests.browser.test_page import PHONE, ask, box

OTHER = "Demo, fast and long"


def choose_another(page: Page) -> None:
    choose_model(page, "Demo")
    page.get_by_role("button", name="Compare", exact=True).press("Enter")
    page.get_by_role("searchbox").fill("fast")
    page.keyboard.press("Enter")
    expect(page.get_by_role("checkbox", name=f"Also send to {OTHER}")).to_be_checked()


def close(page: Page) -> None:
    page.get_by_role("searchbox").fill("")  # Escape would empty it first
    page.keyboard.press("Escape")
    expect(page.get_by_role("searchbox")).to_be_hidden()


def test_two_models_answer_beside_each_other_and_one_is_kept(person: Person) -> None:
    page = person.page
    choose_another(page)
    assert violations(page) == [], "the choice of models"
    close(page)
    expect(page.locator("#compared")).to_have_text("+1")
    box(page).fill("/demo instant Which is better?")
    page.keyboard.press("Enter")
    columns = page.locator(".columns > article")
    expect(columns).to_have_count(2)
    for number in range(2):
        expect(columns.nth(number)).to_have_attribute("data-status", "complete", timeout=WHOLE_REPLY)
    expect(page.locator("#compared")).to_be_hidden()
    left, right = (columns.nth(number).bounding_box() for number in range(2))
    assert left and right and left["x"] + left["width"] <= right["x"] and left["y"] == right["y"]
    expect(page.get_by_text("Your next message continues")).to_be_visible()
    for number in range(2):
        expect(columns.nth(number).locator(".facts")).to_contain_text("first word after")
    assert violations(page) == [], "side by side"
    streamed = page.locator("#messages").inner_text()
    other = person.tab()
    other.goto(page.url)
    assert other.locator("#messages").inner_text() == streamed
    keep = columns.nth(1).get_by_role("button", name="Keep this one", exact=True)
    keep.focus()
    page.keyboard.press("Enter")
    for tab in (page, other):
        expect(tab.get_by_role("group", name="Variant 2 of 2")).to_be_visible()
        expect(replies(tab)).to_have_count(1)
    replies(page).get_by_role("button", name="More").click()
    page.get_by_role("button", name="Compare with another model…").click()
    page.locator(".model-choice").first.click()
    expect(page.locator(".columns > article")).to_have_count(2)


def test_on_a_phone_one_reply_is_shown_at_a_time(people: Callable[..., Person]) -> None:
    page = people(**PHONE).page
    choose_another(page)
    close(page)
    box(page).fill("/demo instant On a phone")
    page.get_by_role("button", name="Send", exact=True).click()
    columns = page.locator(".columns > article")
    for number in range(2):
        status = re.compile("complete")
        expect(columns.nth(number)).to_have_attribute("data-status", status, timeout=WHOLE_REPLY)
    expect(columns.nth(0)).to_be_visible()
    expect(columns.nth(1)).to_be_hidden()
    assert violations(page) == [], "one of two"
    page.get_by_text(OTHER, exact=True).and_(page.locator("label")).click()
    expect(columns.nth(0)).to_be_hidden()
    expect(columns.nth(1)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    columns.nth(1).get_by_role("button", name="Keep this one").click()
    expect(replies(page)).to_have_count(1)
    ask(page, "/demo instant And on")
