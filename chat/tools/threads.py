"""Runs the functions of tools that are not asynchronous. A thread cannot be cancelled: a function that
exceeds its time continues, and its thread counts until it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from threading import Semaphore, Thread
from typing import Any

from chat.tools.base import ToolError

MOST_THREADS = 16

_free = Semaphore(MOST_THREADS)  # state of the process, as its threads are


async def on_a_thread(function: Callable[..., Any], values: Mapping[str, Any]) -> Any:
    """Returns the result of the function. Raises its exceptions, and `ToolError` if no thread is free."""
    if not _free.acquire(blocking=False):
        raise ToolError("Too many tools run at once. Try again later.")
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()

    def work() -> None:
        try:
            result = function(**values)
        except BaseException as error:  # noqa: BLE001  (it is raised where the result is awaited)
            future.set_exception(error)
        else:
            future.set_result(result)
        finally:
            _free.release()

    # No thread of a pool, because the interpreter waits for those before it exits.
    Thread(target=work, name="tool", daemon=True).start()
    return await asyncio.wrap_future(future)
