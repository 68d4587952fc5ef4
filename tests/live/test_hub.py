"""The hub: what reaches the event loop from other threads, and who listens to what."""

from __future__ import annotations

import asyncio
import time
from uuid import uuid4

from chat.live.hub import Hub, Listener


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


def test_a_listener_of_two_parts_joins_and_leaves_its_topic_once() -> None:
    hub, topic, listener, other = Hub(), uuid4(), Listener(), Listener()
    assert [hub.listen(topic, it) for it in (listener, listener, other)] == [True, False, False]
    assert [hub.stop_listening(topic, it) for it in (listener, listener, other, other)] == [
        False,
        False,
        True,
        False,
    ]
    assert hub.topics == []


async def test_a_wait_ends_without_a_wake_when_its_time_has_passed() -> None:
    listener = Listener()
    assert not await listener.wait(0.01)
    assert not await listener.wait(-1.0)


async def test_wakes_during_a_pause_are_one_at_its_end() -> None:
    listener = Listener()
    waiting = asyncio.create_task(listener.wait(60))
    await asyncio.sleep(0)
    rests_until = listener.rests_until = time.monotonic() + 0.05
    for _ in range(3):
        listener.wake()
        await asyncio.sleep(0)
    assert not waiting.done() or time.monotonic() >= rests_until
    assert await waiting
    assert time.monotonic() >= rests_until
    assert not await listener.wait(0.01)


async def test_a_wake_before_the_wait_is_delayed_too() -> None:
    listener = Listener()
    listener.wake()
    rests_until = listener.rests_until = time.monotonic() + 0.05
    assert await listener.wait(0.0)
    assert time.monotonic() >= rests_until


async def test_a_wait_that_is_cancelled_leaves_the_listener_usable() -> None:
    listener = Listener()
    waiting = asyncio.create_task(listener.wait(60))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    listener.wake()
    assert await listener.wait(60)
