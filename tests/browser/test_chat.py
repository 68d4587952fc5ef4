"""The main features in real Chromium, from the user's point of view."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Person

LIVE = re.compile("queued|running")
WHOLE_REPLY = 90_000  # ms; the demo takes 12 s for its answer, the rest is for slow machines
# A reply of some seconds, with a table, code and a formula.
SHORT = "/demo echo " + "Tides rise and fall twice a day on most coasts, and $x^2$ follows x.\n\n" * 8
SHORT += "| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\ndef fibonacci(n): ...\n```\n"


def send(page: Page, text: str) -> Locator:
    """Sends a prompt and returns the article of its reply."""
    before = replies(page).count()
    page.get_by_role("textbox", name="Message").fill(text)
    if page.evaluate("matchMedia('(pointer: coarse)').matches"):
        page.get_by_role("button", name="Send", exact=True).click()
    else:
        page.get_by_role("textbox", name="Message").press("Enter")
    reply = replies(page).nth(before)
    reply.wait_for()
    return reply


def replies(page: Page) -> Locator:
    return page.locator("article[data-role=assistant]")


def text_of(reply: Locator) -> str:
    return reply.locator(".message-body").inner_text()


def wait_for_text(reply: Locator, longer_than: int = 0) -> str:
    """Waits until the reply shows more than so many characters, and returns its text."""
    reply.page.wait_for_function(
        "([id, length]) =>"
        " document.getElementById(id).querySelector('.message-body').innerText.length > length",
        arg=[reply.get_attribute("id"), longer_than],
    )
    return text_of(reply)


def stop(page: Page, reply: Locator) -> str:
    """Stops the reply, which costs less than to wait for its end, and returns its HTML."""
    page.get_by_role("button", name="Stop").click()
    expect(reply).to_have_attribute("data-status", "stopped")
    return reply.locator(".message-body").inner_html()


def choose_model(page: Page, name: str) -> None:
    page.get_by_role("combobox", name="Model").select_option(label=name)


def test_a_reply_grows_while_it_streams_and_ends_as_markdown(person: Person) -> None:
    page = person.page
    page.get_by_role("textbox", name="Message").fill(SHORT)
    page.get_by_role("button", name="Send").click()
    reply = replies(page).first
    reply.wait_for()
    lengths = [0]
    while LIVE.fullmatch(reply.get_attribute("data-status") or "") and len(lengths) < 5:
        lengths.append(len(wait_for_text(reply, lengths[-1])))
    assert len(lengths) > 2, "the text must grow at least twice before it ends"
    expect(reply).to_have_attribute("data-status", "complete", timeout=WHOLE_REPLY)
    body = reply.locator(".message-body")
    expect(body.locator("table")).to_be_visible()
    expect(body.locator("pre code")).to_contain_text("fibonacci")
    expect(body.locator("math").first).to_be_attached()
    expect(body.locator("pre code span").first).to_be_attached()  # Colours come late from a busy machine.
    expect(page.get_by_role("textbox", name="Message")).to_have_value("")
    streamed = body.inner_html()
    page.reload()
    assert replies(page).first.locator(".message-body").inner_html() == streamed


def test_stop_keeps_the_text_so_far_and_says_so(person: Person) -> None:
    page = person.page
    reply = send(page, "Stop me")
    wait_for_text(reply)
    page.get_by_role("button", name="Stop").click()
    expect(reply).to_have_attribute("data-status", "stopped")
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    shown = text_of(reply)
    assert shown
    page.reload()
    assert text_of(replies(page).first) == shown
    expect(page.get_by_role("button", name="Continue")).to_be_visible()


def test_retry_puts_a_new_reply_in_the_place_of_the_old_one(person: Person) -> None:
    page = person.page
    reply = send(page, "/demo fail")
    expect(reply).to_have_attribute("data-status", "failed")
    first = reply.get_attribute("id")
    reply.get_by_role("button", name="Retry").click()
    page.wait_for_function(
        "id => { const all = document.querySelectorAll('article[data-role=assistant]');"
        "return all.length === 1 && all[0].id !== id && all[0].dataset.status === 'failed'; }",
        arg=first,
    )


def test_continue_resumes_after_the_text_so_far(person: Person) -> None:
    page = person.page
    reply = send(page, "Tell me a lot")
    shown = wait_for_text(reply, 40)
    page.get_by_role("button", name="Stop").click()
    expect(reply).to_have_attribute("data-status", "stopped")
    kept = text_of(reply)
    assert kept.startswith(shown[:15])
    page.get_by_role("button", name="Continue").click()
    following = replies(page).first
    expect(following).to_have_attribute("data-status", "running")
    assert wait_for_text(following, len(kept)).startswith(kept[:15])
    page.get_by_role("button", name="Stop").click()
    expect(replies(page).first).to_have_attribute("data-status", "stopped")


def test_a_reload_in_the_middle_shows_the_text_so_far_and_continues(person: Person) -> None:
    page = person.page
    seen = wait_for_text(send(page, "Reload me"), 60)
    page.reload()
    reply = replies(page).first
    after = wait_for_text(reply, len(seen))
    assert after.startswith(seen[:15])
    final = stop(page, reply)
    page.reload()
    assert replies(page).first.locator(".message-body").inner_html() == final


def test_a_second_tab_shows_the_same_reply_growing(person: Person) -> None:
    first = send(person.page, "Two tabs")
    wait_for_text(first, 30)
    other = person.tab()
    other.goto(person.page.url)
    second = replies(other).first
    wait_for_text(second, 60)
    final = stop(person.page, first)
    expect(second).to_have_attribute("data-status", "stopped")
    assert second.locator(".message-body").inner_html() == final


def test_a_prompt_sent_while_a_reply_runs_waits_its_turn(person: Person) -> None:
    page = person.page
    first = send(page, "First")
    wait_for_text(first)
    second = send(page, "Second")
    expect(second).to_have_attribute("data-status", "queued")
    page.get_by_role("button", name="Stop").first.click()
    page.reload()
    expect(replies(page)).to_have_count(2)


def test_without_websockets_the_page_streams_over_sse(people: Callable[..., Person]) -> None:
    person = people()
    person.allowed_errors += ["WebSocket", "htmx:ws:error", "Content Security Policy"]
    page = person.tab()
    page.add_init_script(
        "window.WebSocket = class extends WebSocket {"
        " constructor(url) { super(url.replace(/:\\d+/, ':1')); } }"
    )
    page.goto(person.url)
    page.wait_for_selector("[hx-sse\\:connect]", state="attached")
    reply = send(page, "/demo long Without sockets")  # A short one may end before a busy browser shows it.
    lengths = [0]
    for _ in range(2):
        lengths.append(len(wait_for_text(reply, lengths[-1])))
    final = stop(page, reply)
    page.reload()
    assert replies(page).first.locator(".message-body").inner_html() == final


def test_a_fallback_that_fails_at_first_is_tried_again(people: Callable[..., Person]) -> None:
    person = people()
    person.allowed_errors += ["WebSocket", "htmx:", "ERR_FAILED", "503"]
    page = person.page
    failures = iter([lambda route: route.abort(), lambda route: route.fulfill(status=503, body="Away.")])
    page.route_web_socket("**/ws/conversations/**", lambda ws: ws.close())
    page.route("**/events/**", lambda route: next(failures, lambda route: route.continue_())(route))
    page.goto(person.url)
    expect(page.locator("#connection")).to_contain_text("Reconnecting")
    assert wait_for_text(send(page, "After two failures"))
    expect(page.locator("#connection")).to_have_text("")
    expect(page.locator(".toast")).to_have_count(0)


def test_sse_takes_over_when_the_socket_breaks_in_the_middle(people: Callable[..., Person]) -> None:
    person = people()
    person.allowed_errors += ["WebSocket", "htmx:ws:error", "Content Security Policy"]
    page = person.tab()
    page.add_init_script(
        "const Real = WebSocket; window.sockets = [];"
        "window.WebSocket = class extends Real { constructor(url) {"
        " super(window.blocked ? url.replace(/:\\d+/, ':1') : url); window.sockets.push(this); } }"
    )
    page.goto(person.url)
    reply = send(page, "Cut the socket")
    seen = wait_for_text(reply, 30)
    page.evaluate("window.blocked = true; window.sockets.forEach(socket => socket.close());")
    page.wait_for_selector("[hx-sse\\:connect]", state="attached")
    assert wait_for_text(reply, len(seen) + 200).startswith(seen[:15])
    final = stop(page, reply)
    page.reload()
    assert replies(page).first.locator(".message-body").inner_html() == final


def test_someone_elses_conversation_is_not_found(people: Callable[..., Person]) -> None:
    owner, other = people(), people("other@example.org")
    send(owner.page, "Private")
    other.allowed_errors.append("404")
    answer = other.page.goto(owner.page.url)
    assert answer is not None and answer.status == 404
    assert "Private" not in other.page.content()


def test_a_deleted_chat_is_gone_from_the_list_and_its_address(person: Person) -> None:
    page = person.page
    expect(send(page, "/demo fail")).to_have_attribute("data-status", "failed")
    url = page.url
    page.reload()
    page.get_by_label("Chat options").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.wait_for_url(lambda now: now != url)
    person.allowed_errors.append("404")
    answer = page.goto(url)
    assert answer is not None and answer.status == 404


def test_log_out_ends_the_live_page(person: Person) -> None:
    page = person.page
    person.allowed_errors.append("401")  # the list of chats may be requested in between
    wait_for_text(send(page, "Log out"), 10)
    other = person.tab()
    other.goto(page.url)
    other.get_by_role("button", name="Log out", exact=True).click()
    page.wait_for_url("**/accounts/login/**")


def test_the_copy_button_of_a_code_block_copies_the_code(people: Callable[..., Person]) -> None:
    person = people(permissions=["clipboard-read", "clipboard-write"])
    page = person.page
    reply = send(page, "/demo instant")
    expect(reply).to_have_attribute("data-status", "complete")
    reply.locator("button.copy-code").first.click()
    code = reply.locator("pre code").first.inner_text()
    page.wait_for_function(
        "async code => (await navigator.clipboard.readText()).trim() === code", arg=code.strip()
    )
