"""Titles, summaries and "What was sent" in real Chromium: one chat, with a small window."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Person
from tests.browser.test_access import violations
from tests.browser.test_chat import send
from tests.browser.test_page import DESKTOP, PHONE
from tests.servers import ServerProcess

SETTINGS = """
from chat.models import ChatModel, ServerSettings
small = ChatModel.objects.get(name="demo-fast")
ChatModel.objects.filter(name="demo").update(context_window=400)
ServerSettings(title_model=small, summary_model=small).save()
"""


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("sent") / "data").start()
    process.manage("shell", "--verbosity=0", stdin=SETTINGS)
    process.stop()
    process.start()  # A server keeps the settings that it has read for some seconds.
    yield process
    process.stop()


def ask(page: Page, text: str) -> None:
    reply = send(page, f"/demo instant /demo echo {text}")
    expect(reply).to_have_attribute("data-status", "complete")


def picture(page: Page, name: str) -> None:
    if folder := os.environ.get("STEADY_TEST_PICTURES"):
        page.screenshot(path=f"{folder}/{name}.png")


@pytest.mark.parametrize("options", [DESKTOP, PHONE], ids=["1280px", "390px"])
def test_a_chat_gets_a_title_a_summary_and_shows_what_was_sent(
    people: Callable[..., Person], own_server: ServerProcess, options: dict[str, object]
) -> None:
    person = people(server=own_server, reduced_motion="reduce", **options)
    page = person.page
    width = page.viewport_size["width"] if page.viewport_size else 0
    page.goto(f"{own_server.url}/settings/instructions/")
    page.get_by_label("My instructions").fill("Call me Ada.")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    assert violations(page) == [], "instructions"
    picture(page, f"instructions-{width}")
    page.goto(own_server.url)
    ask(page, "Why are tides so slow " + "of words " * 8)
    title = page.locator("#conversation-title")
    expect(title).to_have_text("Why are tides so slow")
    expect(page).to_have_title("Why are tides so slow · Steady")
    expect(page.locator("#conversations")).to_contain_text("Why are tides so slow")
    note = page.get_by_role("note")
    for number in range(12):
        ask(page, f"Prompt {number} " + "of words " * 8)
        if note.count():
            break
    expect(note).to_contain_text("It is sent a summary of them.")
    link = note.get_by_role("link", name="Show the summary")
    link.focus()
    page.keyboard.press("Enter")
    sheet = page.locator("#sheet")
    expect(sheet).to_contain_text("Why are tides so slow")
    assert violations(page) == [], "summary"
    picture(page, f"summary-{width}")
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    last = page.locator('article[data-role="assistant"]').last
    last.get_by_role("button", name="More").click()
    page.get_by_role("button", name="What was sent").click()
    expect(sheet.get_by_role("heading", name="What was sent")).to_be_visible()
    expect(sheet).to_contain_text("left out, because")
    sheet.get_by_text("My instructions").click()
    expect(sheet.get_by_text("Call me Ada.")).to_be_visible()
    assert violations(page) == [], "what was sent"
    picture(page, f"sent-{width}")
    page.emulate_media(color_scheme="dark")
    picture(page, f"sent-{width}-dark")
    page.emulate_media(color_scheme="light")
    assert sheet.evaluate("it => it.scrollWidth <= it.clientWidth"), "nothing is cut at the side"
    sheet.get_by_role("button", name="Close").click()
    expect(sheet).to_be_hidden()
    assert "sheet" not in (page.evaluate("document.activeElement.closest('dialog')?.id") or "")
