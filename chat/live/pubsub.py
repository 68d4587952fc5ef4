"""News between processes, over the Channels layer: "this conversation changed", "somebody watches this
reply", "this reply went on". Only hints: each may be lost, doubled or late, and a look at the database
heals it. With the in-memory layer there is one process and nothing to tell.

One channel per process, joined to a group per topic that is watched or produced here; never a message
per token and never one per viewer.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from channels.layers import InMemoryChannelLayer, get_channel_layer

from chat.live.hub import hub
from chat.live.reply_log import Segment

logger = logging.getLogger(__name__)

QUEUE_LENGTH = 1000  # outgoing hints; more are dropped, as a slow Redis would have them arrive too late
INTEREST_SECONDS = 10.0  # how long a process goes on sharing a reply's output after being asked


class PubSub:
    def __init__(self) -> None:
        self.on_stop: Callable[[UUID], None] | None = None  # a reply of ours is to stop
        self._outbox: asyncio.Queue[tuple[str, str, dict[str, Any]]] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._interest: dict[UUID, float] = {}
        self._produced: set[UUID] = set()  # replies made here: their topics are joined, watched or not

    def start(self) -> None:
        """On the serving loop; does nothing where there is only one process."""
        if isinstance(get_channel_layer(), InMemoryChannelLayer):
            return
        self._outbox = asyncio.Queue(QUEUE_LENGTH)
        hub.on_first = lambda topic: self._put("join", topic, {})
        hub.on_last = self._last_listener_left
        self._tasks = [
            asyncio.create_task(work(), context=contextvars.Context(), name=f"pubsub-{work.__name__}")
            for work in (self._run,)
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks, self._outbox = [], None
        hub.on_first = hub.on_last = None

    # --- Telling -----------------------------------------------------------------------------------

    def conversation_changed(self, conversation_id: UUID) -> None:
        """From any thread, after the commit."""
        hub.wake_from_thread(conversation_id, structural=True)
        self._tell_from_thread(conversation_id, {"what": "changed"})

    def stop_requested(self, generation_id: UUID) -> None:
        """From any thread, after the commit: whoever produces this reply need not wait for its tick."""
        if hub.loop is not None and not hub.loop.is_closed():
            hub.loop.call_soon_threadsafe(self._heard_stop, generation_id)
        self._tell_from_thread(generation_id, {"what": "stop"})

    def request_output(self, generation_id: UUID) -> None:
        """On the loop: asks whoever produces this reply to share its output for a while."""
        self._put("send", generation_id, {"what": "interest"})

    def is_shared(self, generation_id: UUID) -> bool:
        """On the loop: whether another process asked for this reply's output lately."""
        return self._interest.get(generation_id, 0.0) > time.monotonic()

    def share_output(self, generation_id: UUID, start: int, segments: list[Segment]) -> None:
        """On the loop: sends output from character `start` on to the processes that watch the reply."""
        self._put("send", generation_id, {"what": "output", "start": start, "segments": segments})

    def produce(self, generation_id: UUID) -> None:
        """On the loop: this process produces the reply from now on, and hears what concerns it."""
        self._produced.add(generation_id)
        self._put("join", generation_id, {})

    def _last_listener_left(self, topic: UUID) -> None:
        if topic not in self._produced:
            self._put("leave", topic, {})

    def forget(self, generation_id: UUID) -> None:
        """On the loop: the reply ended."""
        self._interest.pop(generation_id, None)
        self._produced.discard(generation_id)
        if not hub.has_listeners(generation_id):
            self._put("leave", generation_id, {})

    def _put(self, verb: str, topic: UUID, message: dict[str, Any]) -> None:
        if self._outbox is None:
            return
        try:
            self._outbox.put_nowait((verb, f"topic.{topic.hex}", message))
        except asyncio.QueueFull:
            logger.warning("PubSub are dropped: the channel layer is slow or away.")

    def _tell_from_thread(self, topic: UUID, message: dict[str, Any]) -> None:
        if hub.loop is not None and not hub.loop.is_closed():
            hub.loop.call_soon_threadsafe(self._put, "send", topic, message)
            return
        layer = get_channel_layer()
        if layer is not None and not isinstance(layer, InMemoryChannelLayer):  # a management command
            async_to_sync(layer.group_send)(f"topic.{topic.hex}", {**message, "topic": topic.hex})

    # --- The two loops that talk to the layer ---------------------------------------------------------

    async def _run(self) -> None:
        """Keeps a channel open; with it gone (Redis restarted), a new one joins all groups again."""
        while True:
            try:
                layer = get_channel_layer()
                assert layer is not None
                channel = await layer.new_channel()
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._send(layer, channel))
                    group.create_task(self._receive(layer, channel))
            except* (OSError, RuntimeError, ConnectionError) as errors:
                logger.warning("The channel layer is away (%s); trying again.", errors.exceptions[0])
            except* Exception as errors:  # noqa: BLE001  (a task boundary: redis-py's own tree of errors)
                logger.warning("The channel layer failed (%s); trying again.", errors.exceptions[0])
            await asyncio.sleep(1)

    async def _send(self, layer: Any, channel: str) -> None:
        assert self._outbox is not None
        for topic in {*hub.topics, *self._produced}:
            await layer.group_add(f"topic.{topic.hex}", channel)
        while True:
            verb, group, message = await self._outbox.get()
            if verb == "join":
                await layer.group_add(group, channel)
            elif verb == "leave":
                await layer.group_discard(group, channel)
            else:
                await layer.group_send(group, {**message, "topic": group.removeprefix("topic.")})

    async def _receive(self, layer: Any, channel: str) -> None:
        while True:
            self._hear(await layer.receive(channel))

    def _hear(self, message: dict[str, Any]) -> None:
        topic = UUID(message["topic"])
        match message["what"]:
            case "changed":
                hub.wake(topic, structural=True)
            case "interest":
                if topic in self._produced:
                    self._interest[topic] = time.monotonic() + INTEREST_SECONDS
            case "stop":
                self._heard_stop(topic)
            case "output":
                log = hub.logs.get(topic)
                segments = [Segment(*segment) for segment in message["segments"]]
                if log is not None and log.extend_from(message["start"], segments):
                    hub.wake(topic)

    def _heard_stop(self, generation_id: UUID) -> None:
        if self.on_stop:
            self.on_stop(generation_id)


pubsub = PubSub()
