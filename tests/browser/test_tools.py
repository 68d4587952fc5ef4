"""Tools: switched on, approved and declined, in real Chromium."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Person
from tests.browser.test_access import violations
from tests.browser.test_page import WIDTHS, ask
from tests.servers import ServerProcess

ASKING = """
from chat.models import ChatModel, Tool
Tool.objects.filter(name="calculator").update(asks=True)
ChatModel.objects.filter(endpoint__slug="demo").update(searches_web=True)
"""
AS_BEFORE = "from chat.models import ChatModel; ChatModel.objects.update(searches_web=None)"


@pytest.fixture(scope="module", autouse=True)
def calculator_asks(server: ServerProcess) -> Iterator[None]:
    server.manage("shell", "--verbosity=0", stdin=ASKING)
    yield
    server.manage("shell", "--verbosity=0", stdin=AS_BEFORE)


def cards(page: Page) -> Locator:
    return page.locator(".tool-call")


@WIDTHS
def test_a_tool_is_switched_on_and_its_calls_are_decided_by_keyboard(
    people: Callable[..., Person], options: dict[str, object]
) -> None:
    page = people(**options).page
    tools = page.get_by_role("button", name="Tools")
    tools.press("Enter")
    choice = page.get_by_role("checkbox", name="Calculator")
    expect(choice).not_to_be_checked()
    choice.press("Space")
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(choice).to_be_hidden()

    reply = ask(page, "/demo instant /demo tool calculator 6 * 7")
    expect(reply).to_have_attribute("data-status", "waiting")
    expect(cards(page)).to_contain_text("6 * 7")
    expect(page.locator("#live-status")).to_contain_text("A tool needs your approval.")
    assert violations(page) == []
    page.reload()
    expect(reply).to_have_attribute("data-status", "waiting")
    page.get_by_role("button", name="Approve", exact=True).press("Enter")
    expect(reply).to_have_attribute("data-status", "complete")
    expect(reply.locator(".message-body")).to_contain_text("42")
    expect(cards(page)).to_have_attribute("data-state", "done")
    page.get_by_text("Result", exact=True).press("Enter")
    expect(cards(page).locator("details pre")).to_have_text("42")

    reply = ask(page, "/demo instant /demo tool calculator 1 / 0")
    page.get_by_role("button", name="Decline").press("Enter")
    expect(reply.last).to_have_attribute("data-status", "complete")
    expect(cards(page).last).to_have_attribute("data-state", "declined")
    ask(page, "/demo instant /demo tool calculator 2 * 4")
    page.get_by_role("button", name="Approve for this chat").press("Enter")
    expect(cards(page).last).to_have_attribute("data-state", "done")
    reply = ask(page, "/demo instant /demo tool calculator 3 * 5")
    expect(reply.last).to_have_attribute("data-status", "complete")

    tools.press("Enter")
    page.get_by_role("checkbox", name="Web search").press("Space")
    page.keyboard.press("Escape")
    reply = ask(page, "/demo instant /demo search trains <b> & trams")
    search = page.locator(".web-search")
    expect(search).to_have_attribute("data-state", "done")
    expect(search).to_contain_text("trains <b> & trams")
    expect(reply.last).to_have_attribute("data-status", "complete")
    assert violations(page) == []
    page.reload()
    expect(search).to_have_attribute("data-state", "done")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
