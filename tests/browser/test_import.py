"""The import of chats, in real Chromium: by keyboard, at both widths."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Person
from tests.browser.test_access import WIDTHS, violations
from tests.browser.test_organising import palette
from tests.transfer.samples import CLAUDE, CLAUDE_PROJECTS, as_zip


@pytest.fixture
def reader(people: Callable[..., Person], options: dict[str, object]) -> Person:
    return people(reduced_motion="reduce", **options)


def exported(path: Path, name: str) -> Path:
    """A file with a chat, and with one that cannot be read."""
    message = {
        "id": "1",
        "parent": None,
        "role": "user",
        "shown": True,
        "parts": [{"type": "text", "text": "Hello"}],
    }
    chats = [
        {"id": name, "title": name, "tags": ["old"], "messages": [message]},
        {"id": "broken", "messages": []},
    ]
    path.write_text(json.dumps({"format": "steady-chats", "version": 1, "chats": chats}))
    return path


@WIDTHS
def test_a_file_is_shown_first_and_then_imported(reader: Person, tmp_path: Path) -> None:
    page = reader.page
    name = f"Imported {page.viewport_size['width'] if page.viewport_size else 0}"
    page.goto(f"{reader.url}/settings/transfer/")
    page.get_by_label("File").set_input_files(exported(tmp_path / f"{name}.json", name))
    page.get_by_role("button", name="Import", exact=True).press("Enter")
    entry = page.get_by_role("listitem").filter(has_text=f"{name}.json").first
    agree = entry.get_by_role("button", name="Import 1 chat")
    agree.wait_for()
    expect(entry.get_by_text("1 chat cannot be read")).to_be_visible()
    assert violations(page) == [], "ready"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    agree.press("Enter")
    expect(entry.get_by_text("1 chat was imported.")).to_be_visible()
    assert violations(page) == [], "done"
    page.goto(reader.url)
    palette(page)
    page.keyboard.type(name)
    expect(page.locator('#palette [aria-selected="true"]')).to_have_text(re.compile(name))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=name)).to_be_visible()
    expect(page.get_by_text("Hello", exact=True)).to_be_visible()


def test_projects_of_claude_become_folders_and_the_report_says_what_is_not_imported(
    people: Callable[..., Person], tmp_path: Path
) -> None:
    person = people(reduced_motion="reduce")
    page = person.page
    data = as_zip(
        tmp_path / "claude.zip",
        conversations__json=json.dumps(CLAUDE[:1]),
        projects__json=json.dumps([{**CLAUDE_PROJECTS[0], "name": "Garden work"}]),
    )
    page.goto(f"{person.url}/settings/transfer/")
    page.get_by_label("File").set_input_files(data)
    page.get_by_role("button", name="Import", exact=True).press("Enter")
    entry = page.get_by_role("listitem").filter(has_text="claude.zip").first
    agree = entry.get_by_role("button", name="Import 1 chat")
    agree.wait_for()
    expect(entry).to_contain_text("Folders: 1")
    expect(entry).to_contain_text("Files of folders: 2")
    not_imported = entry.get_by_role("list", name="Not imported")
    expect(not_imported).to_contain_text("these chats are in no folder: 1")
    expect(not_imported).to_contain_text("descriptions of projects: 1")
    assert violations(page) == []
    agree.press("Enter")
    expect(entry.get_by_text("1 chat was imported.")).to_be_visible()
    page.goto(person.url)
    page.locator(".folder", has_text="Garden work").get_by_role("link", name="Edit folder").click()
    expect(page.get_by_role("textbox", name="Instructions")).to_have_value("Answer as a gardener.")
    for name in ("roses.md", "soil.pdf.txt"):
        expect(page.get_by_text(name)).to_be_visible()
