"""One thread for the units of work that write to SQLite, which has one writer at a time.

Units run in the order of their arrival. Those that wait for the thread share one transaction, with a
savepoint each, and get their results after its commit. Without it the threads of a busy server poll for
SQLite's lock, which has no queue: of ten sockets the slowest turn took eight times as long as the median.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction

MOST_UNITS = 16  # in one transaction: the first of them waits for the last
LEAST_SECONDS = 1.0  # of waiting for the lock, however long a unit has waited for the thread


class Writer:
    """`release` is called on the thread after each transaction."""

    def __init__(self, release: Callable[[], None]) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer")
        self._release = release
        self._lock = threading.Lock()
        self._waiting: deque[_Unit] = deque()
        self._is_running = False

    def submit[R](self, work: Callable[[], R]) -> Future[R]:
        """From any thread. The future gets the result of `work`, or its exception, after the commit. A unit
        that is cancelled before its transaction begins does not run; a later cancellation changes nothing.
        `work` may run twice: again alone, after SQLite rolled back the transaction that it shared."""
        unit = _Unit(work)
        with self._lock:
            self._waiting.append(unit)
            if self._is_running:
                return unit.future
            self._is_running = True
        self._thread.submit(self._run)
        return unit.future

    def _run(self) -> None:
        while waiting := self._next():
            units = [unit for unit in waiting if unit.future.set_running_or_notify_cancel()]
            try:
                if units:
                    self._write(units)
            finally:
                self._release()

    def _next(self) -> list[_Unit]:
        with self._lock:
            count = min(MOST_UNITS, len(self._waiting))
            self._is_running = count > 0
            return [self._waiting.popleft() for _ in range(count)]

    def _write(self, units: list[_Unit]) -> None:
        try:
            with _patience(units[0].arrived_at):
                if len(units) == 1:  # its own transaction needs no savepoint
                    units[0].run()
                else:
                    _write_together(units)
        except BaseException as error:  # noqa: BLE001  (the thread goes on, and nobody waits forever)
            for unit in units:
                unit.fail(error)
            return
        for unit in units:
            unit.deliver()


class _Unit:
    """A unit of work with its outcome: `value` or `error`. `hooks` are to be called after the commit."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self._context = contextvars.copy_context()  # the log names the request and the generation
        self.future: Future[Any] = Future()
        self.arrived_at = time.monotonic()
        self.value: Any = None
        self.error: BaseException | None = None
        self.hooks: list[Any] = []

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
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.value)

    def fail(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class _RolledBackError(Exception):
    """SQLite ended the transaction by itself, as it may on a full disk, an I/O error or a lack of memory:
    https://sqlite.org/lang_transaction.html#response_to_errors_within_a_transaction"""


def _write_together(units: list[_Unit]) -> None:
    """Raises DatabaseError if the transaction cannot begin."""
    has_begun = False
    try:
        with transaction.atomic():
            has_begun = True
            for unit in units:
                unit.run_in_savepoint()
                if not connection.connection.in_transaction:
                    raise _RolledBackError
            connection.run_on_commit = []
    except BaseException:
        if not has_begun:
            raise
        # Nothing of it is stored: the error of one unit, or of the commit, must not fail the others.
        for unit in units:
            unit.run()
        return
    for unit in units:
        unit.run_hooks()


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
    held.execute(f"PRAGMA busy_timeout = {int(1000 * max(LEAST_SECONDS, usual - waited))}")
    try:
        yield
    finally:
        if connection.connection is held:
            held.execute(f"PRAGMA busy_timeout = {int(1000 * usual)}")
