"""A real server and real Chromium. Any error on a page's console fails its test.

`STEADY_TEST_SLOWER=6` makes the pages so many times slower, to find tests that pass only on a fast machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.servers import ADMIN, PASSWORD, ServerProcess

SLOWER = float(os.environ.get("STEADY_TEST_SLOWER", "1"))
PATIENCE_MS = 60_000  # limit for each wait: a busy machine fails no test
expect.set_options(timeout=PATIENCE_MS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.needs_chromium)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("server") / "data").start()
    process.add_person("other@example.org")
    yield process
    process.stop()


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[ServerProcess]:
    """Starts a server that a test may kill."""
    process = ServerProcess(tmp_path / "data").start()
    yield process
    process.stop()


class Person:
    """A logged-in user with a browser context of their own. A later test may get the same context, with empty
    storage, unless this test asked for `context` to change it."""

    def __init__(self, context: BrowserContext, url: str, email: str) -> None:
        self._context, self.url = context, url
        self.is_changed = False
        self.console_errors: list[str] = []
        self.allowed_errors: list[str] = []
        self.page = self.tab()
        context.add_cookies(_sessions.get((url, email), []))
        self.page.goto(url)
        if "/accounts/login/" in self.page.url:  # the first time, or a test before has ended the session
            _sessions[url, email] = log_in(context, url, email)
            self.page.goto(url)
        self.page.wait_for_url("**/conversations/*/")

    @property
    def context(self) -> BrowserContext:
        self.is_changed = True
        return self._context

    def tab(self) -> Page:
        page = self._context.new_page()
        if SLOWER > 1:
            self._context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
        page.on("pageerror", lambda error: self.console_errors.append(str(error.stack or error)))
        page.on(
            "console",
            lambda message: self.console_errors.append(message.text) if message.type == "error" else None,
        )
        return page

    def leave(self) -> bool:
        """Closes the tabs and empties the storage. The cache stays, with the compiled scripts and styles.
        Returns whether the context is as good as new."""
        if self.is_changed:
            return False
        tabs = self._context.pages
        blank = self._context.new_page()
        for tab in tabs:
            tab.close()
        kinds = {"origin": self.url, "storageTypes": "local_storage,indexeddb,cache_storage,service_workers"}
        self._context.new_cdp_session(blank).send("Storage.clearDataForOrigin", kinds)
        blank.close()
        self._context.clear_cookies()
        return True

    def unexpected_errors(self) -> list[str]:
        return [e for e in self.console_errors if not any(allowed in e for allowed in self.allowed_errors)]


# Contexts of the common server that no test uses, by their options. A warm cache saves half of the CPU of a
# page.
_unused: dict[str, list[BrowserContext]] = {}
# The cookies of a user at a server. A form filled in for each test would take a second of CPU each.
_sessions: dict[tuple[str, str], list[Any]] = {}


def log_in(context: BrowserContext, url: str, email: str) -> list[Any]:
    """Sends the form of the log-in page, and returns the cookies. (`test_access` fills it in.)"""
    address = f"{url}/accounts/login/"
    context.request.get(address)
    (token,) = (cookie["value"] for cookie in context.cookies() if cookie["name"] == "csrftoken")
    form = {"login": email, "password": PASSWORD, "csrfmiddlewaretoken": token}
    answer = context.request.post(address, form=form, headers={"Referer": address}, max_redirects=0)
    assert answer.status == 302, answer.text()
    return list(context.cookies())


@pytest.fixture
def people(server: ServerProcess, browser: Browser) -> Iterator[Callable[..., Person]]:
    """`people()` logs the administrator in, `people("other@example.org")` another user. `server=` chooses the
    server; other keyword arguments are passed to the browser context."""
    made: list[tuple[str, Person]] = []
    common = server

    def make(email: str = ADMIN, server: ServerProcess = server, **options: object) -> Person:
        # Without the animations, which Chromium draws 60 times a second while a reply is running.
        usual = {"viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce"}
        kind = repr(sorted({**usual, **options}.items()))
        if _unused.get(kind) and server is common:
            context = _unused[kind].pop()
        else:
            context = browser.new_context(**{**usual, **options})
            context.set_default_timeout(PATIENCE_MS)
        made.append((kind, Person(context, server.url, email)))
        return made[-1][1]

    yield make
    errors = [error for _, person in made for error in person.unexpected_errors()]
    for kind, person in made:
        # A socket that is being opened at this moment causes a console message.
        if person.url == server.url and not errors and person.leave():
            _unused.setdefault(kind, []).append(person.context)
        else:
            person.context.close()
    assert not errors, "\n\n".join(errors)


@pytest.fixture
def person(people: Callable[..., Person]) -> Person:
    return people()
