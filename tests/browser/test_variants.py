"""Edited prompts, variants and branches, in real Chromium, by keyboard and on a phone."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.conftest import Person
from tests.browser.test_access import violations
from tests.browser.test_chat import replies
from tests.browser.test_page import PHONE, ask, box


def test_a_prompt_is_edited_by_keyboard_and_its_variants_are_browsed_in_all_tabs(person: Person) -> None:
    page = person.page
    ask(page, "/demo instant The first words")
    ask(page, "/demo instant What follows")
    other = person.tab()
    other.goto(page.url)
    box(page).fill("A draft")
    box(page).fill("")
    page.keyboard.press("ArrowUp")
    expect(box(page)).to_have_value("/demo instant What follows")
    page.keyboard.press("Escape")
    expect(box(page)).to_have_value("")
    box(page).fill("A draft")
    prompts = page.locator('[data-role="user"]')
    edit = prompts.first.get_by_role("button", name="Edit")
    edit.focus()
    page.keyboard.press("Enter")
    expect(box(page)).to_be_focused()
    expect(box(page)).to_have_value("/demo instant The first words")
    expect(page.get_by_text("You are editing a message.")).to_be_visible()
    assert violations(page) == [], "editing"
    box(page).fill("/demo instant Other words")
    page.keyboard.press("Enter")
    place = "Variant 2 of 2"
    for tab in (page, other):
        expect(tab.get_by_role("group", name=place)).to_be_visible()
        expect(tab.locator('[data-role="user"] .message-body')).to_have_text("/demo instant Other words")
    expect(box(page)).to_have_value("A draft")
    expect(page.get_by_text("You are editing a message.")).to_be_hidden()
    expect(replies(page).last).to_have_attribute("data-status", "complete")
    assert violations(page) == [], "variants of a prompt"
    page.get_by_role("button", name="Previous variant").focus()
    page.keyboard.press("Enter")
    for tab in (page, other):
        expect(tab.get_by_role("group", name="Variant 1 of 2")).to_be_visible()
        expect(tab.locator('[data-role="user"]')).to_have_count(2)
    expect(page.get_by_role("button", name="Previous variant")).to_be_focused()
    replies(page).first.get_by_role("button", name="Retry").press("Enter")
    expect(page.get_by_text("What followed is kept with the earlier reply.")).to_be_visible()
    for tab in (page, other):
        expect(tab.locator('[data-role="user"]')).to_have_count(1)
    assert violations(page) == [], "an earlier reply is retried"
    page.get_by_role("button", name="Undo").press("Enter")
    for tab in (page, other):
        expect(tab.locator('[data-role="user"]')).to_have_count(2)
        expect(replies(tab).first).to_have_attribute("data-status", "complete")


def test_on_a_phone_a_reply_is_retried_with_a_chosen_model_and_branched(
    people: Callable[..., Person],
) -> None:
    page = people(**PHONE).page
    reply = ask(page, "/demo instant To be branched")
    before = page.url
    prompt = page.locator('[data-role="user"]')
    prompt.get_by_role("button", name="Edit").click()
    expect(page.get_by_role("button", name="Cancel editing")).to_be_visible()
    assert violations(page) == [], "editing on a phone"
    page.get_by_role("button", name="Cancel editing").click()
    reply.get_by_role("button", name="More").click()
    assert violations(page) == [], "menu of a reply"
    page.keyboard.press("Escape")
    reply.get_by_role("button", name="Choose another model").click()
    label = page.locator("#models [aria-current] .model-name").text_content()
    assert label == reply.locator(".message-who").inner_text(), "its own model is the current one"
    assert violations(page) == [], "the models to retry with"
    page.locator(".model-choice").first.click()
    expect(page.get_by_role("group", name="Variant 2 of 2")).to_be_visible()
    reply = replies(page).last
    expect(reply).to_have_attribute("data-status", "complete")
    reply.get_by_role("button", name="More").click()
    page.get_by_role("button", name="Branch into a new chat").click()
    expect(page).not_to_have_url(before)
    expect(replies(page)).to_have_count(1)
    expect(page.get_by_role("group", name="Variant 2 of 2")).to_have_count(0)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390
