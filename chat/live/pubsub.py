"""Messages between processes, over the Channels layer: "this conversation changed", "this reply is watched",
"this reply grew", "stop this reply". Each may be lost, doubled or late: the database is the record, and the
next query makes up for the loss. With the in-memory layer there is one process and nothing is sent.

One channel per process, joined to one group per topic that is watched or produced here; never one message
per token and never one channel per viewer.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from channels.layers import InMemoryChannelLayer, get_channel_layer

from chat.live.changes import CommittedChange
from chat.live.hub import Hub, Listener
from chat.live.reply_log import Segment

logger = logging.getLogger(__name__)

QUEUE_LENGTH = 1000  # outgoing messages; more are dropped, as a slow Redis would deliver them too late
INTEREST_SECONDS = 10.0  # for which a process shares the output of a reply after it was asked to

# Takes a conversation's id and notifies its viewers in all processes of a change. From any thread, after the
# commit. `PubSub.conversation_changed` is the one that does it.
type Publish = Callable[[UUID], None]


class PubSub:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._outbox: asyncio.Queue[tuple[str, str, dict[str, Any]]] | None = None
        self._task: asyncio.Task[None] | None = None
        self._interest: dict[UUID, float] = {}
        # The replies that are produced here, with what stops them. Their topics are joined, watched or not.
        self._produced: dict[UUID, Callable[[], None]] = {}
        self.lost = 0  # messages that were not sent, since the start

    def start(self) -> None:
        """On the event loop. Does nothing where there is only one process."""
        if isinstance(get_channel_layer(), InMemoryChannelLayer):
            return
        self._outbox = asyncio.Queue(QUEUE_LENGTH)
        self._task = asyncio.create_task(self._run(), context=contextvars.Context(), name="pubsub")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._task = self._outbox = None

    # --- From any thread, after the commit ------------------------------------------------------------

    def conversation_changed(self, conversation_id: UUID) -> None:
        """Wakes the conversation's viewers, in this process and the others."""
        self._hub.call_soon(lambda: self._hub.wake(conversation_id, structural=True))
        self._send_from_thread(conversation_id, {"what": "changed"})

    def committed(self, change: CommittedChange) -> None:
        """As `conversation_changed`, for a change that viewers in this process show from memory."""
        self._hub.call_soon(self._hub.show, change)
        self._send_from_thread(change.conversation.pk, {"what": "changed"})

    def stop_requested(self, generation_id: UUID) -> None:
        """Stops the reply at once, in whichever process produces it; without this the journal's next tick
        reads the request."""
        self._hub.call_soon(self._stop_produced, generation_id)
        self._send_from_thread(generation_id, {"what": "stop"})

    # --- On the event loop ----------------------------------------------------------------------------

    @contextmanager
    def listening(self, topic: UUID, listener: Listener) -> Iterator[None]:
        """Wakes the listener when something happens to the topic, in any process."""
        if self._hub.listen(topic, listener):
            self._put("join", topic, {})
        try:
            yield
        finally:
            if self._hub.stop_listening(topic, listener) and topic not in self._produced:
                self._put("leave", topic, {})

    def produce(self, generation_id: UUID, on_stop: Callable[[], None]) -> None:
        """Notes that this process produces the reply. `on_stop` is called when it is to stop."""
        self._produced[generation_id] = on_stop
        self._put("join", generation_id, {})

    def forget(self, generation_id: UUID) -> None:
        """Notes that the reply has ended."""
        self._interest.pop(generation_id, None)
        self._produced.pop(generation_id, None)
        if not self._hub.has_listeners(generation_id):
            self._put("leave", generation_id, {})

    def request_output(self, generation_id: UUID) -> None:
        """Asks the process that produces this reply to share its output for a while."""
        self._put("send", generation_id, {"what": "interest"})

    def is_shared(self, generation_id: UUID) -> bool:
        """Returns whether another process asked for this reply's output lately."""
        return self._interest.get(generation_id, 0.0) > time.monotonic()

    def share_output(self, generation_id: UUID, start: int, segments: list[Segment]) -> None:
        """Sends output from character `start` on to the processes that watch the reply."""
        self._put("send", generation_id, {"what": "output", "start": start, "segments": segments})

    def _put(self, verb: str, topic: UUID, message: dict[str, Any]) -> None:
        if self._outbox is None:
            return
        try:
            self._outbox.put_nowait((verb, f"topic.{topic.hex}", message))
        except asyncio.QueueFull:
            self.lost += 1
            logger.warning(
                "Messages between processes are dropped. The channel layer is slow or unreachable."
            )

    def _send_from_thread(self, topic: UUID, message: dict[str, Any]) -> None:
        if self._hub.call_soon(self._put, "send", topic, message):
            return
        layer = get_channel_layer()
        if layer is not None and not isinstance(layer, InMemoryChannelLayer):  # a management command
            async_to_sync(layer.group_send)(f"topic.{topic.hex}", {**message, "topic": topic.hex})

    # --- The loops that use the channel layer ---------------------------------------------------------

    async def _run(self) -> None:
        """Keeps a channel open; when it is lost (Redis restarted), a new one joins all groups again."""
        while True:
            try:
                layer = get_channel_layer()
                assert layer is not None
                channel = await layer.new_channel()
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._send(layer, channel))
                    group.create_task(self._receive(layer, channel))
            except* (OSError, RuntimeError, ConnectionError) as errors:
                logger.warning(
                    "The channel layer is unreachable (%s). The connection is retried.", errors.exceptions[0]
                )
            except* Exception as errors:  # noqa: BLE001  (a task boundary: redis-py's own tree of errors)
                logger.warning(
                    "The channel layer failed (%s). The connection is retried.", errors.exceptions[0]
                )
            await asyncio.sleep(1)

    async def _send(self, layer: Any, channel: str) -> None:
        assert self._outbox is not None
        for topic in {*self._hub.topics, *self._produced}:
            await layer.group_add(f"topic.{topic.hex}", channel)
        while True:
            verb, group, message = await self._outbox.get()
            if verb == "join":
                await layer.group_add(group, channel)
            elif verb == "leave":
                await layer.group_discard(group, channel)
            else:
                try:
                    await layer.group_send(group, {**message, "topic": group.removeprefix("topic.")})
                except BaseException:
                    self.lost += 1
                    raise

    async def _receive(self, layer: Any, channel: str) -> None:
        while True:
            self._handle(await layer.receive(channel))

    def _handle(self, message: dict[str, Any]) -> None:
        topic = UUID(message["topic"])
        match message["what"]:
            case "changed":
                self._hub.wake(topic, structural=True)
            case "interest":
                if topic in self._produced:
                    self._interest[topic] = time.monotonic() + INTEREST_SECONDS
            case "stop":
                self._stop_produced(topic)
            case "output":
                log = self._hub.logs.get(topic)
                segments = [Segment(*segment) for segment in message["segments"]]
                if log is not None and log.extend_from(message["start"], segments):
                    self._hub.wake(topic)

    def _stop_produced(self, generation_id: UUID) -> None:
        if stop := self._produced.get(generation_id):
            stop()
