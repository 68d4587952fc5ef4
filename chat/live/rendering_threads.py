"""Threads for rendering that would hold the event loop for long, and the time that each user may take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID
from weakref import WeakValueDictionary

from chat.rate_limit import TimeLimit

# Seconds of rendering for one user: at once, and in the long run.
BURST_SECONDS, SECONDS_PER_SECOND = 1.0, 0.1
MOST_USERS = 10_000


class RenderingThreads:
    """Two threads. There are few because they take turns with the event loop: each additional one makes it
    wait longer. Users who exceeded their time share the second one, and wait for each other."""

    def __init__(self) -> None:
        self._first = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rendering")
        self._second = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rendering-later")
        self._times: dict[int, TimeLimit] = {}  # by user
        self._locks: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()  # by conversation

    def lock(self, conversation_id: UUID) -> asyncio.Lock:
        """Returns the lock of a conversation: one viewer's page is rendered at a time."""
        return self._locks.setdefault(conversation_id, asyncio.Lock())

    def time_of(self, user_id: int) -> TimeLimit:
        """Returns the limit of the time for rendering of this user."""
        if len(self._times) > MOST_USERS:
            self._times.clear()
        return self._times.setdefault(user_id, TimeLimit(BURST_SECONDS, SECONDS_PER_SECOND))

    async def run[*Args, T](self, user_id: int, work: Callable[[*Args], T], *args: *Args) -> T:
        """Runs `work(*args)` on a thread. Returns when it has ended, also if the caller is cancelled."""
        pool = self._second if self.time_of(user_id).is_exceeded else self._first
        running = asyncio.get_running_loop().run_in_executor(pool, work, *args)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            raise
