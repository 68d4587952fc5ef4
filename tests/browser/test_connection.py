"""The page's messages about its connection and about a deleted chat, and its own requests."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Request, expect

from tests.browser.conftest import Person
from tests.browser.test_chat import replies, send, wait_for_text
from tests.browser.test_page import WIDTHS, ask, box, open_list
from tests.faults.stack import free_port, wait_for_port
from tests.servers import ServerProcess

SSE = "() => document.querySelector('[hx-sse\\\\:connect]')?._htmx?.sse"

# The caret at the end of the output so far.
CARETS = """reply => [...reply.querySelectorAll('.message-body, .message-body *')]
    .filter(it => getComputedStyle(it, '::after').animationName === 'breathe').length"""

NGINX = """
daemon off; pid %(folder)s/nginx.pid; worker_processes 1; error_log %(folder)s/nginx.log;
events {}
http {
  access_log off; client_body_temp_path %(folder)s/body; proxy_temp_path %(folder)s/proxy;
  fastcgi_temp_path %(folder)s/fastcgi; uwsgi_temp_path %(folder)s/uwsgi; scgi_temp_path %(folder)s/scgi;
  server {
    listen 127.0.0.1:%(port)d;
    location / {
      proxy_pass %(upstream)s; proxy_http_version 1.1; proxy_read_timeout 120s;
      proxy_set_header Host $http_host; proxy_set_header Upgrade ""; proxy_set_header Connection "";
    }
  }
}
"""


@pytest.fixture
def without_upgrade(server: ServerProcess, tmp_path: Path) -> Iterator[str]:
    """Yields the address of an nginx that forwards everything except `Upgrade`."""
    port = free_port()
    config = tmp_path / "nginx.conf"
    config.write_text(NGINX % {"folder": tmp_path, "port": port, "upstream": server.url})
    process = subprocess.Popen(["nginx", "-c", str(config), "-e", str(tmp_path / "nginx.log")])
    wait_for_port(port)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait()


@pytest.mark.needs_nginx
def test_behind_a_proxy_without_sockets_nothing_says_that_the_connection_is_lost(
    people: Callable[..., Person], server: ServerProcess, without_upgrade: str
) -> None:
    class Behind:
        url = without_upgrade

    person = people(server=Behind())
    person.allowed_errors = ["WebSocket", "htmx:"]
    page = person.page
    page.wait_for_function(SSE)
    page.evaluate(
        "() => { window.said = []; new MutationObserver(() => window.said.push("
        "document.getElementById('connection').textContent))"
        ".observe(document.getElementById('connection'), { childList: true, characterData: true }); }"
    )
    expect(page.locator("#connection")).to_have_text("")
    page.evaluate("window.said = []")
    tried = [page.wait_for_event("websocket", timeout=60_000).url for _ in range(4)]
    assert len(tried) == 4
    reply = send(page, "Over events alone")
    wait_for_text(reply, 200)
    assert [text for text in page.evaluate("window.said") if text] == []
    expect(reply.locator(".live-line")).to_contain_text(" s")
    page.get_by_role("button", name="Stop").click()
    expect(reply).to_have_attribute("data-status", "stopped")


@pytest.mark.parametrize("way", ["socket", "events"])
def test_a_chat_deleted_elsewhere_during_a_reply_says_so_and_offers_an_action(
    people: Callable[..., Person], way: str
) -> None:
    person = people(reduced_motion="no-preference")  # the caret is found by its animation
    person.allowed_errors = ["WebSocket", "404"]
    page = person.tab()
    if way == "events":
        page.route_web_socket("**/ws/conversations/**", lambda ws: ws.close())
    page.goto(person.url)
    reply = send(page, "/demo long Gone while it answers")
    wait_for_text(reply, 50)
    page.wait_for_function(f"() => ({CARETS})(document.querySelector('[data-role=assistant]')) === 1")
    url = page.url
    box(page).fill("Half a thought")
    other = person.tab()
    other.goto(url)
    other.get_by_label("Chat options").click()
    other.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_role("alert").get_by_text("This chat was deleted.")).to_be_visible()
    expect(page.locator("#gone")).to_be_focused()  # not a button: the next key may be of the half thought
    expect(page.get_by_text("Answering…").locator("visible=true")).to_have_count(0)
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    assert carets(reply) == 0
    assert page.url == url
    assert wait_for_text(reply, 50)
    page.locator("#gone").get_by_role("button", name="New chat").click()
    page.wait_for_url(lambda now: now != url)
    expect(box(page)).to_have_value("Half a thought")
    expect(page.locator("#gone")).to_be_hidden()


def test_a_chat_deleted_elsewhere_can_be_restored(person: Person) -> None:
    page = person.page
    person.allowed_errors = ["404"]
    ask(page, "/demo instant Back again")
    url = page.url
    other = person.tab()
    other.goto(url)
    other.get_by_label("Chat options").click()
    other.get_by_role("button", name="Delete", exact=True).click()
    page.locator("#gone").get_by_role("button", name="Undo").click()
    expect(page.locator("#gone")).to_be_hidden()
    expect(replies(page)).to_have_count(1)
    assert page.url == url
    ask(page, "/demo instant It goes on")
    expect(replies(page)).to_have_count(2)


@WIDTHS
def test_the_draft_of_a_new_chat_is_kept_while_another_chat_is_open(
    people: Callable[..., Person], options: dict[str, object]
) -> None:
    page = people(**options).page
    ask(page, "/demo instant Somewhere to look")
    first = page.url
    open_list(page).get_by_role("button", name="New chat").click()
    page.wait_for_url(lambda url: url != first)
    expect(replies(page)).to_have_count(0)
    box(page).fill("A thought for a new chat")
    open_list(page).get_by_role("link", name="Somewhere to look").first.click()
    page.wait_for_url(first)
    expect(box(page)).to_have_value("")
    open_list(page).get_by_role("button", name="New chat").click()
    page.wait_for_url(lambda url: url != first)
    expect(box(page)).to_have_value("A thought for a new chat")
    page.goto(page.url.split("/conversations/")[0])
    expect(box(page)).to_have_value("A thought for a new chat")
    box(page).fill("/demo fail")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(replies(page)).to_have_count(1)
    open_list(page).get_by_role("button", name="New chat").click()
    expect(replies(page)).to_have_count(0)
    expect(box(page)).to_have_value("")


def test_opening_a_page_writes_only_if_something_unread_is_seen(person: Person) -> None:
    page = person.page
    ask(page, "/demo instant Look at me")
    page.reload()
    page.clock.install()
    page.reload()
    asked: list[Request] = []
    page.on("request", lambda request: asked.append(request))
    for _ in range(3):
        with page.expect_response(lambda response: "/conversations/?" in response.url):
            page.clock.run_for(5_000)
    assert {request.method for request in asked} == {"GET"}
    with page.expect_request(lambda it: "/conversations/?" in it.url and it.method == "POST"):
        send(page, "/demo instant Something new")


def carets(reply: Locator) -> int:
    return int(reply.evaluate(CARETS))


def watch_for_doubles(page: Page) -> None:
    """Records each later moment at which the page shows one prompt twice."""
    page.evaluate(
        "() => { window.doubles = []; const look = () => {"
        " const all = [...document.querySelectorAll('article[data-role=user] .message-body')]"
        "   .map(it => it.textContent);"
        " if (new Set(all).size < all.length) window.doubles.push(all); requestAnimationFrame(look); };"
        " look(); }"
    )


def test_stop_reaches_the_server_while_its_request_does_not(people: Callable[..., Person]) -> None:
    """The form waits here for ever; the frame over the socket ends the reply."""
    page = people().page
    held: list[object] = []
    page.route("**/generation*/**", lambda route: held.append(route))
    reply = send(page, "/demo think Stop me")
    wait_for_text(reply)
    page.get_by_role("button", name="Stop").click()
    expect(reply).to_have_attribute("data-status", "stopped")
    assert len(held) == 1


def test_stop_reaches_the_server_without_a_socket(people: Callable[..., Person]) -> None:
    page = people().page
    page.route_web_socket("**/ws/**", lambda socket: socket.close())
    page.reload()
    page.wait_for_function(SSE)
    reply = send(page, "/demo think Stop me")
    wait_for_text(reply)
    page.get_by_role("button", name="Stop").click()
    expect(reply).to_have_attribute("data-status", "stopped")
