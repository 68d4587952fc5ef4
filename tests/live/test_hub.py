"""The hub: what reaches the event loop from other threads, and who listens to what."""

from __future__ import annotations

import asyncio
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
