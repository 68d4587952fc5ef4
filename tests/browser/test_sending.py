"""A prompt from Enter to its place on the page, also with a slow server, in real Chromium."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import pytest
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, expect

from tests.browser.conftest import Person
from tests.browser.test_chat import replies
from tests.browser.test_composer import prompts, unsent
from tests.browser.test_connection import watch_for_doubles
from tests.browser.test_page import ask, box
from tests.servers import ServerProcess

LATE = 60_000  # ms


@contextmanager
def frozen(server: ServerProcess) -> Iterator[None]:
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def stored(page: Page) -> list[str]:
    """Returns the prompts on a fresh page, after all are sent."""
    expect(unsent(page)).to_have_count(0, timeout=LATE)
    page.reload()
    return prompts(page)


def doubles(page: Page) -> list[list[str]]:
    return page.evaluate("window.doubles")


def test_while_the_server_is_blocked_a_prompt_waits_in_its_place_and_is_sent_once(
    people: Callable[..., Person], mortal: ServerProcess
) -> None:
    page = people(server=mortal).page
    ask(page, "/demo instant /demo echo Before")
    page.clock.install()
    watch_for_doubles(page)
    with frozen(mortal):
        box(page).fill("/demo fail Are you there?")
        box(page).press("Enter")
        expect(unsent(page)).to_contain_text("/demo fail Are you there?")
        expect(unsent(page)).to_contain_text("Sending…")
        expect(box(page)).to_have_value("")
        expect(box(page)).to_be_focused()
        box(page).press_sequentially("/demo fail And the next?")
        box(page).press("Enter")
        expect(unsent(page)).to_have_count(2)
        expect(unsent(page).first.get_by_role("button", name="Try again")).to_be_hidden()
        page.clock.run_for(12_000)
        expect(unsent(page).first).to_contain_text("The server has not answered yet.")
        expect(unsent(page).first.get_by_role("button", name="Try again")).to_be_visible()
        expect(page.locator("#reader")).to_contain_text("The server has not answered yet.")
        assert prompts(page) == [
            "/demo instant /demo echo Before",
            "/demo fail Are you there?",
            "/demo fail And the next?",
        ]
    page.clock.resume()
    expect(unsent(page)).to_have_count(0, timeout=LATE)
    expect(replies(page)).to_have_count(3)
    assert doubles(page) == []
    assert stored(page) == [
        "/demo instant /demo echo Before",
        "/demo fail Are you there?",
        "/demo fail And the next?",
    ]


def test_a_prompt_that_waits_is_there_after_a_reload_and_in_no_other_chat(
    people: Callable[..., Person], mortal: ServerProcess
) -> None:
    person = people(server=mortal)
    person.allowed_errors = ["WebSocket", "htmx:", "ERR_"]
    page = person.page
    ask(page, "/demo instant /demo echo Before")
    box(page).fill("/demo fail Kept")
    mortal.kill()
    box(page).press("Enter")
    expect(unsent(page)).to_contain_text("/demo fail Kept")
    mortal.start()
    page.reload()
    assert stored(page) == ["/demo instant /demo echo Before", "/demo fail Kept"]
    page.get_by_role("button", name="New chat").click()
    expect(replies(page)).to_have_count(0)
    assert prompts(page) == []


def test_a_prompt_is_still_sent_while_another_chat_is_open(
    people: Callable[..., Person],
) -> None:
    person = people()
    person.allowed_errors = ["WebSocket", "htmx:", "ERR_FAILED"]
    page = person.page
    ask(page, "/demo instant Another chat")
    other = page.url
    page.get_by_role("button", name="New chat").click()
    page.wait_for_url(lambda url: url != other)
    page.route_web_socket("**/ws/conversations/**", lambda ws: ws.close())
    page.route("**/messages/", lambda route: route.abort())
    page.goto(person.url)
    mine = page.url
    with page.expect_event("requestfailed", lambda request: "/messages/" in request.url):
        box(page).fill("/demo fail Sent from afar")
        box(page).press("Enter")
    page.get_by_role("link", name="Another chat").first.click()
    page.wait_for_url(other)
    expect(unsent(page)).to_have_count(0)
    with page.expect_response("**/messages/", timeout=LATE):
        page.unroute("**/messages/")
    page.goto(mine)
    assert stored(page) == ["/demo fail Sent from afar"]


def test_what_is_refused_says_why_and_can_be_tried_again_or_discarded(person: Person) -> None:
    page = person.page
    box(page).fill("x" * 200_001)
    box(page).press("Enter")
    expect(unsent(page)).to_contain_text("Not sent. The message has 200,001 characters")
    expect(unsent(page)).to_have_attribute("data-status", "unsent")
    expect(page.locator("#reader")).to_contain_text("Not sent.")
    unsent(page).get_by_role("button", name="Edit").press("Enter")
    expect(unsent(page)).to_have_count(0)
    expect(box(page)).to_be_focused()
    expect(box(page)).to_have_value("x" * 200_001)
    box(page).press("Control+Enter")
    expect(unsent(page)).to_contain_text("Not sent.")
    unsent(page).get_by_role("button", name="Try again").press("Enter")
    expect(unsent(page)).to_contain_text("Not sent.")
    box(page).fill("/demo fail A shorter one")
    box(page).press("Enter")
    expect(replies(page)).to_have_count(1)
    expect(page.locator("article").last).to_contain_text("Not sent.")
    unsent(page).get_by_role("button", name="Discard").press("Enter")
    expect(unsent(page)).to_have_count(0)
    expect(box(page)).to_be_focused()
    assert stored(page) == ["/demo fail A shorter one"]


def test_while_the_database_is_locked_a_prompt_waits_and_says_what_to_do(
    people: Callable[..., Person], mortal: ServerProcess
) -> None:
    """The server waits 20 s for the lock, and then refuses the prompt with a message."""
    person = people(server=mortal)
    person.allowed_errors = ["503"]
    page = person.page
    ask(page, "/demo instant /demo echo Before")
    watch_for_doubles(page)
    with closing(sqlite3.connect(mortal.data_dir / "steady.sqlite3", isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        box(page).fill("/demo fail Locked out")
        box(page).press("Enter")
        expect(unsent(page)).to_contain_text("Sending…")
        expect(unsent(page).get_by_role("button", name="Try again")).to_be_visible(timeout=LATE)
        expect(unsent(page)).to_contain_text("Not sent.", timeout=LATE)
        database.execute("ROLLBACK")
    with suppress(PlaywrightError):  # its repetition waits at the server too, and may be faster
        unsent(page).get_by_role("button", name="Try again").click(timeout=5000)
    expect(unsent(page)).to_have_count(0, timeout=LATE)
    expect(replies(page)).to_have_count(2)
    assert doubles(page) == []
    assert stored(page) == ["/demo instant /demo echo Before", "/demo fail Locked out"]


def test_another_tab_with_the_same_chat_shows_a_waiting_prompt_once(person: Person) -> None:
    page = person.page
    ask(page, "/demo instant Two tabs")
    other = person.tab()
    other.goto(page.url)
    watch_for_doubles(page)
    watch_for_doubles(other)
    box(page).fill("/demo fail From one tab")
    box(page).press("Enter")
    for tab in (page, other):
        expect(replies(tab)).to_have_count(2)
        expect(unsent(tab)).to_have_count(0)
        assert doubles(tab) == []
    assert stored(other) == ["/demo instant Two tabs", "/demo fail From one tab"]


@pytest.mark.parametrize("button", ["Discard", "Edit"])
def test_a_prompt_discarded_in_one_tab_is_sent_by_no_other(
    people: Callable[..., Person], button: str
) -> None:
    person = people()
    person.allowed_errors = ["WebSocket", "htmx:", "ERR_FAILED", "404"]
    page = person.page
    ask(page, "/demo instant Two tabs")
    other = person.tab()
    for tab in (page, other):
        tab.route_web_socket("**/ws/conversations/**", lambda ws: ws.close())
        tab.route("**/messages/", lambda route: route.fulfill(status=404))
    page.reload()
    box(page).fill("/demo fail Given up")
    box(page).press("Enter")
    expect(unsent(page)).to_contain_text("Not sent.")
    other.goto(page.url)
    expect(unsent(other)).to_contain_text("Not sent.")
    with other.expect_request("**/messages/"):
        unsent(other).get_by_role("button", name="Try again").click()
    unsent(page).get_by_role("button", name=button).click()
    expect(unsent(page)).to_have_count(0)
    expect(unsent(other)).to_have_count(0)
    for tab in (page, other):
        tab.unroute("**/messages/")
    other.reload()
    assert stored(other) == ["/demo instant Two tabs"]


def test_a_refusal_is_shown_while_another_chat_is_open(people: Callable[..., Person]) -> None:
    person = people()
    person.allowed_errors = ["WebSocket", "htmx:", "ERR_FAILED", "413", "422", "400"]
    page = person.page
    ask(page, "/demo instant Another chat")
    other = page.url
    page.get_by_role("button", name="New chat").click()
    page.wait_for_url(lambda url: url != other)
    page.route_web_socket("**/ws/conversations/**", lambda ws: ws.close())
    page.route("**/messages/", lambda route: route.abort())
    page.goto(person.url)
    mine = page.url
    with page.expect_event("requestfailed", lambda request: "/messages/" in request.url):
        box(page).fill("Too long " * 25_000)
        box(page).press("Enter")
    page.get_by_role("link", name="Another chat").first.click()
    page.wait_for_url(other)
    page.unroute("**/messages/")
    notice = page.locator("#notice")
    expect(notice).to_contain_text("Not sent. The message has 224,999 characters", timeout=LATE)
    expect(notice).to_contain_text("Too long Too long")
    expect(notice).to_be_visible()
    page.goto(mine)
    expect(unsent(page)).to_contain_text("Not sent.")


def test_a_seen_chat_is_noted_after_a_failed_attempt(people: Callable[..., Person]) -> None:
    person = people()
    person.allowed_errors = ["htmx:", "ERR_FAILED"]
    page = person.page
    page.route("**/conversations/?**", lambda route: route.abort())
    with page.expect_event(
        "requestfailed", lambda request: request.method == "POST" and "/conversations/?" in request.url
    ):
        ask(page, "/demo instant Words")
    expect(replies(page)).to_have_attribute("data-status", "complete")
    revision = page.locator("#revision").input_value()
    page.wait_for_event("requestfailed", lambda request: "/conversations/?" in request.url)
    with page.expect_response(lambda answer: answer.request.method == "POST", timeout=LATE) as noted:
        page.unroute("**/conversations/?**")
    assert noted.value.ok
    assert f"seen={revision}" in (noted.value.request.post_data or "")
