"""Presets, saved prompts and folders in real Chromium: one journey, on a desktop and on a phone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Person
from tests.browser.test_access import violations
from tests.browser.test_chat import send
from tests.browser.test_page import DESKTOP, PHONE
from tests.browser.test_sent import picture


@pytest.mark.parametrize("options", [DESKTOP, PHONE], ids=["1280px", "390px"])
def test_a_chat_begins_with_a_preset_uses_a_saved_prompt_and_moves_to_a_folder(
    people: Callable[..., Person], options: dict[str, object]
) -> None:
    person = people(reduced_motion="reduce", **options)
    page, is_phone = person.page, options is PHONE
    width = "390" if is_phone else "1280"
    name, folder = f"Translator {width}", f"Papers {width}"
    page.goto(f"{person.url}/settings/presets/new/")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Instructions").fill("Translate to {{language}}.")
    page.get_by_label("Suggested first messages").fill("/demo instant")
    assert violations(page) == [], "new preset"
    picture(page, f"preset-new-{width}")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    assert violations(page) == [], "preset"
    picture(page, f"preset-{width}")
    page.goto(f"{person.url}/settings/prompts/new/")
    page.get_by_label("Name").fill(f"greet{width}")
    page.get_by_label("Text").fill("/demo instant /demo echo Hello {{whom}}")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()

    page.goto(person.url)
    sheet = page.locator("#sheet")
    assert violations(page) == [], "start page"
    picture(page, f"preset-start-{width}")
    page.locator(".start-presets").get_by_role("link", name=name).focus()
    page.keyboard.press("Enter")
    sheet.get_by_label("language").fill("German")
    assert violations(page) == [], "variables"
    sheet.get_by_role("button", name="Use the preset").click()
    expect(sheet).to_be_hidden()
    expect(page.locator("#preset-used")).to_have_text(f"Preset {name}, version 1")
    page.get_by_role("button", name="/demo instant").click()
    expect(page.get_by_label("Message", exact=True)).to_have_value("/demo instant ")
    picture(page, f"preset-chosen-{width}")

    box = page.get_by_role("textbox", name="Message")
    box.fill("")
    box.press_sequentially("/gre")
    choice = page.get_by_role("option", name=f"/greet{width}")
    expect(choice).to_be_visible()
    while choice.get_attribute("aria-selected") != "true":
        box.press("ArrowDown")
    assert violations(page) == [], "saved prompts"
    picture(page, f"prompts-{width}")
    box.press("Enter")
    sheet.get_by_label("whom").fill("Eve")
    sheet.get_by_role("button", name="Insert").click()
    expect(box).to_have_value("/demo instant /demo echo Hello Eve")
    page.get_by_role("button", name="Send", exact=True).click() if is_phone else box.press("Enter")
    reply = page.locator('article[data-role="assistant"]').last
    expect(reply).to_have_attribute("data-status", "complete")
    expect(page.locator("#preset-used")).to_have_text(f"Preset {name}, version 1")
    box.press_sequentially("/demo")
    expect(page.locator("#prompt-choices")).to_be_hidden()
    box.fill("")
    expect(send(page, "/demo instant")).to_have_attribute("data-status", "complete")

    page.get_by_role("button", name="Chat options").click()
    page.get_by_role("link", name="Move to a folder").click()
    sheet.get_by_label("New folder").fill(folder)
    assert violations(page) == [], "move"
    sheet.get_by_role("button", name="Create folder and move").click()
    if is_phone:
        page.locator(".sidebar-toggle").click()
    inside = page.locator(".folder", has_text=folder)
    expect(inside.locator(".entry")).to_have_count(1)
    assert violations(page) == [], "folders"
    picture(page, f"folders-{width}")
    inside.locator("summary").click()
    expect(inside.locator(".entry")).to_have_count(0)
    inside.locator("summary").click()
    expect(inside.locator(".entry")).to_have_count(1)
    elsewhere = page.locator("#conversations .entry:not(.folder .entry) [aria-current]")
    if is_phone:
        inside.get_by_role("button", name="Options").click()
        page.locator("#entry-menu").get_by_role("link", name="Move to a folder").click()
        sheet.get_by_role("button", name="Remove from the folder").click()
        expect(elsewhere).to_have_count(1)
    else:
        inside.locator(".entry a").drag_to(page.locator(".sidebar-foot"), target_position={"x": 5, "y": 5})
        inside.locator(".entry a").drag_to(page.get_by_role("heading", name="Folders"))
        expect(elsewhere).to_have_count(1)
        elsewhere.drag_to(inside.locator("summary"))
        expect(elsewhere).to_have_count(0)
        expect(inside.locator(".entry")).to_have_count(1)
    expect(page.get_by_role("navigation", name="Chats").get_by_role("button", name="New chat")).to_have_count(
        1
    )
    inside.get_by_role("link", name="Edit folder").click()
    expect(page.get_by_role("heading", name=folder)).to_be_visible()
    assert violations(page) == [], "folder"
    picture(page, f"folder-{width}")
