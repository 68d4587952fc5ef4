"""Common fixtures: fast settings, users, and the services that some tests need.

Locally a test whose service is missing is skipped with the reason. With CI=true it fails, so that nothing is
left out.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from asgiref.sync import SyncToAsync
from django.conf import settings
from django.core.cache import cache
from django.db import connections
from playwright.sync_api import Browser, sync_playwright
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from chat import database
from chat.models import User
from chat.runtime import Runtime, install
from tests.services import is_missing

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
POSTGRES_URL = os.environ.get("STEADY_TEST_DATABASE_URL", "")
REDIS_URL = os.environ.get("STEADY_TEST_REDIS_URL", "")
NGINX = shutil.which("nginx")
FAKETIME = next(map(str, Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), "")

_NEEDS = {
    "needs_chromium": (CHROMIUM, "Chromium is not installed (apt install chromium)."),
    "needs_postgres": (POSTGRES_URL, "STEADY_TEST_DATABASE_URL names no PostgreSQL database."),
    "needs_redis": (REDIS_URL, "STEADY_TEST_REDIS_URL names no Redis."),
    "needs_nginx": (NGINX, "nginx is not installed (apt install nginx)."),
    "needs_poppler": (shutil.which("pdftotext"), "pdftotext is not installed (apt install poppler-utils)."),
    "needs_faketime": (FAKETIME, "libfaketime is not installed (apt install libfaketime)."),
}


def pytest_configure() -> None:
    # A deadline measures the load of the machine.
    hypothesis.settings.register_profile("steady", deadline=None)
    hypothesis.settings.load_profile("steady")
    # Argon2 is slow by design, and a manifest needs collectstatic. Tests of real processes use both.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    # A pool keeps connections open, and a test database with connections cannot be dropped.
    settings.DATABASES["default"]["OPTIONS"].pop("pool", None)
    settings.WHITENOISE_AUTOREFRESH = True  # searches files on request: there is no STATIC_ROOT to scan


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers():
        found, reason = _NEEDS.get(marker.name, (True, ""))
        if not found:
            is_missing(reason)


class ByFile(LoadScopeScheduling):
    """Distributes tests by file, so that a file is set up once. The fault tests, which depend on the timing
    of whole installations, run one after the other."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "tests/faults" if file.startswith("tests/faults/") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    return ByFile(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Runs the fault tests first, because they take longest. Tests with a browser run last: from its start on
    Playwright uses the thread's event loop, and no asyncio test can run beside it."""

    def place(item: pytest.Item) -> int:
        if "faults" in item.path.parts:
            return 0
        return 2 if "browser" in (*item.path.parts, *getattr(item, "fixturenames", ())) else 1

    items.sort(key=place)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Yields the only Chromium of a run."""
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> Iterator[None]:
    """Asynchronous tests query the database on a thread of asgiref, whose connection must be closed before
    the test database can be dropped."""
    yield
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()


@pytest.fixture
def make_user(db: None) -> Callable[..., User]:
    """Creates users: `make_user("ada@example.org")`, `make_user(email, is_superuser=True)`. The password is
    "correct horse"."""

    def make(email: str, **fields: object) -> User:
        return User.objects.create_user(email, "correct horse", **fields)

    return make


@pytest.fixture
def person(make_user: Callable[..., User]) -> User:
    return make_user("person@example.org")


@pytest.fixture
def administrator(make_user: Callable[..., User]) -> User:
    return make_user("administrator@example.org", is_staff=True, is_superuser=True)


@pytest.fixture(autouse=True)
def runtime() -> Runtime:
    """Each test has its own. It is not started: a test starts it, or the parts that it needs."""
    runtime = Runtime()
    install(runtime)
    return runtime


@pytest.fixture(autouse=True)
def no_test_uses_up_the_next_ones_attempts() -> None:
    cache.clear()


@pytest.fixture(autouse=True)
def no_connection_outlives_its_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server keeps SQLite connections for the next units of its threads; threads of a test have none."""

    def release(*, keep: bool = False) -> None:
        for connection in connections.all(initialized_only=True):
            if not connection.in_atomic_block:
                connection.close()

    monkeypatch.setattr(database, "_release_connections", release)
