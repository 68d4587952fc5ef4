"""What this process knows of running replies, and who waits for news: in memory, one event loop.

A topic is a conversation or a reply, named by its id. Waking is all the hub does: a listener that wakes
looks for itself, so a wake too many costs a look and a lost one is made up by the next.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from chat.live.reply_log import ReplyLog


class Listener:
    """One viewer's bell. `structural` says that the conversation itself changed, not only a reply grew;
    `asked` that whoever shows the page has something of its own to show."""

    def __init__(self) -> None:
        self.structural = True
        self.asked = False
        self._event = asyncio.Event()

    def wake(self, *, structural: bool = False) -> None:
        self.structural = self.structural or structural
        self._event.set()

    def ask(self) -> None:
        """Wakes for a sign of life, as if nothing had happened for a while."""
        self.asked = True
        self._event.set()

    async def wait(self, seconds: float) -> bool:
        """Returns true when woken since the last call, false when `seconds` passed without."""
        if not self._event.is_set():  # the usual case of a reply that grows needs no timer
            try:
                async with asyncio.timeout(seconds):
                    await self._event.wait()
            except TimeoutError:
                return False
        self._event.clear()
        return True


class Hub:
    """`logs` holds the running replies of this process, and copies of others' that are watched here."""

    def __init__(self) -> None:
        self.logs: dict[UUID, ReplyLog] = {}
        self.loop: asyncio.AbstractEventLoop | None = None
        self._listeners: defaultdict[UUID, set[Listener]] = defaultdict(set)
        # Told when the first listener of a topic comes and the last one goes.
        self.on_first: Callable[[UUID], None] | None = None
        self.on_last: Callable[[UUID], None] | None = None

    @contextmanager
    def listening(self, topic: UUID, listener: Listener) -> Iterator[None]:
        self.listen(topic, listener)
        try:
            yield
        finally:
            self.stop_listening(topic, listener)

    def listen(self, topic: UUID, listener: Listener) -> None:
        listeners = self._listeners[topic]
        listeners.add(listener)
        if len(listeners) == 1 and self.on_first:
            self.on_first(topic)

    def stop_listening(self, topic: UUID, listener: Listener) -> None:
        listeners = self._listeners[topic]
        listeners.discard(listener)
        if not listeners:
            del self._listeners[topic]
            if self.on_last:
                self.on_last(topic)

    def has_listeners(self, topic: UUID) -> bool:
        return topic in self._listeners

    @property
    def topics(self) -> list[UUID]:
        return list(self._listeners)

    def wake(self, topic: UUID, *, structural: bool = False) -> None:
        """On the event loop only."""
        for listener in self._listeners.get(topic, ()):
            listener.wake(structural=structural)

    def wake_from_thread(self, topic: UUID, *, structural: bool = False) -> None:
        """From anywhere: a database thread, a synchronous view. Does nothing where no loop serves."""
        if self.loop is not None and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(lambda: self.wake(topic, structural=structural))


hub = Hub()
