"""What reaches the event loop from other threads."""

from __future__ import annotations

import asyncio

from chat.live.hub import Hub


async def test_a_call_from_a_thread_runs_on_the_loop() -> None:
    hub, called = Hub(), asyncio.Event()
    hub.start()
    assert await asyncio.to_thread(hub.call_soon, called.set)
    await called.wait()


def test_where_no_loop_runs_nothing_is_called() -> None:
    def never() -> None:
        raise AssertionError

    hub = Hub()
    assert not hub.call_soon(never)

    async def serve() -> None:
        hub.start()

    asyncio.run(serve())
    assert not hub.call_soon(never), "the loop is closed"
