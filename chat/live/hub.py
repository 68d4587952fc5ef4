"""The running replies of this process, and the listeners that wait for news: in memory, on one event loop.

A topic is a conversation or a generation, named by its id. The hub only wakes listeners, and a listener
reads the database when it is woken. An extra wake costs one query; the next wake makes up for a lost one.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from uuid import UUID

from chat.live.changes import CommittedChange
from chat.live.reply_log import ReplyLog

MOST_COMMITTED = 8  # changes that wait for a viewer; after that one query is cheaper


class Listener:
    """Wakes one viewer. `structural` says that the conversation itself changed, not only a reply grew;
    `committed` has the changes of the conversation since then whose content is known, `asked` says that the
    transport wants a heartbeat. `woken_at` is the monotonic time of the first wake that the last `wait`
    returned for. One task waits at a time."""

    def __init__(self, *, structural: bool = True) -> None:
        self.structural = structural
        self.committed: list[CommittedChange] = []
        self.asked = False
        self.woken_at = self._next_woken_at = time.monotonic()
        self.rests_until = 0.0  # monotonic time in seconds; a wake before it is returned at it
        self._is_woken = False
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def wake(self, *, structural: bool = False) -> None:
        self.structural = self.structural or structural
        if not self._is_woken:
            self._next_woken_at = time.monotonic()
            self._set()

    def show(self, change: CommittedChange) -> None:
        """Wakes the viewer for a change that it can show without a query."""
        if len(self.committed) >= MOST_COMMITTED:
            self.structural = True
        if self.structural:
            self.committed.clear()
        else:
            self.committed.append(change)
        self.wake()

    def ask(self) -> None:
        """Asks for a heartbeat now."""
        self.asked = True
        self._set()

    async def wait(self, seconds: float) -> bool:
        """Returns true if it was woken since the last call, false after `seconds` without."""
        # One timer for both, the limit and the rest: this runs for each frame of a growing reply.
        now = time.monotonic()
        due = self.rests_until if self._is_woken else now + seconds
        if not self._is_woken or due > now:
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            self._timer = loop.call_at(due, self._end_wait)
            try:
                await self._waiter
            finally:
                self._timer.cancel()
                self._waiter = self._timer = None
            if not self._is_woken:
                return False
        self._is_woken = False
        self.woken_at = self._next_woken_at
        return True

    def _set(self) -> None:
        self._is_woken = True
        if self._timer is None:
            return
        if self.rests_until > time.monotonic():
            self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_at(self.rests_until, self._end_wait)
        else:
            self._end_wait()

    def _end_wait(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Hub:
    """`logs` holds the running replies of this process, and copies of other processes' replies that are
    watched here. All methods but `call_soon` are for the event loop."""

    def __init__(self) -> None:
        self.logs: dict[UUID, ReplyLog] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listeners: defaultdict[UUID, set[Listener]] = defaultdict(set)

    def start(self) -> None:
        """Binds the hub to the running loop."""
        self._loop = asyncio.get_running_loop()

    @property
    def is_on_this_loop(self) -> bool:
        return self._loop is asyncio.get_running_loop()

    def call_soon[*Ts](self, callback: Callable[[*Ts], object], *args: *Ts) -> bool:
        """From any thread: calls `callback` on the event loop. Returns false, and does nothing, where no loop
        runs, as in a management command."""
        if self._loop is None:
            return False
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:  # the loop is closed
            return False
        return True

    def listen(self, topic: UUID, listener: Listener) -> bool:
        """Returns whether this is the topic's first listener, and did not listen before."""
        listeners = self._listeners[topic]
        is_first = not listeners
        listeners.add(listener)
        return is_first

    def stop_listening(self, topic: UUID, listener: Listener) -> bool:
        """Returns whether it was the topic's last listener, and listened until now."""
        listeners = self._listeners.get(topic)
        if listeners is None:
            return False
        listeners.discard(listener)
        if not listeners:
            del self._listeners[topic]
        return not listeners

    def has_listeners(self, topic: UUID) -> bool:
        return topic in self._listeners

    @property
    def topics(self) -> list[UUID]:
        return list(self._listeners)

    def wake(self, topic: UUID, *, structural: bool = False) -> None:
        for listener in self._listeners.get(topic, ()):
            listener.wake(structural=structural)

    def show(self, change: CommittedChange) -> None:
        """Wakes the viewers of the conversation, who need no query for this change."""
        for listener in self._listeners.get(change.conversation.pk, ()):
            listener.show(change)
