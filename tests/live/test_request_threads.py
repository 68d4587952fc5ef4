"""Requests reuse threads, and no two requests share one at the same time."""

from __future__ import annotations

import asyncio
import threading
import time
from threading import Event

import pytest
from asgiref.sync import sync_to_async

from chat.backends import request_threads
from chat.backends.request_threads import MOST_IDLE, RequestThreads

me = sync_to_async(threading.get_ident)


async def test_a_later_request_uses_the_thread_of_an_earlier_one() -> None:
    threads, used = RequestThreads(), set()
    for _ in range(3):
        async with threads.one():
            used |= {await me(), await me()}
    assert len(used) == 1
    threads.close()


async def test_simultaneous_requests_have_separate_threads() -> None:
    threads, count = RequestThreads(), MOST_IDLE + 4
    together = asyncio.Barrier(count)

    async def request() -> int:
        async with threads.one():
            await together.wait()
            used = {await me() for _ in range(3)}
            await together.wait()
            return used.pop() if len(used) == 1 else 0

    before = threading.active_count()
    used = await asyncio.gather(*(request() for _ in range(count)))
    assert 0 not in used
    assert len(set(used)) == count
    until = time.monotonic() + 60
    while threading.active_count() > before + MOST_IDLE and time.monotonic() < until:
        await asyncio.sleep(0.01)
    assert threading.active_count() <= before + MOST_IDLE
    threads.close()


async def test_the_thread_of_a_cancelled_request_finishes_its_work() -> None:
    threads, begun, end = RequestThreads(), Event(), Event()

    def work() -> int:
        begun.set()
        end.wait(60)
        return threading.get_ident()

    async def request() -> None:
        async with threads.one():
            await sync_to_async(work)()

    task = asyncio.create_task(request())
    await asyncio.to_thread(begun.wait, 60)
    task.cancel()
    async with asyncio.timeout(60):
        async with threads.one():
            other = await me()  # it does not wait for the other's work
        end.set()
        await asyncio.gather(task, return_exceptions=True)
        async with threads.one():
            assert await me() == other
    threads.close()


async def test_a_cancelled_request_leaves_no_connection_with_its_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads, begun, end = RequestThreads(), Event(), Event()
    worked: list[int] = []
    closed: list[int] = []

    class Connections:
        def close_all(self) -> None:
            closed.append(threading.get_ident())

    def work() -> None:
        begun.set()
        end.wait(60)
        worked.append(threading.get_ident())

    async def request() -> None:
        async with threads.one():
            await sync_to_async(work)()

    monkeypatch.setattr(request_threads, "connections", Connections())
    task = asyncio.create_task(request())
    await asyncio.to_thread(begun.wait, 60)
    task.cancel()
    end.set()
    await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(60):
        while not (worked and closed):
            await asyncio.sleep(0.01)
    assert closed == worked
    threads.close()
