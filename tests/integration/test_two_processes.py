"""The team deployment: PostgreSQL, Redis, and two server processes without sticky sessions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Person
from tests.browser.test_chat import replies, send, wait_for_text
from tests.conftest import POSTGRES_URL, REDIS_URL
from tests.servers import ADMIN, ServerProcess
from tests.services import fresh_database

pytestmark = [pytest.mark.needs_chromium, pytest.mark.needs_postgres, pytest.mark.needs_redis]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerProcess, ServerProcess]]:
    """Two processes that share a database, a Redis and the secret key."""
    with fresh_database(POSTGRES_URL) as database:
        folder = tmp_path_factory.mktemp("pair")
        env = {"DATABASE_URL": database, "REDIS_URL": REDIS_URL, "SECRET_KEY": "two processes, one key " * 3}
        first, second = (ServerProcess(folder / name, env) for name in ("first", "second"))
        first.start()
        second.start()
        yield first, second
        first.stop()
        second.stop()


def test_a_viewer_on_another_process_sees_the_reply_grow(
    pair: tuple[ServerProcess, ServerProcess], browser: Browser
) -> None:
    first, second = pair
    context = browser.new_context()
    sender = Person(context, first.url, ADMIN)
    # Cookies do not depend on ports, so one log-in is valid on both processes.
    reply = send(sender.page, "Seen from elsewhere")
    wait_for_text(reply, 60)
    viewer = sender.tab()
    viewer.goto(sender.page.url.replace(first.url, second.url))
    seen = replies(viewer).first
    length = 0
    for _ in range(5):
        length = len(wait_for_text(seen, length))
    expect(seen).to_have_attribute("data-status", "complete")
    expect(reply).to_have_attribute("data-status", "complete")
    assert seen.locator(".message-body").inner_html() == reply.locator(".message-body").inner_html()
    assert sender.unexpected_errors() == []
    context.close()


def test_stop_works_from_another_process(pair: tuple[ServerProcess, ServerProcess], browser: Browser) -> None:
    first, second = pair
    context = browser.new_context()
    sender = Person(context, first.url, ADMIN)
    reply = send(sender.page, "Stopped from elsewhere")
    wait_for_text(reply, 60)
    viewer = sender.tab()
    viewer.goto(sender.page.url.replace(first.url, second.url))
    viewer.get_by_role("button", name="Stop").click()
    expect(reply).to_have_attribute("data-status", "stopped")
    expect(replies(viewer).first).to_have_attribute("data-status", "stopped")
    context.close()


def test_when_its_process_is_killed_the_reply_is_kept_as_interrupted(
    pair: tuple[ServerProcess, ServerProcess], browser: Browser
) -> None:
    first, second = pair
    context = browser.new_context()
    sender = Person(context, first.url, ADMIN)
    viewer = sender.tab()
    reply = send(sender.page, "Killed")
    wait_for_text(reply, 60)
    viewer.goto(sender.page.url.replace(first.url, second.url))
    seen = replies(viewer).first
    shown = wait_for_text(seen, 60)
    first.kill()
    try:
        expect(seen).to_have_attribute("data-status", "interrupted", timeout=120_000)
        assert seen.locator(".message-body").inner_text().startswith(shown[:20])
        expect(seen.get_by_role("button", name="Continue")).to_be_visible()
        expect(seen.get_by_role("button", name="Retry")).to_be_visible()
    finally:
        context.close()
        first.start()
