"""Keeps the threads of requests. Django runs the synchronous parts of a request on one thread, and by default
starts that thread for each request and another one to end it. The event loop stands still until a started
thread runs, which takes up to 270 ms while other threads have work (measured with two cores).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any, override

from asgiref.sync import ThreadSensitiveContext
from django.db import connections

MOST_IDLE = 16  # threads that are kept


class _RequestThread(ThreadPoolExecutor):
    def __init__(self) -> None:
        super().__init__(max_workers=1, thread_name_prefix="request")
        self.last: Future[Any] | None = None  # it ends when all before it have ended

    @override
    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        self.last = super().submit(*args, **kwargs)
        return self.last


class RequestThreads:
    """The threads without a request, of one event loop."""

    def __init__(self) -> None:
        self._idle: list[_RequestThread] = []

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Runs the synchronous parts of this context on one thread, which no other request uses."""
        thread = self._idle.pop() if self._idle else _RequestThread()
        try:
            async with ThreadSensitiveContext(executor=thread):
                yield
        except BaseException:
            # Django did not end this request: its connection would stay with the thread, and not in the pool.
            thread.submit(connections.close_all)
            raise
        finally:
            last, loop = thread.last, asyncio.get_running_loop()
            if last is None or last.done():
                self._keep(thread)
            else:  # The request was cancelled, and its thread works on.

                def keep(_: Future[Any]) -> None:
                    with suppress(RuntimeError):  # the event loop is closed
                        loop.call_soon_threadsafe(self._keep, thread)

                last.add_done_callback(keep)

    def _keep(self, thread: _RequestThread) -> None:
        thread.last = None
        if len(self._idle) < MOST_IDLE:
            self._idle.append(thread)
        else:
            _end(thread)

    def close(self) -> None:
        while self._idle:
            _end(self._idle.pop())


def _end(thread: _RequestThread) -> None:
    thread.submit(connections.close_all)  # on SQLite it has one
    thread.shutdown(wait=False)
