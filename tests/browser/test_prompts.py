"""Saved prompts in the message box, in real Chromium."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import Person
from tests.browser.test_access import violations
from tests.browser.test_page import ask, box
from tests.servers import ServerProcess

# Variables with the names of what forms have themselves, and a text that costs a careless expression hours.
PROMPT = """
from chat.actions.saved_prompt import make_saved_prompt
from chat.models import User
text = "Greet {{ matches }}, {{closest}} and {{matches}}. {{" + " " * 15_000 + "."
make_saved_prompt(User.objects.get(email="admin@example.org"), "greet", text)
"""
SELECT_IS_BESIDE_THE_HEADING = """() => {
  const list = document.getElementById("conversations");
  const named = (css, name) => [...list.querySelectorAll(css)].find((it) => it.textContent.trim() === name);
  const [heading, select] = [named("h2, h3", "Today"), named("a", "Select")];
  return Math.abs(heading?.getBoundingClientRect().bottom - select?.getBoundingClientRect().bottom) < 8;
}"""


def test_a_hostile_prompt_is_filled_in_by_keyboard(person: Person, server: ServerProcess) -> None:
    server.manage("shell", "--verbosity=0", stdin=PROMPT)
    page = person.page
    box(page).press_sequentially("/gr")
    expect(page.get_by_role("option", name="/greet")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("matches").fill("Ada")
    dialog.get_by_label("closest").fill("$& {{matches}}")
    assert violations(page, is_seen_on_a_phone=True) == []
    dialog.get_by_role("button", name="Insert").press("Enter")
    expect(box(page)).to_have_value(re.compile(r"^Greet Ada, \$& \{\{matches\}\} and Ada\. "))
    expect(box(page)).to_be_focused()
    box(page).fill("")
    ask(page, "/demo instant /demo echo Hello")
    chats = page.locator("#conversations")
    expect(chats.get_by_role("heading", name="Today", exact=True)).to_be_visible()
    expect(chats.get_by_role("link", name="Select", exact=True)).to_be_visible()
    # Both at one moment: the list is replaced when a chat changes.
    page.wait_for_function(SELECT_IS_BESIDE_THE_HEADING)
