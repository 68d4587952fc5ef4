"""The command palette, the search, and the selection of many chats, in real Chromium: by keyboard."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Person
from tests.browser.test_access import WIDTHS, violations
from tests.browser.test_page import ask, open_list


def fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


@pytest.fixture
def reader(people: Callable[..., Person], options: dict[str, object]) -> Person:
    return people(reduced_motion="reduce", **options)


def palette(page: Page) -> None:
    page.keyboard.press("Control+k")
    expect(page.get_by_role("combobox", name="Commands")).to_be_focused()
    expect(page.locator("#palette [role=option]").first).to_be_visible()


@WIDTHS
def test_the_palette_does_what_the_page_can_do(reader: Person) -> None:
    page = reader.page
    field, chosen = (
        page.get_by_role("combobox", name="Commands"),
        page.locator('[role="option"][aria-selected="true"]'),
    )
    ask(page, "/demo instant About palettes")
    first = page.url
    palette(page)
    expect(page.get_by_role("status").filter(has_text="Entries:")).to_be_visible()
    assert violations(page) == [], "everything"
    assert fits(page)
    page.keyboard.type("new ch")
    expect(chosen).to_have_text(re.compile("New chat"))
    assert violations(page) == [], "a search in it"
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Commands")).to_be_hidden()
    page.wait_for_url(lambda url: url != first)
    expect(page.locator("#messages")).to_be_empty()
    palette(page)
    expect(page.get_by_role("group", name="Last used").get_by_role("option")).to_have_text(
        re.compile("New chat")
    )
    page.keyboard.type("palettes")
    expect(chosen).to_have_text(re.compile("About palettes"))
    page.keyboard.press("Enter")
    page.wait_for_url(first)
    palette(page)
    page.keyboard.type("match")
    expect(chosen).to_have_text(re.compile("Match system"))
    page.keyboard.press("ArrowDown")
    expect(chosen).to_have_text(re.compile("Search chats for"))
    page.keyboard.press("ArrowDown")
    expect(chosen).to_have_text(re.compile("Match system"))
    page.keyboard.press("Escape")
    expect(field).to_be_hidden()
    palette(page)
    page.keyboard.type("rename this")
    expect(chosen).to_have_text(re.compile("Rename this chat"))
    page.keyboard.press("Enter")
    expect(page.locator("#title-field")).to_be_focused()
    page.keyboard.type("Renamed by keys")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Renamed by keys")).to_be_visible()
    palette(page)
    page.keyboard.type("dark")
    expect(chosen).to_have_text(re.compile("Dark"))
    with page.expect_response(lambda answer: answer.request.method == "POST"):
        page.keyboard.press("Enter")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    palette(page)
    page.keyboard.type("renamed by")
    page.get_by_role("option", name="Search chats for “renamed by”").wait_for()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(page.get_by_role("textbox", name="Search chats")).to_have_value("renamed by")
    expect(page.get_by_role("link", name="Renamed by keys").first).to_be_visible()
    assert violations(page) == [], "search results"
    assert fits(page)
    page.get_by_role("textbox", name="Search chats").fill("about palettes")
    page.locator("#search-results li .found").first.press("Enter")
    expect(page.locator(".message[data-found]")).to_be_in_viewport()
    page.wait_for_function("CSS.highlights.get('found')?.size >= 2")
    assert violations(page) == [], "an opened hit"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(first)
    palette(page)
    page.keyboard.type("match")
    expect(chosen).to_have_text(re.compile("Match system"))
    page.keyboard.press("Enter")
    expect(page.locator("html")).to_have_attribute("data-theme", "system")


@WIDTHS
def test_many_chats_are_selected_tagged_and_deleted_with_one_undo(reader: Person) -> None:
    page = reader.page
    name = f"bulk{page.viewport_size['width'] if page.viewport_size else 0}"
    for number in range(3):
        if number:
            palette(page)
            page.keyboard.type("new chat")
            page.keyboard.press("Enter")
            expect(page.locator("#messages")).to_be_empty()
        ask(page, f"/demo instant {name} {number}")
    page.reload()
    chats = open_list(page)
    chats.get_by_role("link", name="Select", exact=True).press("Enter")
    boxes = chats.get_by_role("checkbox", name=name)
    expect(boxes).to_have_count(3)
    expect(chats.get_by_role("button", name="Archive")).to_be_disabled()
    assert violations(page) == [], "selecting"
    assert fits(page)
    boxes.nth(0).focus()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Shift+Space")
    expect(page.locator("#selected-count")).to_have_text("3 selected")
    chats.get_by_role("combobox", name="Tag").fill(name)
    chats.get_by_role("combobox", name="Tag").press("Enter")
    expect(page.get_by_text("3 chats tagged.")).to_be_visible()
    tag = chats.get_by_role("link", name=name, exact=True)
    expect(tag).to_have_count(3)
    assert violations(page) == [], "tags"
    tag.first.press("Enter")
    expect(page.get_by_role("textbox", name="Search chats")).to_have_value(f'tag:"{name}"')
    expect(page.locator(".found-chat")).to_have_count(3)
    page.get_by_role("textbox", name="Search chats").press("Escape")
    chats = open_list(page)
    chats.get_by_role("link", name="Select", exact=True).press("Enter")
    for number in range(3):
        boxes.nth(number).check()
    chats.get_by_role("textbox", name="New folder").fill(f"folder of {name}")
    chats.get_by_role("textbox", name="New folder").press("Enter")
    expect(page.get_by_text("3 chats moved.")).to_be_visible()
    chats.get_by_role("link", name="Select", exact=True).press("Enter")
    for number in range(3):
        boxes.nth(number).check()
    chats.get_by_role("button", name="Delete").press("Enter")
    expect(page.get_by_text("3 chats deleted.")).to_be_visible()
    expect(chats.get_by_role("link", name=name)).to_have_count(0)
    page.locator("#toasts").get_by_role("button", name="Undo").first.press("Enter")
    expect(page.get_by_text("3 chats restored.")).to_be_visible()
    expect(chats.locator(".entry-title").filter(has_text=name)).to_have_count(3)
