"""Common fixtures: fast settings, users, and the services that some tests need.

Locally a test whose service is missing is skipped with the reason. With CI=true it fails, so that nothing is
left out.
"""

from __future__ import annotations

import gc
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from asgiref.sync import SyncToAsync
from django.conf import settings
from django.core.cache import cache
from django.db import connections
from pytest_django import DjangoDbBlocker
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from chat import database, rate_limit
from chat.models import User
from chat.runtime import Runtime, install
from tests.cpu import Cpu
from tests.services import CHROMIUM, LONG, is_missing
from tests.tables import create_quickly, empty_quickly, keep_tables

if TYPE_CHECKING:
    from playwright.sync_api import Browser

POSTGRES_URL = os.environ.get("STEADY_TEST_DATABASE_URL", "")
REDIS_URL = os.environ.get("STEADY_TEST_REDIS_URL", "")
NGINX = shutil.which("nginx")
FAKETIME = next(map(str, Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), "")

_NEEDS = {
    "needs_chromium": (CHROMIUM, "Chromium is not installed (apt install chromium-headless-shell)."),
    "needs_postgres": (POSTGRES_URL, "STEADY_TEST_DATABASE_URL names no PostgreSQL database."),
    "needs_redis": (REDIS_URL, "STEADY_TEST_REDIS_URL names no Redis."),
    "needs_nginx": (NGINX, "nginx is not installed (apt install nginx)."),
    "needs_poppler": (shutil.which("pdftotext"), "pdftotext is not installed (apt install poppler-utils)."),
    "needs_faketime": (FAKETIME, "libfaketime is not installed (apt install libfaketime)."),
}


# Suites that start browsers, servers or installations, or repeat one thing very often, and what each of them
# proves. `-m "not slow"` leaves them out.
_SLOW = {
    "tests/actions/test_send.py": "A prompt is one message and one reply, however often it is sent.",
    "tests/actions/test_throttle.py": "Guessing a password takes years, and a stranger locks nobody out.",
    "tests/admin": "No right and no page of the administration gives away more than it says.",
    "tests/api": "Programs get what is theirs, every character of it once, and are refused in words.",
    "tests/browser": "The page does in a real Chromium what people expect of it.",
    "tests/diagnosis": "`doctor` finds what is set up wrong, in front of real servers and proxies.",
    "tests/faults": "No reply is lost or stuck when a process, database, network, proxy or client fails.",
    "tests/files": "Files are kept, read and shown as what they are, and hostile ones are not read.",
    "tests/generation": "A reply is produced once, is saved while it grows, and ends in one state.",
    "tests/hostile": "No text, however it is made, takes more than linear time.",
    "tests/integration": "The commands, servers and configurations work as they are deployed.",
    "tests/live": "A page that is kept up to date equals a fresh one, whatever was lost on the way.",
    "tests/management": "A process that stands still is ended, and one that lives is not.",
    "tests/project/test_plain_words.py": "Code, comments and docs use the standard words.",
    "tests/project/test_settings_documented.py": "Every setting that is read is documented.",
    "tests/project/test_middleware.py": "Each answer has the headers that browsers need.",
    "tests/providers": "Each adapter sends, reads and fails as its provider's own SDK does.",
    "tests/rendering/test_bad_input.py": "Text that is expensive to render is rendered and streamed.",
    "tests/rendering/test_conversation.py": "Each change makes the fresh page of the one shown.",
    "tests/rendering/test_in_chromium.py": "A streamed reply equals the whole one in a real browser.",
    "tests/rendering/test_incremental.py": "A streamed reply equals the whole one, however it is cut.",
    "tests/search": "Search finds what one's own chats contain, and every text is a query.",
    "tests/test_access_matrix.py": "Each route answers owner, teammate, outsider and anonymous as it should.",
    "tests/test_checks.py": "Commands refuse wrong settings in words, in processes of their own.",
    "tests/test_migrations.py": "Commands refuse a database that does not fit, and leave it alone.",
    "tests/test_writer.py": "What was acknowledged is stored, in whatever order units write.",
    "tests/tools": "A tool runs as its settings say, and reaches no private address.",
    "tests/transfer": "Chats are imported whole, and a hostile file ends with a sentence.",
    "tests/transports": "Real sockets and streams deliver to those who may see, and end for all others.",
    "tests/views": "Each page and fragment shows what it should, to those who may see it.",
}
# The suites of these that `pytest` alone leaves out, because they drive browsers, start many servers or
# measure time. `.ci/run` runs them, and so does `pytest` with their path or a marker.
_LONG = (
    "tests/browser",
    "tests/diagnosis",
    "tests/faults",
    "tests/hostile",
    "tests/integration",
    "tests/rendering/test_in_chromium.py",
    "tests/transports/test_revocation.py",
)
# The suites that `.ci/run` does not repeat on PostgreSQL. They are about what a provider is sent, what a page
# shows or what a right allows. Their queries are also made by other suites of actions and generation, and by
# `test_access_matrix`, which requests each address.
_ONCE = (
    "tests/actions/test_login_link.py",
    "tests/admin/test_rights.py",
    "tests/admin/test_tool_servers.py",
    "tests/files/test_for_models.py",
    "tests/generation/test_instructions.py",
    "tests/generation/test_model_settings.py",
    "tests/generation/test_parameters.py",
    "tests/generation/test_tool_wire.py",
    "tests/generation/test_web_search.py",
    "tests/views/test_responses.py",
    "tests/views/test_conversation_page.py",
    "tests/views/test_login_page.py",
    "tests/views/test_machine_readable.py",
    "tests/views/test_model_list.py",
    "tests/views/test_palette.py",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--repeated-on-postgres",
        action="store_true",
        help="leave out tests that ask no database, and those marked `once`, on PostgreSQL",
    )
    parser.addoption("--cpu", action="store_true", help="print the CPU seconds of files and tests")


def pytest_configure(config: pytest.Config) -> None:
    if config.option.cpu:
        config.pluginmanager.register(Cpu())
    named = config.args_source is not pytest.Config.ArgsSource.TESTPATHS
    is_worker = hasattr(config, "workerinput")
    if not (named or is_worker or config.option.markexpr or os.environ.get("CI") == "true"):
        config.option.markexpr = "not long"
    if is_worker:
        config.option.markexpr = config.workerinput["markexpr"]  # type: ignore[attr-defined]
    if (
        is_worker or not config.option.numprocesses
    ):  # The process that only distributes tests needs no examples.
        import hypothesis

        gc.disable()  # until all tests are imported, of which nothing is garbage
        # A deadline measures the load of the machine.
        examples = 500 if LONG else 30
        hypothesis.settings.register_profile("steady", deadline=None, max_examples=examples)
        hypothesis.settings.load_profile("steady")
    # Argon2 is slow by design, and a manifest needs collectstatic. Tests of real processes use both.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    # A pool keeps connections open, and a test database with connections cannot be dropped.
    settings.DATABASES["default"]["OPTIONS"].pop("pool", None)
    if settings.SQLITE:  # waits for no disk: a test database survives no crash
        options = settings.DATABASES["default"]["OPTIONS"]
        options["init_command"] = options["init_command"].replace("synchronous=FULL", "synchronous=OFF")
        create_quickly()
    empty_quickly()
    settings.WHITENOISE_AUTOREFRESH = True  # searches files on request: there is no STATIC_ROOT to scan


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """Gives the choice of tests to a worker: xdist passes only the command line on."""
    node.workerinput["markexpr"] = node.config.option.markexpr


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Imports no suite that would be left out."""
    places = {"not slow": tuple(_SLOW), "not long": _LONG}.get(config.option.markexpr, ())
    return str(collection_path.relative_to(config.rootpath)) in places or None


def pytest_collection_finish() -> None:
    """Leaves modules and tests to no further search for garbage, which used a tenth of the CPU."""
    gc.freeze()
    gc.enable()


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers():
        found, reason = _NEEDS.get(marker.name, (True, ""))
        if not found:
            is_missing(reason)


class ByFile(LoadScopeScheduling):
    """Distributes tests by file, so that a file is set up once. The fault tests share one installation for
    each database. Tests with a browser share the server and the browser of their worker, so each is
    distributed alone."""

    def _split_scope(self, nodeid: str) -> str:
        file, _, test = nodeid.partition("::")
        if file.startswith("tests/faults/"):
            return "tests/faults on PostgreSQL" if "postgres" in test else "tests/faults on SQLite"
        if file.startswith("tests/browser/") and file not in _OWN_SERVER:
            return nodeid
        return file


_OWN_SERVER = ("tests/browser/test_context.py", "tests/browser/test_models.py")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    return ByFile(config, log)


# Long files first: a file that begins last is waited for by all other workers.
_FIRST = ("tests/faults", "tests/integration/test_stock_gateway.py", "tests/integration", "tests/diagnosis")
_FIRST_IN_A_BROWSER = (*_OWN_SERVER, "tests/browser/test_access.py", "tests/browser/test_admin.py")


@pytest.hookimpl(tryfirst=True)
def pytest_itemcollected(item: pytest.Item) -> None:
    if _is_in(item, _SLOW):
        item.add_marker(pytest.mark.slow)
    if _is_in(item, _LONG):
        item.add_marker(pytest.mark.long)
    if _is_in(item, _ONCE):
        item.add_marker(pytest.mark.once)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Runs long files first. Tests with a browser run last: from its start on Playwright uses the thread's
    event loop, and no asyncio test can run after it in the same process."""

    def place(item: pytest.Item) -> tuple[int, int]:
        in_browser = "browser" in getattr(item, "fixturenames", ())
        if "browser" in item.path.parts:
            return 2, _is_in(item, _FIRST_IN_A_BROWSER) or 99
        return int(in_browser), _is_in(item, _FIRST) or 99

    if config.option.repeated_on_postgres:
        same = [item for item in items if not _asks_the_database(item)]
        config.hook.pytest_deselected(items=same)
        items[:] = filter(_asks_the_database, items)
    items.sort(key=place)


def _asks_the_database(item: pytest.Item) -> bool:
    if item.get_closest_marker("once"):
        return False
    fixtures = {"db", "transactional_db"} & set(getattr(item, "fixturenames", ()))
    return bool(fixtures) or item.get_closest_marker("django_db") is not None


def _is_in(item: pytest.Item, places: Iterable[str]) -> int:
    """Which of these files and folders a test is in, counted from 1, or 0."""
    for number, place in enumerate(places, 1):
        if item.nodeid.startswith((f"{place}/", f"{place}::")):
            return number
    return 0


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Yields the only Chromium of a worker."""
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Asynchronous tests query the database on a thread of asgiref, whose connection must be closed before
    the test database can be dropped."""
    if settings.SQLITE:
        with django_db_blocker.unblock():
            keep_tables()
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


@pytest.fixture
def limits_without_refill(monkeypatch: pytest.MonkeyPatch) -> None:
    """No limit of a rate allows more with time: a test of one does not depend on how fast the machine is."""
    now = time.monotonic()
    monkeypatch.setattr(rate_limit, "time", SimpleNamespace(monotonic=lambda: now))


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
