"""One thread for the units of work that write to SQLite, which has one writer at a time.

Units run in the order of their arrival. Those that wait for the thread share one transaction, with a
savepoint each, and get their results after its commit. Without it the threads of a busy server poll for
SQLite's lock, which has no queue: of ten sockets the slowest turn took eight times as long as the median.
"""

from __future__ import annotations

import contextvars
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, cast

from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction
from django.db.transaction import TransactionManagementError

from chat.backends.sqlite3.base import DatabaseWrapper

logger = logging.getLogger(__name__)

MOST_UNITS = 16  # in one transaction: the first of them waits for the last
GROUP_SECONDS = 0.05  # after which no further unit joins a transaction
LEAST_SECONDS = 1.0  # of waiting for the lock, however long a unit has waited for the thread


class Writer:
    """`release` is called on the thread after each transaction."""

    def __init__(self, release: Callable[[], None]) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer")
        self._release = release
        self._lock = threading.Lock()
        self._waiting: deque[_Unit] = deque()
        self._is_running = False

    def submit[R](self, work: Callable[[], R], *, first: bool = False) -> Future[R]:
        """From any thread. The future gets the result of `work`, or its exception, after the commit. A unit
        that is cancelled before its transaction begins does not run; a later cancellation changes nothing.
        `work` may run twice: again alone, after SQLite rolled back the transaction that it shared. `first`
        puts it before all units that wait."""
        unit = _Unit(work)
        future = unit.future  # the unit gives it up when it is done, which may be at once
        with self._lock:
            if first:
                self._waiting.appendleft(unit)
            else:
                self._waiting.append(unit)
            if self._is_running:
                return future
            self._is_running = True
        self._thread.submit(self._run)
        return future

    def _run(self) -> None:
        while waiting := self._next():
            units = [unit for unit in waiting if unit.begins()]
            if units:
                self._put_back(units[self._write(units) :])
            try:
                self._release()
            except Exception:
                logger.exception("The writer's connection could not be released.")

    def _next(self) -> list[_Unit]:
        with self._lock:
            count = min(MOST_UNITS, len(self._waiting))
            self._is_running = count > 0
            return [self._waiting.popleft() for _ in range(count)]

    def _put_back(self, units: list[_Unit]) -> None:
        with self._lock:
            self._waiting.extendleft(reversed(units))

    def _write(self, units: list[_Unit]) -> int:
        """Returns how many of the units have their outcome."""
        try:
            with _patience(units[0].arrived_at):
                if len(units) == 1:  # its own transaction needs no savepoint
                    units[0].run()
                    count = 1
                else:
                    count = _write_together(units)
        except BaseException as error:  # noqa: BLE001  (the thread goes on, and nobody waits forever)
            for unit in units:
                unit.fail(error)
            return len(units)
        for unit in units[:count]:
            unit.deliver()
        return count


class _Unit:
    """A unit of work with its outcome: `value` or `error`. `hooks` are to be called after the commit."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self._context = contextvars.copy_context()  # the log names the request and the generation
        self.future: Future[Any] = Future()
        self._has_begun = False
        self.arrived_at = time.monotonic()
        self.value: Any = None
        self.error: BaseException | None = None
        self.hooks: list[Any] = []

    def begins(self) -> bool:
        """Returns false for a unit that was cancelled while it waited. From now on it cannot be cancelled."""
        if not self._has_begun:
            self._has_begun = self.future.set_running_or_notify_cancel()
        return self._has_begun

    def run(self) -> None:
        self.value, self.error, self.hooks = None, None, []
        try:
            self.value = self._context.run(self._work)
        except BaseException as error:  # noqa: BLE001  (raised where the result is awaited)
            self.error = error

    def run_in_savepoint(self) -> None:
        before = len(connection.run_on_commit)
        try:
            with transaction.atomic():
                self.run()
                if self.error is not None:
                    raise self.error
                if connection.needs_rollback:  # Django would roll back without an exception
                    raise TransactionManagementError(
                        "The unit caught an error of the database inside its own transaction."
                    )
        except BaseException as error:  # noqa: BLE001  (as above; or the savepoint's own)
            self.error = error
        self.hooks = connection.run_on_commit[before:]

    def run_hooks(self) -> None:
        """As Django does after a commit: an error of a hook is one of its unit."""
        connection.run_on_commit = self.hooks
        try:
            self._context.run(connection.run_and_clear_commit_hooks)
        except BaseException as error:  # noqa: BLE001  (raised where the result is awaited)
            self.error = error

    def deliver(self) -> None:
        future, value, error = self.future, self.value, self.error
        # An error refers to this unit by its traceback: a cycle would keep a refused prompt in memory.
        del self.future, self.value, self.error, self.hooks
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)

    def fail(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class _RolledBackError(Exception):
    """SQLite ended the transaction by itself, as it may on a full disk, an I/O error or a lack of memory:
    https://sqlite.org/lang_transaction.html#response_to_errors_within_a_transaction"""


def _write_together(units: list[_Unit]) -> int:
    """Returns how many units the transaction took. Raises DatabaseError if it cannot begin, and after a
    commit whose file is gone."""
    count, has_begun = 0, False
    sqlite = cast(DatabaseWrapper, connections[DEFAULT_DB_ALIAS])
    sqlite.has_committed = False
    try:
        with transaction.atomic():
            has_begun, until = True, time.monotonic() + GROUP_SECONDS
            for unit in units:
                count += 1
                unit.run_in_savepoint()
                # `needs_rollback` is set after a savepoint that could not be rolled back.
                if connection.needs_rollback or not connection.connection.in_transaction:
                    raise _RolledBackError
                if time.monotonic() > until:
                    break
            connection.run_on_commit = []
    except BaseException:
        if not has_begun or sqlite.has_committed:
            raise
        # Nothing of it is stored: the error of one unit, or of the commit, must not fail the others.
        for unit in units[:count]:
            unit.run()
        return count
    for unit in units[:count]:
        unit.run_hooks()
    return count


@contextmanager
def _patience(since: float) -> Iterator[None]:
    """Limits the time for SQLite's lock, so that a unit waits for the thread and the lock together about as
    long as a connection of its own would wait for the lock."""
    waited = time.monotonic() - since
    if waited < LEAST_SECONDS:
        yield
        return
    usual = connection.settings_dict["OPTIONS"].get("timeout", 5)
    connection.ensure_connection()
    held = connection.connection
    with connection.wrap_database_errors:
        held.execute(f"PRAGMA busy_timeout = {int(1000 * max(LEAST_SECONDS, usual - waited))}")
    try:
        yield
    finally:
        if connection.connection is held:
            with suppress(sqlite3.Error):  # the units have their outcome already
                held.execute(f"PRAGMA busy_timeout = {int(1000 * usual)}")
