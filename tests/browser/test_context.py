"""Chats longer than the model's window, and replies whose model is gone, in real Chromium."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Person
from tests.browser.test_chat import choose_model, replies, send
from tests.servers import ServerProcess

CUT = "The messages above are no longer sent to the model"
CUT_IN_GERMAN = "Die Nachrichten oberhalb werden dem Modell nicht mehr gesendet"


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Starts a server with small models: 260 tokens."""
    process = ServerProcess(tmp_path_factory.mktemp("small") / "data").start()
    change(process, "update(context_window=260)")
    yield process
    process.stop()


def change(server: ServerProcess, how: str) -> None:
    code = f"from chat.models import ChatModel; ChatModel.objects.{how}\n"
    server.manage("shell", "--verbosity=0", stdin=code)


def ask(page: Page, text: str) -> None:
    reply = send(page, f"/demo instant /demo echo {text}")
    expect(reply).to_have_attribute("data-status", "complete")


def test_a_notice_marks_the_first_message_that_the_model_is_sent(
    people: Callable[..., Person], own_server: ServerProcess
) -> None:
    person = people(server=own_server)
    page = person.page
    page.evaluate(
        """() => {
          window.heard = [];
          const status = document.getElementById("live-status");
          const listen = () => window.heard.push(status.textContent);
          new MutationObserver(listen).observe(status, { childList: true });
        }"""
    )
    note = page.get_by_role("note")
    for number in range(12):
        ask(page, f"Prompt {number} " + "of words " * 8)
        if note.count():
            break
    expect(note).to_have_count(1)
    expect(note).to_contain_text(CUT)
    assert any("Older messages are no longer sent" in text for text in page.evaluate("window.heard"))
    article = page.locator("article", has=note)
    expect(article).to_have_attribute("data-role", "user")
    place = article.get_attribute("id")
    assert article.evaluate("(it) => it.previousElementSibling !== null")
    page.reload()
    expect(page.locator("article", has=page.get_by_role("note"))).to_have_attribute("id", place or "")
    person.context.set_extra_http_headers({"Accept-Language": "de"})
    page.reload()
    expect(page.get_by_role("note")).to_contain_text(CUT_IN_GERMAN)


def test_retry_and_continue_use_the_model_of_the_composer_if_theirs_is_gone(
    people: Callable[..., Person], own_server: ServerProcess
) -> None:
    page = people(server=own_server).page
    choose_model(page, "Demo")
    reply = send(page, "/demo cut")
    expect(reply).to_have_attribute("data-status", "interrupted", timeout=60_000)
    change(own_server, "filter(name='demo').update(enabled=False)")
    try:
        page.reload()
        expect(page.get_by_role("combobox", name="Model")).to_have_value(re.compile(r"\d+"))
        page.get_by_role("button", name="Continue").press("Enter")
        expect(replies(page).locator(".message-who")).to_have_text("Demo, fast and long")
        expect(replies(page)).to_have_attribute("data-status", re.compile("complete|length"), timeout=60_000)
    finally:
        change(own_server, "update(enabled=True)")


def test_without_scripts_the_list_of_models_is_offered(
    people: Callable[..., Person], own_server: ServerProcess
) -> None:
    person = people(server=own_server, java_script_enabled=False)
    person.allowed_errors.append("409")
    page = person.page
    page.get_by_role("combobox", name="Model").select_option(label="Demo")
    page.get_by_role("textbox", name="Message").fill("/demo instant /demo fail")
    page.get_by_role("button", name="Send").click()
    for _ in range(100):
        if page.locator("article[data-status=failed]").count():
            break
        page.reload()
    change(own_server, "filter(name='demo').update(enabled=False)")
    try:
        page.get_by_role("button", name="Retry").last.click()
        expect(page.get_by_role("heading", name="Choose another model")).to_be_visible()
        page.get_by_role("combobox", name="Model").select_option(label="Demo, fast and long")
        page.get_by_role("button", name="Retry").click()
        expect(replies(page).locator(".message-who")).to_have_text("Demo, fast and long")
    finally:
        change(own_server, "update(enabled=True)")
