"""The writer thread of SQLite: units that wait share a transaction, and each gets its own outcome after the
commit."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.transaction import TransactionManagementError

from chat import database
from chat.backends import writer
from chat.backends.queue_lock import QueueLock
from chat.backends.sqlite3.base import DatabaseWrapper
from chat.backends.writer import GROUP_SECONDS, Writer
from chat.database import run_write
from chat.models import User
from tests.servers import ROOT

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not settings.SQLITE, reason="PostgreSQL has any number of writers."),
]

SECONDS = 60


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commits of the writer's thread."""
    done: list[str] = []
    commit = DatabaseWrapper._commit

    def counted(self: Any) -> None:
        if threading.current_thread().name.startswith("writer"):
            done.append("commit")
        commit(self)

    monkeypatch.setattr(DatabaseWrapper, "_commit", counted)
    return done


class Held:
    """A writer whose thread is busy, so that what is submitted waits."""

    def __init__(self) -> None:
        self.writer = Writer(lambda: database._release_connections())
        self._go = threading.Event()
        self.first = self.writer.submit(lambda: self._go.wait(SECONDS))

    def go(self) -> None:
        self._go.set()
        assert self.first.result(SECONDS)


def add(name: str) -> str:
    with transaction.atomic():
        User.objects.create(email=f"{name}@example.org")
    return name


def names() -> list[str]:
    """Returns the names of those that were added, in order."""
    return [email.partition("@")[0] for email in User.objects.order_by("pk").values_list("email", flat=True)]


def test_units_that_wait_are_written_in_order_by_one_commit(
    commits: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "GROUP_SECONDS", SECONDS)  # a busy machine ends no group
    held = Held()
    found: list[Future[str]] = []

    def last() -> str:
        assert not any(future.done() for future in found)  # nothing is acknowledged before the commit
        return add("last")

    found += [held.writer.submit(lambda each=each: add(each)) for each in ("a", "b", "c")]
    found.append(held.writer.submit(last))
    held.go()
    assert [future.result(SECONDS) for future in found] == ["a", "b", "c", "last"] == names()
    assert len(commits) == 1


def test_a_unit_that_fails_is_rolled_back_alone() -> None:
    held = Held()

    def fails() -> None:
        add("lost")
        raise ValueError("its own")

    futures = [
        held.writer.submit(work) for work in (lambda: add("a"), fails, lambda: add("a"), lambda: add("b"))
    ]
    held.go()
    assert [type(future.exception(SECONDS)) for future in futures] == [
        type(None),
        ValueError,
        IntegrityError,
        type(None),
    ]
    assert names() == ["a", "b"]


def test_after_a_rollback_by_sqlite_each_unit_runs_alone() -> None:
    held, runs = Held(), []

    def full() -> None:
        runs.append("full")
        add("lost")
        if connection.in_atomic_block and len(runs) == 1:  # as on a full disk
            connection.connection.execute("ROLLBACK")
        raise OperationalError("database or disk is full")

    futures = [held.writer.submit(work) for work in (lambda: add("a"), full, lambda: add("b"))]
    held.go()
    assert futures[0].result(SECONDS) == "a"
    assert "full" in str(futures[1].exception(SECONDS))
    assert futures[2].result(SECONDS) == "b"
    assert len(runs) == 2
    assert {"a", "b"} <= set(names())


def test_a_disk_that_is_full_fails_only_the_units_that_do_not_fit() -> None:
    """The real error of SQLite: the file may not grow."""
    held = Held()

    def limit() -> None:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA page_count")
            cursor.execute(f"PRAGMA max_page_count = {cursor.fetchone()[0] + 2}")

    def large() -> None:
        with transaction.atomic():
            User.objects.create(email="large@example.org", password="x" * 100)
            with connection.cursor() as cursor:
                cursor.execute("CREATE TABLE large AS SELECT zeroblob(10000000) AS much")

    held.writer._release = lambda: None  # the limit belongs to the connection
    futures: list[Future[Any]] = [
        held.writer.submit(work) for work in (limit, lambda: add("a"), large, lambda: add("b"))
    ]
    held.go()
    assert isinstance(futures[2].exception(SECONDS), OperationalError)
    assert [futures[1].result(SECONDS), futures[3].result(SECONDS)] == ["a", "b"] == names()
    held.writer.submit(connection_closed).result(SECONDS)


def connection_closed() -> None:
    connection.close()


def test_a_commit_that_fails_acknowledges_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    held, fails = Held(), [True]
    commit = DatabaseWrapper._commit

    def failing(self: Any) -> None:
        if threading.current_thread().name.startswith("writer") and fails and fails.pop():
            raise OperationalError("disk I/O error")
        commit(self)

    monkeypatch.setattr(DatabaseWrapper, "_commit", failing)
    futures = [held.writer.submit(lambda each=each: add(each)) for each in ("a", "b")]
    held.go()
    assert [future.result(SECONDS) for future in futures] == ["a", "b"] == names()  # each again, alone
    assert not fails


def test_the_hooks_of_a_unit_run_after_the_commit_of_all() -> None:
    held, seen = Held(), []

    def adds(name: str) -> None:
        with transaction.atomic():
            add(name)
            transaction.on_commit(lambda: seen.append((name, connection.in_atomic_block, names())))

    def breaks() -> None:
        adds("b")
        transaction.on_commit(lambda: 1 / 0)  # type: ignore[arg-type]

    def fails() -> None:
        adds("lost")
        raise ValueError

    work: list[Callable[[], None]] = [lambda: adds("a"), breaks, fails, lambda: adds("c")]
    futures = [held.writer.submit(each) for each in work]
    held.go()
    errors = [type(future.exception(SECONDS)) for future in futures]
    assert errors == [type(None), ZeroDivisionError, ValueError, type(None)]
    assert seen == [(each, False, ["a", "b", "c"]) for each in ("a", "b", "c")]


def test_a_waiter_that_is_cancelled_in_time_writes_nothing() -> None:
    held = Held()
    early = held.writer.submit(lambda: add("early"))
    later: list[Future[str]] = []

    def cancels() -> str:
        assert not later[0].cancel()  # its transaction has begun
        return add("a")

    first = held.writer.submit(cancels)
    later.append(held.writer.submit(lambda: add("b")))
    assert early.cancel()
    held.go()
    assert [first.result(SECONDS), later[0].result(SECONDS)] == ["a", "b"] == names()


async def test_a_task_that_is_cancelled_does_not_undo_its_unit() -> None:
    began, go = threading.Event(), threading.Event()

    def slow() -> str:
        began.set()
        go.wait(SECONDS)
        return add("a")

    task = asyncio.create_task(run_write(slow))
    await asyncio.to_thread(began.wait, SECONDS)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    go.set()
    assert await run_write(names) == ["a"]


@contextmanager
def locked() -> Iterator[Callable[[], None]]:
    """Another connection holds the lock until the function that it yields is called."""
    path = settings.DATABASES["default"]["NAME"]
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield lambda: other.execute("ROLLBACK") and None


async def test_units_wait_for_a_lock_of_another_connection() -> None:
    with locked() as free:
        tasks = [asyncio.create_task(run_write(add, each)) for each in ("a", "b", "c")]
        done, _ = await asyncio.wait(tasks, timeout=0.3)
        assert not done
        free()
        assert await asyncio.gather(*tasks) == ["a", "b", "c"]
    assert await run_write(names) == ["a", "b", "c"]


async def test_a_lock_that_is_held_too_long_fails_all_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings.DATABASES["default"]["OPTIONS"], "timeout", 0.2)
    monkeypatch.setattr(database, "_WRITER", Writer(lambda: database._release_connections()))
    with locked() as free:
        tasks = [asyncio.create_task(run_write(add, each)) for each in ("a", "b", "c")]
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(each) for each in outcomes] == [OperationalError] * 3
        free()
    assert await run_write(add, "d") == "d"
    assert await run_write(names) == ["d"]


KILLED = """
import os, signal, threading
import django
django.setup()
from django.db import transaction
from chat.backends.writer import Writer
from chat.models import User
go = threading.Event()
writer = Writer(lambda: None)

def add(name):
    with transaction.atomic():
        User.objects.create(email=f"{name}@example.org")

def told(name):
    return lambda _: os.write(1, name.encode())

writer.submit(lambda: add("first")).result()
writer.submit(go.wait)
writer.submit(lambda: add("a")).add_done_callback(told("a"))
writer.submit(lambda: os.kill(os.getpid(), signal.SIGKILL)).add_done_callback(told("b"))
go.set()
threading.Event().wait(60)
"""


def test_a_kill_between_two_units_leaves_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "steady.sqlite3"
    with closing(sqlite3.connect(path)) as copy:
        connection.ensure_connection()
        connection.connection.backup(copy)
    env = {**os.environ, "DATABASE_URL": f"sqlite:///{path}", "STEADY_DATA_DIR": str(tmp_path)}
    env["DJANGO_SETTINGS_MODULE"] = "chatproject.settings"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert killed.stdout == ""
    with closing(sqlite3.connect(path)) as after:
        assert after.execute("SELECT email FROM chat_user").fetchall() == [("first@example.org",)]


def test_a_savepoint_that_cannot_be_rolled_back_acknowledges_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Django then rolls back the whole transaction, without an exception."""
    held, hooks, broken = Held(), [], []

    def hooked() -> str:
        transaction.on_commit(lambda: hooks.append(True))
        return add("a")

    def breaks() -> None:
        if not broken:
            broken.append(True)
            monkeypatch.setattr(DatabaseWrapper, "_savepoint_rollback", fail_once)
        raise ValueError("its own")

    rollback = DatabaseWrapper._savepoint_rollback

    def fail_once(self: Any, sid: str) -> None:
        monkeypatch.setattr(DatabaseWrapper, "_savepoint_rollback", rollback)
        raise OperationalError("disk I/O error")

    futures = [held.writer.submit(hooked), held.writer.submit(breaks)]
    held.go()
    assert futures[0].result(SECONDS) == "a"
    assert isinstance(futures[1].exception(SECONDS), ValueError)
    assert names() == ["a"]
    assert hooks == [True]


def test_a_unit_that_hides_an_error_of_the_database_is_not_acknowledged() -> None:
    held = Held()

    def hides() -> str:
        User.objects.create(email="lost@example.org")
        with suppress(IntegrityError):
            add("a")
            User.objects.create(email="a@example.org")
        connection.needs_rollback = True  # as Django sets it inside of an atomic block without a savepoint
        return "acknowledged"

    futures = [held.writer.submit(hides), held.writer.submit(lambda: add("b"))]
    held.go()
    assert isinstance(futures[0].exception(SECONDS), TransactionManagementError)
    assert futures[1].result(SECONDS) == "b"
    assert names() == ["b"]


def test_the_thread_continues_after_a_connection_that_could_not_be_released() -> None:
    calls = []

    def release() -> None:
        calls.append(True)
        if len(calls) == 1:
            raise RuntimeError("closed")
        database._release_connections()

    writer = Writer(release)
    assert writer.submit(lambda: add("a")).result(SECONDS) == "a"
    assert writer.submit(lambda: add("b")).result(SECONDS) == "b"


def test_a_unit_that_may_go_first_goes_before_all_that_wait() -> None:
    held = Held()
    futures = [held.writer.submit(lambda each=str(each): add(each)) for each in range(40)]
    futures.append(held.writer.submit(lambda: add("first"), first=True))
    held.go()
    for future in futures:
        future.result(SECONDS)
    assert names()[0] == "first"


def test_a_long_unit_ends_its_group(commits: list[str]) -> None:
    held = Held()

    def long() -> str:
        time.sleep(GROUP_SECONDS)
        return add("long")

    futures = [held.writer.submit(long), held.writer.submit(lambda: add("next"))]
    held.go()
    assert [future.result(SECONDS) for future in futures] == ["long", "next"] == names()
    assert len(commits) == 2


def test_a_busy_writer_leaves_its_turn_to_other_connections() -> None:
    """SQLite's own lock has no queue: 20 units at a time kept all other writers away."""
    writer, stopped = Writer(lambda: database._release_connections()), threading.Event()

    def touch() -> None:
        with transaction.atomic():
            User.objects.filter(email="nobody").update(is_active=False)

    def again(done: Future[None] | None = None) -> None:
        if not stopped.is_set():
            writer.submit(touch).add_done_callback(again)

    def other() -> int:
        count = 0
        while not stopped.is_set() and count < 50:
            touch()
            count += 1
        connection.close()
        return count

    for _number in range(20):
        again()
    with ThreadPoolExecutor(1) as pool:
        try:
            assert pool.submit(other).result(SECONDS) == 50
        finally:
            stopped.set()
    writer.submit(touch).result(SECONDS)


def test_the_queue_of_the_lock_keeps_its_order_and_drops_abandoned_waits() -> None:
    lock, order = QueueLock(), []
    assert lock.acquire(0)
    assert not lock.acquire(0.01)  # it gave up

    def take(name: int) -> None:
        assert lock.acquire(SECONDS)
        order.append(name)
        lock.release()

    threads = []
    for name in range(5):
        threads.append(threading.Thread(target=take, args=(name,)))
        threads[-1].start()
        while len(lock._waiting) <= name:
            time.sleep(0.001)
    lock.release()
    for thread in threads:
        thread.join(SECONDS)
    assert order == [0, 1, 2, 3, 4]
    assert lock.acquire(0)
