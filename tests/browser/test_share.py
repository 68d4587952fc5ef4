"""Share links, code, tables, the last prompt and notifications in real Chromium."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Person
from tests.browser.test_access import violations
from tests.browser.test_page import WIDTHS, ask
from tests.servers import ServerProcess

CLIPBOARD = """
window.copied = [];
navigator.clipboard.write = async ([item]) => {
  window.copied.push(await (await item.getType("text/plain")).text());
};
"""
NOTIFICATIONS = """
window.Notification = class {
  static permission = localStorage.getItem("stub") ?? "default";
  static requestPermission = async () => {
    localStorage.setItem("stub", Notification.permission = "granted");
    document.documentElement.dataset.asked = Number(document.documentElement.dataset.asked ?? 0) + 1;
    return "granted";
  };
  constructor(title, { body }) { document.documentElement.dataset.told = `${title}: ${body}`; }
  close() {}
};
Object.defineProperty(document, "hidden", { get: () => window.isAway === true });
const every = window.setInterval;
window.looks = 0; // of the pages' timers, each of which looks once a second
window.setInterval = (work, ...rest) => every(() => { work(); looks += 1; }, ...rest);
"""
LISTS = (
    ("/conversations/?archived=1", "Archive"),
    ("/conversations/?deleted=1", "Deleted chats"),
    ("/settings/usage/", "Usage"),
)
BLOCKS = (
    "/demo instant /demo echo ```python\nprint('a long line of code')\n```\n\n"
    '|name|sum|\n|-|-|\n|a, "b"|-5|\n|=HYPERLINK("x")|+1|\n'
)


def picture(page: Page, name: str, options: dict[str, Any]) -> None:
    if folder := os.environ.get("STEADY_TEST_PICTURES"):
        page.screenshot(path=f"{folder}/{name}-{options['viewport']['width']}.png")


@WIDTHS
def test_a_link_is_made_by_keyboard(people: Callable[..., Person], options: dict[str, Any]) -> None:
    page = people(reduced_motion="reduce", **options).page
    ask(page, BLOCKS)
    share = page.get_by_role("button", name="Share", exact=True)
    share.press("Enter")
    sheet = page.locator("#sheet")
    expect(sheet.get_by_role("heading", name="Share")).to_be_visible()
    expect(sheet).to_contain_text("2 messages")
    expect(sheet).to_contain_text("Not your name")
    assert violations(page) == []
    picture(page, "share", options)
    name = sheet.get_by_role("checkbox", name="Show my name")
    name.press("Space")
    expect(sheet).to_contain_text("Your name:")
    expect(name).to_be_focused()
    sheet.get_by_label("Title").fill("Sums")
    sheet.get_by_role("button", name="Create link").press("Enter")
    link = sheet.get_by_label("Link", exact=True)
    expect(link).to_have_value(re.compile(r"/shared/[\w-]{32}/$"))
    expect(link).to_be_focused()
    assert violations(page) == []
    picture(page, "share-made", options)

    shared = link.input_value()
    page.goto(shared)
    expect(page.get_by_role("heading", name="Sums")).to_be_visible()
    assert violations(page) == [], "shared page"
    picture(page, "shared", options)
    page.get_by_role("button", name="Continue as my own chat").press("Enter")
    expect(page.locator(".message")).to_have_count(2)
    assert violations(page) == [], "own copy"
    own = page.url
    page.goto(f"{own.partition('/conversations')[0]}/settings/shares/")
    assert violations(page) == [], "list of links"
    page.get_by_role("button", name="Revoke Sums").first.press("Enter")
    expect(page.get_by_role("button", name="Revoke Sums")).to_have_count(0)
    answer = page.request.get(shared)
    assert answer.status == 404
    for path, name in LISTS:
        page.goto(f"{own.partition('/conversations')[0]}{path}")
        expect(page.get_by_role("heading", name=name).first).to_be_visible()
        assert violations(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        picture(page, name.replace(" ", "-"), options)
    page.goto(f"{own.partition('/conversations')[0]}/settings/instructions/")
    page.get_by_role("textbox").first.press_sequentially("Words")
    page.once("dialog", lambda question: question.dismiss())
    with page.expect_event("dialog") as asked:
        page.keyboard.press("Control+k")
    assert asked.value.type == "confirm"
    expect(page.get_by_role("textbox").first).to_have_value("Words")
    page.get_by_role("textbox").first.fill("")
    page.keyboard.press("Control+k")
    expect(page.get_by_role("combobox", name="Commands")).to_be_focused()


@WIDTHS
def test_code_and_tables_can_be_taken_along_and_the_last_prompt_is_found(
    people: Callable[..., Person], options: dict[str, Any]
) -> None:
    person = people(reduced_motion="reduce", **options)
    page = person.page
    page.add_init_script(CLIPBOARD)
    page.reload()
    reply = ask(page, BLOCKS)
    block = reply.locator(".code-block")
    block.get_by_role("button", name="Wrap").press("Enter")
    expect(block).to_have_attribute("data-wraps", "")
    expect(block.get_by_role("button", name="Wrap")).to_have_attribute("aria-pressed", "true")
    with page.expect_download() as download:
        block.get_by_role("button", name="Download").press("Enter")
    assert download.value.suggested_filename == "code.py"
    assert download.value.path().read_text().strip() == "print('a long line of code')"
    assert violations(page) == []
    picture(page, "blocks", options)
    reply.get_by_role("button", name="More").press("Enter")
    page.get_by_role("button", name="Copy tables as CSV").press("Enter")
    expect(page.locator("#toasts")).to_contain_text("Copied")
    assert page.evaluate("copied") == ['name,sum\r\n"a, ""b""",-5\r\n"\'=HYPERLINK(""x"")",+1']

    ask(page, "/demo instant /demo long")
    prompts = page.locator('.message[data-role="user"]')
    page.get_by_role("textbox", name="Message").press("Control+Shift+L")
    expect(prompts.last).to_be_focused()
    expect(prompts.last).to_be_in_viewport()
    page.keyboard.press("Control+Shift+L")
    expect(prompts.first).to_be_focused()
    page.locator("#scroller").evaluate("(scroller) => scroller.scrollTo(0, scroller.scrollHeight)")
    page.get_by_role("button", name="Go to your last message").click()
    expect(prompts.last).to_be_focused()
    assert violations(page) == [], "the last prompt"

    box = page.get_by_role("textbox", name="Message")
    box.evaluate("(box) => { box.dataset.most = 200; }")
    box.fill("x" * 190)
    expect(page.locator("#estimate")).to_have_text("190 of 200 characters")
    box.fill("x" * 201)
    expect(page.locator("#estimate")).to_contain_text("Shorten the message")
    box.fill("word " * 38)
    expect(page.locator("#estimate")).to_have_text("38 words. About 2 more fit into the message.")
    box.fill("word " * 42)
    expect(page.locator("#estimate")).to_contain_text("42 words, about 2 too many.")
    page.route("**/prompts/?q=", lambda route: route.fulfill(body=""))
    box.fill("/")
    expect(page.get_by_text("You have no saved prompts yet.")).to_be_visible()
    assert violations(page) == [], "no saved prompts"
    box.fill("")


def test_a_long_reply_that_ends_in_a_hidden_tab_is_notified(
    people: Callable[..., Person], server: ServerProcess
) -> None:
    page = people(reduced_motion="reduce").page
    page.add_init_script(NOTIFICATIONS)
    page.reload()
    document, offer = page.locator("html"), page.get_by_text("Should the browser notify you")
    end_while_away(page)
    expect(offer).to_be_hidden()
    come_back(page)
    expect(offer).to_be_visible()
    expect(document).not_to_have_attribute("data-told", re.compile(""))
    assert violations(page) == []
    page.get_by_role("button", name="Notify me").press("Enter")
    expect(document).to_have_attribute("data-asked", "1")
    expect(offer).to_be_hidden()
    end_while_away(page)
    expect(document).to_have_attribute("data-told", "Steady: The reply ended early.")
    come_back(page)
    expect(offer).to_be_hidden()
    expect(document).not_to_have_attribute("data-asked", re.compile(""))
    page.goto(f"{server.url}/settings/")
    expect(page.get_by_text("Notifications are on in this browser.")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("button", name="Turn notifications off").press("Enter")
    expect(page.get_by_text("Notifications are off in this browser.")).to_be_visible()


def end_while_away(page: Page) -> None:
    """Sends a prompt and leaves the page, and its reply ends 20 seconds later."""
    with page.expect_response("**/notify*.js"):
        page.reload()
    page.get_by_role("textbox", name="Message").fill("/demo hang")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.locator('.message[data-status="running"]')).to_be_visible()
    wait_for_looks(page)
    page.evaluate("{ const now = Date.now; Date.now = () => now() + 20000; isAway = true; }")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator('.message[data-status="running"]')).to_have_count(0)
    wait_for_looks(page)


def wait_for_looks(page: Page) -> None:
    """Waits until all timers of the page have looked at it again."""
    before = page.evaluate("looks")
    page.wait_for_function("before => looks >= before + 8", arg=before)


def come_back(page: Page) -> None:
    page.evaluate("isAway = false; document.dispatchEvent(new Event('visibilitychange'))")


@pytest.fixture(autouse=True)
def no_links_left(server: ServerProcess) -> None:
    server.manage(
        "shell", "--verbosity=0", stdin="from chat.models import Share; Share.objects.all().delete()"
    )
