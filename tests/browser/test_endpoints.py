"""The first ten minutes of an administrator: a provider is added, tested, named, limited and used."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Person
from tests.browser.test_access import violations
from tests.browser.test_chat import replies, wait_for_text

KEY = f"right-{uuid4().hex}"
WRONG = f"wrong-{uuid4().hex}"


class _Gpu(BaseHTTPRequestHandler):
    """Speaks Chat Completions with who has the key."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer({"data": [{"id": "qwen-3"}, {"id": "gemma-4"}]})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if not self._may():
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for number in range(20):
            piece = {"choices": [{"index": 0, "delta": {"content": f"word{number} "}}]}
            self.wfile.write(f"data: {json.dumps(piece)}\n\n".encode())
            time.sleep(0.02)
        end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        self.wfile.write(f"data: {json.dumps(end)}\n\ndata: [DONE]\n\n".encode())
        self.close_connection = True

    def _may(self) -> bool:
        if self.headers["Authorization"] == f"Bearer {KEY}":
            return True
        self._answer({"error": {"message": f"Wrong key {self.headers['Authorization']}"}}, 401)
        return False

    def _answer(self, value: object, status: int = 200) -> None:
        if status == 200 and not self._may():
            return
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Writes nothing."""


@pytest.fixture
def gpu() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Gpu)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    server.server_close()


LABEL = "document.activeElement?.labels?.[0]?.textContent.trim().replace(/:$/, '') ?? ''"
TEXT = "(document.activeElement?.value || document.activeElement?.textContent || '').trim()"


def focus(page: Page, name: str, *, by: str = LABEL) -> None:
    """By keyboard: the field with this label has the focus after Tab from where it is."""
    for _ in range(120):
        if page.evaluate(by) == name:
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not lead to {name!r}.")


def type_into(page: Page, label: str, text: str) -> None:
    focus(page, label)
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.type(text)


def press(page: Page, name: str) -> None:
    """By keyboard: the button or link with this name."""
    focus(page, name, by=TEXT)
    page.keyboard.press("Enter")


def toggle(page: Page, label: str, *, is_on: bool) -> None:
    """By keyboard: the box with this label is ticked, or not."""
    focus(page, label)
    box = page.locator(":focus")
    expect(box).to_be_checked(checked=not is_on)
    page.keyboard.press("Space")
    expect(box).to_be_checked(checked=is_on)


def test_a_provider_is_added_tested_corrected_limited_and_used(person: Person, gpu: str) -> None:
    page, url = person.page, person.url
    page.goto(f"{url}/admin/chat/endpoint/")
    page.get_by_role("link", name="Add provider").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/endpoint/add/")
    type_into(page, "Name", "GPU one")
    type_into(page, "Kind", "OpenAI-c")
    type_into(page, "Address", gpu)
    type_into(page, "Key", WRONG)
    press(page, "Test")
    result = page.locator("#test-result")
    expect(result).to_contain_text("The provider refuses the key.")
    expect(result.locator("li.passed")).to_have_count(2)
    assert violations(page) == []
    expect(page.get_by_label("Key", exact=False).first).to_have_value(WRONG)  # The form is as it was.
    page.locator("#id_key").focus()
    type_into(page, "Key", KEY)
    press(page, "Test")
    expect(result.locator("li.passed")).to_have_count(4)
    expect(result).to_contain_text("first word after")
    press(page, "Save and continue editing")
    expect(page.locator(".messagelist")).to_contain_text("2 models, 2 of them new")
    assert KEY not in page.content() and WRONG not in page.content()
    expect(page.locator("#id_key")).to_have_value("")
    page.set_viewport_size({"width": 390, "height": 844})
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.set_viewport_size({"width": 1280, "height": 800})

    page.goto(f"{url}/admin/auth/group/add/")
    type_into(page, "Name", "Research")
    press(page, "Save")
    page.wait_for_url("**/auth/group/")
    page.goto(f"{url}/admin/chat/chatmodel/?q=qwen-3")
    press(page, "qwen-3 GPU one")
    page.wait_for_url("**/change/**")
    type_into(page, "Display name", "Our best")
    toggle(page, "For everyone", is_on=False)
    toggle(page, "Research", is_on=True)
    assert violations(page) == []
    press(page, "Save")
    expect(page.locator(".messagelist")).to_contain_text("changed successfully")
    page.goto(url)
    model = page.get_by_role("combobox", name="Model")
    expect(model.locator("option", has_text="gemma-4")).to_have_count(1)
    expect(model.locator("option", has_text="Our best")).to_have_count(0)  # not of the group yet
    page.goto(f"{url}/admin/chat/user/1/change/")
    toggle(page, "Research", is_on=True)
    press(page, "Save")
    expect(page.locator(".messagelist")).to_contain_text("changed successfully")
    page.goto(url)
    message = page.get_by_role("textbox", name="Message")
    expect(message).to_be_focused()
    page.keyboard.press("Control+Shift+M")
    page.keyboard.type("our best")
    page.keyboard.press("Enter")
    expect(model.locator("option:checked")).to_have_text("Our best")
    expect(message).to_be_focused()
    page.keyboard.type("Hello GPU")
    page.keyboard.press("Enter")
    reply = replies(page).first
    reply.wait_for()
    wait_for_text(reply, 20)
    expect(reply).to_have_attribute("data-status", "complete")
    expect(reply).to_contain_text("word19")
    page.goto(f"{url}/admin/chat/endpoint/gpu-one/change/")
    expect(page.get_by_text("half within")).to_have_count(2)  # to the first word, and to the end

    page.goto(f"{url}/admin/chat/endpoint/gpu-one/delete/")
    page.get_by_role("button", name="Yes, I’m sure").click()
    page.wait_for_url("**/endpoint/")
    page.goto(url)
    expect(model.locator("option", has_text="gemma-4")).to_have_count(0)
