"""The boundary between asyncio and the ORM: one synchronous function per unit of work, off the event loop.

This does not use `sync_to_async`. Its thread-sensitive mode queues all calls of all WebSocket consumers on
one thread (40 calls of 50 ms took 2.04 s against 0.18 s, measured), and its default executor leaves
connections open. Never hold a unit open across an await of a provider.

Units that write use `run_write`: SQLite has one writer at a time.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Any

from django.conf import settings
from django.db import connections

from chat.backends.patience import limited
from chat.backends.writer import Writer
from chat.metrics import timed

# A unit on SQLite is nearly all Python, and each running thread makes the event loop wait longer for a turn.
# On PostgreSQL units wait for the database.
_THREADS = ThreadPoolExecutor(max_workers=4 if settings.SQLITE else 8, thread_name_prefix="unit")


async def run_unit[**P, R](unit: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Runs `unit` on a database thread and returns its result. Exceptions of `unit` are raised here.
    Cancelling the caller does not undo the unit: it runs to its end."""
    return await _run_on(_THREADS, timed("shared", unit, partial(unit, *args, **kwargs)))


async def run_write[**P, R](unit: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """As `run_unit`, for a unit that writes: on SQLite the writer thread runs it and returns after its
    commit."""
    if not settings.SQLITE:
        return await run_unit(unit, *args, **kwargs)
    return await _write(partial(unit, *args, **kwargs), unit)


async def _write[R](work: Callable[[], R], unit: Callable[..., R], *, first: bool = False) -> R:
    return await asyncio.wrap_future(_WRITER.submit(timed("writer", unit, work), first=first))


class DatabaseThread:
    """A thread of its own for the units of one background loop, because the shared threads may all be waiting
    for a database that does not answer. PostgreSQL may take `seconds` for all queries of one unit."""

    def __init__(self, name: str, seconds: float) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._name, self._seconds = name, seconds

    async def run[R](self, unit: Callable[..., R], *args: Any, keep: bool = False, **kwargs: Any) -> R:
        """As `run_unit`. `keep` leaves a healthy connection to the thread for its next unit, which saves the
        round trip that checks a pooled one."""
        work = timed(self._name, unit, partial(limited(self._seconds, unit), *args, **kwargs))
        return await _run_on(self._executor, work, keep)

    async def write[R](self, unit: Callable[..., R], *args: Any, **kwargs: Any) -> R:
        """As `run` with `keep`, for a unit that writes: on SQLite the writer thread runs it, before all that
        wait there."""
        if settings.SQLITE:
            return await _write(partial(unit, *args, **kwargs), unit, first=True)
        return await self.run(unit, *args, keep=True, **kwargs)


async def _run_on[R](executor: Executor, unit: Callable[[], R], keep: bool = False) -> R:
    def work() -> R:
        try:
            return unit()
        finally:
            _release_connections(keep=keep)

    # In the caller's context: the log names the request and the generation.
    return await asyncio.get_running_loop().run_in_executor(executor, contextvars.copy_context().run, work)


def release_connections() -> None:
    """Returns the connections of this thread to the pool, before the thread waits for anything else than the
    database. The next query gets one again. Does nothing in a transaction."""
    _release_connections()


def _release_connections(*, keep: bool = False) -> None:
    """Returns a pooled connection to the pool. Keeps a healthy SQLite connection, which belongs to its
    thread."""
    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block:
            continue
        if connection.errors_occurred or not (keep or connection.vendor == "sqlite"):
            if keep and connection.vendor == "postgresql" and connection.connection is not None:
                # The pool must not get a connection with changed session settings.
                connection.connection.close()
            connection.close()


_WRITER = Writer(lambda: _release_connections())  # looked up at each call: tests replace it
