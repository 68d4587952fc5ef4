"""Runs axe-core on every page and state, dark and light, wide and narrow; the Content Security Policy; the
page size.

axe runs through the debugger, not as a script of the page, so the policy stays unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import brotli
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Person
from tests.browser.test_chat import replies, send, wait_for_text
from tests.browser.test_page import DESKTOP, PHONE, ask, box, german, open_list, options_of
from tests.servers import ADMIN, PASSWORD

ROOT = Path(__file__).resolve().parents[2]
AXE = (Path(__file__).parent / "vendor/axe.min.js").read_text()
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
COLOURS = ["color-contrast", "link-in-text-block"]
WIDTHS = pytest.mark.parametrize("options", [DESKTOP, PHONE], ids=["1280px", "390px"])

OWN_SCRIPTS = 40_000  # bytes over the wire, all of them
FIRST_PAGE = 150_000  # bytes over the wire


def violations(page: Page, *, is_seen_on_a_phone: bool = False) -> list[str]:
    """Returns the findings of axe, one line each: of all rules in light, of those on colours in dark. On a
    phone, of all rules in dark. If a test looks at the page in both widths, dark on the phone is enough: the
    colours are the same."""
    if not page.evaluate("typeof axe !== 'undefined'"):
        page.evaluate(AXE)
    if page.viewport_size == PHONE["viewport"]:
        page.emulate_media(color_scheme="dark")
        found = _run_axe(page, TAGS)
        page.emulate_media(color_scheme="light")
        return found
    found = _run_axe(page, TAGS)
    if is_seen_on_a_phone:
        return found
    page.emulate_media(color_scheme="dark")
    found += [f"dark: {one}" for one in _run_axe(page, COLOURS)]
    page.emulate_media(color_scheme="light")
    return found


def _run_axe(page: Page, rules: list[str]) -> list[str]:
    page.wait_for_function(
        "() => document.getAnimations().every(it => it.effect.getComputedTiming().endTime === Infinity)"
    )
    # axe would load each style sheet again, for an experiment that is off, and audio, which no page plays.
    # What it found in order would be sent here in full: half of the CPU of a run.
    options = {"runOnly": rules, "preload": False, "resultTypes": ["violations"]}
    found: list[dict[str, Any]] = page.evaluate(
        "async options => (await axe.run(document, options)).violations", options
    )
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found
        for node in one["nodes"]
        # A reply that was stopped right after "## " ends with an empty heading, as its Markdown does.
        if not (one["id"] == "empty-heading" and node["target"][0].startswith("#b-"))
    ]


@pytest.fixture
def reader(people: Callable[..., Person], options: dict[str, object]) -> Person:
    return people(reduced_motion="reduce", **options)


@WIDTHS
def test_the_chat_page_in_its_states(reader: Person) -> None:
    """States that are on the page at the same time are looked at together."""
    page = reader.page
    assert violations(page, is_seen_on_a_phone=True) == [], "empty"
    running = send(page, "/demo think Accessible to all")
    wait_for_text(running)
    send(page, "And then?").wait_for()
    assert violations(page, is_seen_on_a_phone=True) == [], "running and queued"
    replies(page).nth(1).get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Stop").click()
    expect(replies(page).first).to_have_attribute("data-status", "stopped")
    replies(page).last.get_by_role("button", name="Retry").click()
    wait_for_text(replies(page).first, 40)
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("group", name="Variant 2 of 2").wait_for()
    box(page).fill("word " * 30_000)
    page.get_by_text("Too long for this model").wait_for()
    assert violations(page, is_seen_on_a_phone=True) == [], "stopped, variants, cancelled and too long"
    for command in ("instant", "fail", "instant /demo cut", "instant /demo length", "instant /demo refuse"):
        reply = ask(page, f"/demo {command}")
    reply.get_by_role("button", name="Bad reply").click()
    reply.get_by_role("button", name="Submit").wait_for()
    assert violations(page, is_seen_on_a_phone=True) == [], "all ends of a reply, and feedback"


@WIDTHS
def test_menus_dialogs_and_notices(reader: Person) -> None:
    page = reader.page
    ask(page, "/demo instant Open everything")
    page.get_by_label("Chat options").click()
    assert violations(page, is_seen_on_a_phone=True) == [], "chat options"
    page.keyboard.press("Escape")
    page.get_by_role("combobox", name="Model").click()
    page.get_by_role("searchbox").wait_for()
    assert violations(page, is_seen_on_a_phone=True) == [], "models"
    page.keyboard.press("Escape")
    page.locator("#scroller").focus()
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Shortcuts").wait_for()
    assert violations(page, is_seen_on_a_phone=True) == [], "shortcuts"
    page.keyboard.press("Escape")
    open_list(page)
    options_of(page, "Open everything").get_by_role("button", name="Rename").wait_for()
    assert violations(page, is_seen_on_a_phone=True) == [], "list, and options of an entry"
    page.locator("#entry-menu").get_by_role("button", name="Rename").click()
    assert violations(page, is_seen_on_a_phone=True) == [], "renaming"
    page.keyboard.press("Escape")
    options_of(page, "Open everything").get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Undo").wait_for()
    assert violations(page, is_seen_on_a_phone=True) == [], "undo"


def test_the_plain_pages(people: Callable[..., Person]) -> None:
    reader = people(**DESKTOP)
    page, url = reader.page, reader.url
    reader.allowed_errors += ["404", "410"]
    for path in (
        "settings/",
        "settings/tokens/",
        "conversations/",
        "accounts/password/change/",
        "accounts/2fa/",
        "accounts/logout/",
        "accounts/reauthenticate/",
        "no-such-page/",
    ):
        page.goto(f"{url}/{path}")
        assert wide_and_narrow(page) == [], path
    page.context.clear_cookies()
    for path in (
        "accounts/login/",
        "accounts/signup/",
        "accounts/password/reset/",
        "accounts/password/reset/done/",
        "welcome/nothing/",
    ):
        page.goto(f"{url}/{path}")
        assert wide_and_narrow(page) == [], path
    page.goto(f"{url}/accounts/login/")
    page.get_by_label("Email").fill("nobody@example.org")
    page.get_by_label("Password").fill("not this")
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("alert").wait_for()
    assert wide_and_narrow(page) == [], "a log-in that failed"


def wide_and_narrow(page: Page) -> list[str]:
    """Returns the findings of axe in light at 1280 px, then in dark at 390 px."""
    found = violations(page, is_seen_on_a_phone=True)
    page.set_viewport_size(PHONE["viewport"])
    found += [f"390 px: {one}" for one in violations(page)]
    page.set_viewport_size(DESKTOP["viewport"])
    return found


def test_a_person_logs_in_with_the_form_and_the_keyboard(person: Person) -> None:
    page, chat = person.page, person.page.url
    page.context.clear_cookies()
    page.goto(chat)
    page.wait_for_url("**/accounts/login/**")
    page.get_by_label("Email").fill(ADMIN)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Password").press("Enter")
    page.wait_for_url(chat)
    expect(box(page)).to_be_visible()


def test_the_german_pages(people: Callable[..., Person]) -> None:
    page = german(people)
    assert violations(page) == []


def test_controls_are_large_enough_to_hit(people: Callable[..., Person]) -> None:
    page = people(**PHONE).page
    ask(page, "/demo instant Fingers are wide")
    small = page.evaluate(
        "() => [...document.querySelectorAll('button, summary, a[href], select')]"
        " .filter(it => it.checkVisibility({ visibilityProperty: true }) && !it.closest('.message-body'))"
        " .map(it => [it.getBoundingClientRect(), it.ariaLabel || it.textContent.trim()])"
        " .filter(([box]) => box.width && (box.width < 24 || box.height < 24))"
        " .map(([, name]) => name)"
    )
    assert [name for name in small if not name.startswith("Skip")] == []


def test_nothing_is_inline_and_the_policy_allows_nothing_unsafe(person: Person) -> None:
    page = person.page
    ask(page, "/demo instant Strict")
    answer = page.goto(page.url)
    assert answer is not None
    assert "unsafe" not in answer.headers["content-security-policy"]
    html = answer.text()
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", html)


def test_own_scripts_stay_small() -> None:
    scripts = [
        path for path in (ROOT / "static/js").glob("*.js") if path.name != "connection-check.js"
    ]  # another page's
    size = sum(len(brotli.compress(path.read_bytes())) for path in scripts)  # as whitenoise sends them
    assert size < OWN_SCRIPTS


def test_the_first_chat_page_stays_light(people: Callable[..., Person]) -> None:
    person = people()
    page = person.context.browser.new_context(storage_state=person.context.storage_state()).new_page()
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    sizes: list[float] = []
    network.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page.goto(person.url)
    box(page).wait_for()
    page.wait_for_load_state("networkidle")
    page.context.close()
    assert len(sizes) > 8
    assert sum(sizes) < FIRST_PAGE
