"""What becomes of a prompt that is not stored at once, in real Chromium."""

from __future__ import annotations

import json
from collections.abc import Callable

from playwright.sync_api import Page, Route, WebSocketRoute, expect

from tests.browser.conftest import Person
from tests.browser.test_chat import replies
from tests.browser.test_page import box


def prompts(page: Page) -> list[str]:
    return page.locator("article[data-role=user] .message-body").all_inner_texts()


def losing(page: Page, is_lost: Callable[[str], bool]) -> list[str]:
    """Opens a new chat whose socket loses the first frame from the server that `is_lost` says; the answer
    grows by the prompts that the page sends over it."""
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


def test_what_is_typed_while_a_receipt_is_missing_goes_as_a_prompt_of_its_own(person: Person) -> None:
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


def test_a_missing_receipt_is_asked_for_again_with_what_was_sent(person: Person) -> None:
    page = person.page
    sent = losing(page, lambda frame: 'id="receipt"' in frame)
    box(page).fill("/demo fail once")
    box(page).press("Enter")
    expect(page.locator("article[data-role=user]")).to_have_count(1)
    box(page).fill("/demo fail once and typed since")
    expect(box(page)).to_have_value(" and typed since", timeout=15_000)
    assert (prompts(page), sent) == (["/demo fail once"], ["/demo fail once"])


def test_a_refused_prompt_stays_in_the_box_and_goes_no_more_by_itself(person: Person) -> None:
    page = person.page
    page.clock.install()
    page.goto(person.url)
    posts: list[str] = []
    page.on("request", lambda request: posts.append(request.url) if request.method == "POST" else None)
    page.evaluate("document.querySelector('#prompt').removeAttribute('maxlength')")
    box(page).fill("x" * 200_001)
    box(page).press("Enter")
    expect(page.locator("#notice")).to_contain_text("Shorten it")
    page.clock.run_for(30_000)
    assert posts == []
    box(page).fill("/demo fail")
    box(page).press("Enter")
    expect(replies(page)).to_have_count(1)
    expect(box(page)).to_have_value("")


def test_a_log_out_elsewhere_ends_a_page_that_lives_by_server_sent_events(
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
    page.wait_for_url("**/accounts/login/**", timeout=10_000)


def test_while_the_database_is_away_a_prompt_by_post_is_refused_in_words(
    people: Callable[..., Person],
) -> None:
    """The answer of the server is the one that `tests/views/test_answers.py` gets."""
    person = people()
    person.allowed_errors = ["503", "WebSocket"]
    page = person.page
    page.route_web_socket("**/ws/conversations/**", lambda ws: ws.close())
    page.goto(person.url)

    def answer(route: Route) -> None:
        client_id = (route.request.post_data or "").split('name="client_id"\r\n\r\n')[-1][:36]
        notice = f'<p id="notice" class="notice" data-kind="error" data-client-id="{client_id}">Away</p>'
        body = f'<hx-partial hx-target="#notice" hx-swap="outerHTML">{notice}</hx-partial>'
        route.fulfill(status=503, content_type="text/html", body=body)

    page.route("**/messages/", answer)
    box(page).fill("Are you there?")
    box(page).press("Enter")
    expect(page.locator("#notice")).to_have_text("Away")
    expect(box(page)).to_have_value("Are you there?")
