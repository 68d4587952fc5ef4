"""Prompts that are not stored at once, in real Chromium."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from urllib.parse import parse_qs

from playwright.sync_api import Locator, Page, Route, WebSocketRoute, expect

from chat.pipeline.tokens import estimate_tokens
from tests.browser.conftest import Person
from tests.browser.test_chat import replies
from tests.browser.test_page import box
from tests.servers import ServerProcess


def prompts(page: Page) -> list[str]:
    return page.locator("article[data-role=user] .message-body").all_inner_texts()


def losing(page: Page, is_lost: Callable[[str], bool]) -> list[str]:
    """Opens a new chat whose socket loses the first frame from the server for which `is_lost` is true.
    Returns the list of prompts that the page sends over it."""
    sent: list[str] = []
    lost: list[str] = []

    def route(ws: WebSocketRoute) -> None:
        server = ws.connect_to_server()

        def to_page(message: str | bytes) -> None:
            if not lost and is_lost(str(message)):
                lost.append(str(message))
            else:
                ws.send(message)

        def to_server(message: str | bytes) -> None:
            frame = json.loads(message)
            if frame["type"] == "send":
                sent.append(frame["text"])
            server.send(message)

        server.on_message(to_page)
        ws.on_message(to_server)

    page.route_web_socket("**/ws/conversations/**", route)
    page.goto(page.url.split("/conversations/")[0])
    return sent


def test_text_typed_while_a_receipt_is_missing_is_sent_as_another_prompt(person: Person) -> None:
    page = person.page
    losing(page, lambda frame: 'id="receipt"' in frame)
    box(page).fill("/demo fail first")
    box(page).press("Enter")
    expect(page.locator("article[data-role=user]")).to_have_count(1)
    box(page).press("End")
    box(page).press_sequentially("/demo fail second")
    box(page).press("Enter")
    expect(page.locator("article[data-role=user]")).to_have_count(2)
    expect(box(page)).to_have_value("")
    assert prompts(page) == ["/demo fail first", "/demo fail second"]


def unsent(page: Page) -> Locator:
    """Returns the prompts on the page that wait or were refused."""
    return page.locator("article[data-status=sending], article[data-status=unsent]")


def test_a_missing_receipt_sends_nothing_twice_and_keeps_what_is_typed_since(person: Person) -> None:
    page = person.page
    sent = losing(page, lambda frame: 'id="receipt"' in frame)
    box(page).fill("/demo fail once")
    box(page).press("Enter")
    expect(page.locator("article[data-role=user]")).to_have_count(1)
    box(page).fill("Typed since")
    expect(unsent(page)).to_have_count(0)
    expect(replies(page)).to_have_attribute("data-status", "failed")
    expect(box(page)).to_have_value("Typed since")
    assert (prompts(page), sent) == (["/demo fail once"], ["/demo fail once"])


def test_a_refused_prompt_is_kept_and_not_resent_automatically(person: Person) -> None:
    page = person.page
    page.clock.install()
    page.goto(person.url)
    posts: list[str] = []
    page.on("request", lambda request: posts.append(request.url) if request.method == "POST" else None)
    box(page).fill("x" * 200_001)
    box(page).press("Enter")
    expect(unsent(page)).to_contain_text("Shorten it")
    page.clock.run_for(30_000)
    assert posts == []
    box(page).fill("/demo fail")
    box(page).press("Enter")
    expect(replies(page)).to_have_count(1)
    expect(box(page)).to_have_value("")


def test_a_log_out_elsewhere_ends_a_page_with_server_sent_events(
    people: Callable[..., Person],
) -> None:
    person = people()
    person.allowed_errors = ["WebSocket", "401"]
    page = person.page
    page.route_web_socket("**/ws/conversations/**", lambda ws: ws.close())
    with page.expect_response("**/events/**"):
        page.goto(person.url)
    other = person.tab()
    other.goto(person.url)
    other.locator("#log-out").evaluate("form => form.submit()")
    page.wait_for_url("**/accounts/login/**")


def test_while_the_database_is_away_a_prompt_by_post_is_refused_in_words(
    people: Callable[..., Person],
) -> None:
    """The response of the server is the one of `tests/views/test_responses.py`."""
    person = people()
    person.allowed_errors = ["503", "WebSocket"]
    page = person.page
    page.route_web_socket("**/ws/conversations/**", lambda ws: ws.close())
    page.goto(person.url)

    def answer(route: Route) -> None:
        (client_id,) = parse_qs(route.request.post_data or "")["client_id"]
        notice = f'<p id="notice" class="notice" data-kind="error" data-client-id="{client_id}">Away</p>'
        body = f'<hx-partial hx-target="#notice" hx-swap="outerHTML">{notice}</hx-partial>'
        route.fulfill(status=503, content_type="text/html", body=body)

    page.route("**/messages/", answer)
    box(page).fill("Are you there?")
    box(page).press("Enter")
    expect(unsent(page)).to_contain_text("Are you there?")
    expect(unsent(page)).to_contain_text("Not sent. Away")


def send_one_after_the_other(page: Page, *texts: str) -> None:
    """Sends each text after the previous one is stored."""
    for text in texts:
        box(page).fill(text)
        box(page).press("Enter")
        expect(box(page)).to_have_value("")
        expect(unsent(page)).to_have_count(0)


def test_without_websockets_each_prompt_is_sent_and_the_box_is_emptied(people: Callable[..., Person]) -> None:
    person = people()
    person.allowed_errors = ["WebSocket"]
    page = person.page
    page.route_web_socket("**/ws/conversations/**", lambda ws: ws.close())
    page.goto(person.url)
    send_one_after_the_other(page, "/demo fail ONE", "/demo fail TWO", "/demo fail THREE")
    expect(replies(page)).to_have_count(3)
    assert prompts(page) == ["/demo fail ONE", "/demo fail TWO", "/demo fail THREE"]
    expect(page.locator("#notice")).to_have_text("")


def test_when_the_socket_is_lost_after_the_first_prompt_the_next_ones_arrive(
    people: Callable[..., Person],
) -> None:
    person = people()
    person.allowed_errors = ["WebSocket"]
    page = person.page
    sockets: list[WebSocketRoute] = []

    def route(ws: WebSocketRoute) -> None:
        if sockets:
            ws.close()
        else:
            ws.connect_to_server()
        sockets.append(ws)

    page.route_web_socket("**/ws/conversations/**", route)
    page.goto(person.url)
    send_one_after_the_other(page, "/demo fail ONE")
    with page.expect_response("**/events/**"):
        sockets[0].close()
    send_one_after_the_other(page, "/demo fail TWO", "/demo fail THREE")
    expect(replies(page)).to_have_count(3)
    assert prompts(page) == ["/demo fail ONE", "/demo fail TWO", "/demo fail THREE"]


def test_a_prompt_whose_post_fails_is_resent_automatically(people: Callable[..., Person]) -> None:
    person = people()
    person.allowed_errors = ["WebSocket", "htmx:", "ERR_FAILED"]
    page = person.page
    page.route_web_socket("**/ws/conversations/**", lambda ws: ws.close())
    page.clock.install()
    page.goto(person.url)
    page.route("**/messages/", lambda route: route.abort())
    for _ in range(3):
        with page.expect_event("requestfailed", lambda request: "/messages/" in request.url):
            if not unsent(page).count():
                box(page).fill("/demo fail patience")
                box(page).press("Enter")
            page.clock.run_for(8_000)
    expect(unsent(page)).to_contain_text("/demo fail patience")
    expect(unsent(page)).to_contain_text("sent again automatically")
    expect(page.locator(".toast")).to_have_count(0)
    page.unroute("**/messages/")
    page.clock.run_for(8_000)
    expect(unsent(page)).to_have_count(0)
    expect(page.locator("#connection")).to_have_text("")
    page.clock.run_for(30_000)
    page.reload()
    assert prompts(page) == ["/demo fail patience"]


def test_a_post_that_hangs_does_not_delay_the_next(people: Callable[..., Person]) -> None:
    person = people()
    person.allowed_errors = ["WebSocket"]
    page = person.page
    page.route_web_socket("**/ws/conversations/**", lambda ws: ws.close())
    page.clock.install()
    page.goto(person.url)
    hanging: list[Route] = []
    page.route("**/messages/", lambda route: route.fallback() if hanging else hanging.append(route))
    with page.expect_request("**/messages/"):
        box(page).fill("/demo fail hung")
        box(page).press("Enter")
    page.clock.run_for(8_000)
    expect(unsent(page)).to_have_count(0)
    expect(replies(page)).to_have_count(1)
    expect(page.locator(".toast")).to_have_count(0)


def test_a_prompt_that_the_server_rejects_is_kept_and_not_resent_automatically(
    people: Callable[..., Person],
) -> None:
    """A refusal by a proxy names no prompt."""
    person = people()
    person.allowed_errors = ["WebSocket", "413"]
    page = person.page
    page.route_web_socket("**/ws/conversations/**", lambda ws: ws.close())
    page.clock.install()
    page.goto(person.url)
    posts: list[Route] = []

    def refuse(route: Route) -> None:
        posts.append(route)
        route.fulfill(status=413, content_type="text/html", body="<h1>Request Entity Too Large</h1>")

    page.route("**/messages/", refuse)
    box(page).fill("Too large for the proxy")
    box(page).press("Enter")
    expect(unsent(page)).to_contain_text("Not sent. The request did not reach the server. Try again.")
    page.clock.run_for(30_000)
    expect(unsent(page)).to_contain_text("Too large for the proxy")
    assert len(posts) == 1


def test_a_prompt_sent_while_the_server_is_away_arrives_once_when_it_is_back(
    people: Callable[..., Person], mortal: ServerProcess
) -> None:
    person = people(server=mortal)
    person.allowed_errors = ["WebSocket", "htmx:", "ERR_"]
    page = person.page
    send_one_after_the_other(page, "/demo fail before")
    mortal.kill()
    expect(page.locator("#connection")).to_contain_text("Reconnecting")
    with page.expect_event("requestfailed", lambda request: "/messages/" in request.url):
        box(page).fill("/demo fail meanwhile")
        box(page).press("Enter")
    expect(unsent(page)).to_contain_text("/demo fail meanwhile")
    mortal.start()
    expect(unsent(page)).to_have_count(0, timeout=60_000)
    expect(replies(page)).to_have_count(2)
    expect(page.locator("#connection")).to_have_text("")
    expect(page.locator(".toast")).to_have_count(0)
    page.reload()
    assert prompts(page) == ["/demo fail before", "/demo fail meanwhile"]


def test_the_count_of_tokens_depends_on_the_script(person: Person) -> None:
    page = person.page
    counts = {}
    for text in ("word ", "天天向上。"):
        box(page).fill(text * 100)
        expect(page.locator("#estimate")).to_contain_text("tokens")
        counts[text] = int(re.sub(r"\D", "", page.locator("#estimate").inner_text()))
        assert 0.7 < counts[text] / estimate_tokens(text * 100) < 1.5
    box(page).fill("")
    assert counts["天天向上。"] > 2 * counts["word "]
