"""Takes screenshots of every state of the page: `uv run --group dev python -m docs.screenshots [FOLDER]`.

Starts its own server with the demo provider, and real Chromium at 1280 and 390 pixels, light and dark.
Without FOLDER only the pictures of the documentation are written, to docs/images/; with it all of them are.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests.servers import ADMIN, PASSWORD, ServerProcess

ROOT = Path(__file__).resolve().parent.parent
WIDE = {"viewport": {"width": 1280, "height": 800}}
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
LOOKS: dict[str, dict[str, Any]] = {
    f"{width}-{scheme}": {**size, "color_scheme": scheme, "reduced_motion": "reduce"}
    for width, size in (("wide", WIDE), ("phone", PHONE))
    for scheme in ("light", "dark")
}
SHOWN = {  # in the documentation: state and theme
    ("reply", "wide-light"),
    ("reply", "wide-dark"),
    ("running", "phone-light"),
    ("list", "phone-dark"),
}
TALK = ("How do tides work?", "Plan a shady garden", "Explain this SQL query", "Draft a kind refusal")

type Take = Callable[[Page, str], None]


def main() -> None:
    everything = len(sys.argv) > 1
    folder = Path(sys.argv[1]) if everything else ROOT / "docs/images"
    folder.mkdir(parents=True, exist_ok=True)
    for look, options in LOOKS.items():
        if everything or any(look == shown for _, shown in SHOWN):
            _with_server(options, _taker(folder, look, everything=everything))


def _taker(folder: Path, look: str, *, everything: bool) -> Take:
    def take(page: Page, state: str) -> None:
        if everything or (state, look) in SHOWN:
            page.screenshot(path=folder / f"{state}-{look}.png")

    return take


def _with_server(options: dict[str, Any], take: Take) -> None:
    with tempfile.TemporaryDirectory() as data, sync_playwright() as playwright:
        server = ServerProcess(Path(data) / "data").start()
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            _walk(chromium, server.url, options, take)
        finally:
            chromium.close()
            server.stop()


def _walk(chromium: Browser, url: str, options: dict[str, Any], take: Take) -> None:
    """Visits all states as one user."""
    page = chromium.new_context(**options).new_page()
    page.goto(f"{url}/accounts/login/")
    page.reload()  # the second time the font is loaded
    take(page, "log-in")
    _log_in(page, "not this one")
    page.get_by_role("alert").wait_for()
    take(page, "log-in-failed")
    _log_in(page, PASSWORD)
    page.wait_for_url("**/conversations/*/")
    take(page, "empty")
    for prompt in TALK[1:]:
        _chat(page, prompt)
        _new_chat(page)
    _chat(page, TALK[0])
    _thread(page, take)
    _new_chat(page)
    _states(page, take)
    for state, path in (("settings", "settings/"), ("password", "accounts/password/change/"), ("lost", "x/")):
        page.goto(f"{url}/{path}")
        take(page, state)
    page.context.close()


def _thread(page: Page, take: Take) -> None:
    jump = page.get_by_role("button", name="Jump to latest")
    take(page, "reply")
    page.evaluate("document.getElementById('scroller').scrollTop = 0")
    jump.wait_for()
    take(page, "top")
    jump.click()
    jump.wait_for(state="hidden")
    page.get_by_label("Chat options").click()
    take(page, "chat-options")
    page.keyboard.press("Escape")
    page.get_by_role("combobox", name="Model").click()
    take(page, "models")
    page.keyboard.press("Escape")


def _states(page: Page, take: Take) -> None:
    _send(page, "And how do they feel to a fish?")
    page.wait_for_function(
        "() => document.querySelector('[data-role=assistant] .message-body').innerText.length > 420"
    )
    take(page, "running")
    _send(page, "Then tell me of the moon")
    page.get_by_role("button", name="Cancel").wait_for()
    take(page, "queued")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Stop").wait_for(state="hidden")
    take(page, "stopped")
    for state in ("fail", "instant /demo cut", "instant /demo length", "instant /demo refuse"):
        _end_of(page, f"/demo {state}")
        take(page, state.split()[-1])
    page.get_by_role("button", name="Bad reply").last.click()
    page.get_by_role("button", name="Submit").wait_for()
    page.evaluate("document.getElementById('scroller').scrollTop = 1e9")
    take(page, "feedback")
    page.locator("#scroller").focus()
    page.keyboard.press("?")
    take(page, "shortcuts")
    page.keyboard.press("Escape")
    toggle = page.get_by_role("button", name="Chats")
    if toggle.get_attribute("aria-expanded") == "false":
        toggle.click()
    take(page, "list")


def _log_in(page: Page, password: str) -> None:
    page.get_by_label("Email").fill(ADMIN)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def _chat(page: Page, title: str) -> None:
    """Makes a finished chat with a title and a first prompt without the demo's commands."""
    page.get_by_role("combobox", name="Model").select_option(label="Demo")
    _end_of(page, title)
    page.locator("#conversations:not(:has([data-state]))").wait_for(state="attached")


def _send(page: Page, text: str) -> None:
    before = page.locator("article").count()
    page.get_by_role("textbox", name="Message").fill(text)
    page.get_by_role("button", name="Send").click()
    page.locator("article").nth(before + 1).wait_for()


def _end_of(page: Page, text: str) -> None:
    _send(page, text)
    last = page.locator("article[data-role=assistant]").last
    page.wait_for_function(
        "id => !['queued', 'running'].includes(document.getElementById(id).dataset.status)",
        arg=last.get_attribute("id"),
        timeout=90_000,
    )


def _new_chat(page: Page) -> None:
    here = page.url
    page.keyboard.press("Control+Shift+O")
    page.wait_for_url(lambda now: now != here)


if __name__ == "__main__":
    main()
