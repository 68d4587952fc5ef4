"""Limits for one socket."""

from __future__ import annotations

import asyncio
from collections import Counter

from django.conf import settings

from chat.rate_limit import RateLimit, RateLimits


class Openings:
    """Limits how often one session may open a live page over one transport. Needs no query."""

    def __init__(self) -> None:
        self._limits = RateLimits()

    def allows(self, session_key: str | None) -> bool:
        if not session_key:
            return True  # refused without a query
        burst = 2 * settings.CHAT_PAGES_PER_PERSON
        return self._limits.allows(session_key, burst=burst, per_second=2)


class OpenPages:
    """Counts the live pages of each user in this process over one transport. Each page costs a frame for each
    change, and opening one costs queries. So their number is limited, and the rate of opening them."""

    def __init__(self) -> None:
        self._open: Counter[int] = Counter()  # by user
        self._opening: dict[int, RateLimit] = {}

    def allows(self, user_id: int) -> bool:
        """Returns whether this user may open one more now. The newest page is refused: if it were the oldest,
        pages would replace each other in turns."""
        burst = 2 * settings.CHAT_PAGES_PER_PERSON
        rate = self._opening.setdefault(user_id, RateLimit(burst=burst, per_second=2))
        return self._open[user_id] < settings.CHAT_PAGES_PER_PERSON and rate.allows()

    def enter(self, user_id: int) -> bool:
        """Counts one more page until `leave`. Returns false if the limit is reached."""
        if self._open[user_id] >= settings.CHAT_PAGES_PER_PERSON:
            return False
        self._open[user_id] += 1
        return True

    def leave(self, user_id: int) -> None:
        self._open[user_id] -= 1

    def count(self, user_id: int) -> int:
        return self._open[user_id]


class AckWindow:
    """Limits the unacknowledged frames and bytes to one client. Daphne has no backpressure (it buffered 210
    MB for a client that read nothing, measured), so the client's acks limit the memory."""

    def __init__(self, *, frames: int, size: int) -> None:
        self._frames, self._size = frames, size
        self._under_way: dict[int, int] = {}  # frame number -> bytes
        self._bytes = 0
        self._ended = False
        self._room = asyncio.Event()
        self.number = 0

    def sent(self, size: int) -> None:
        """Counts frame `number` + 1 as sent. The caller has waited for `room`."""
        self.number += 1
        self._under_way[self.number] = size
        self._bytes += size
        self._update()

    def acked(self, number: int) -> None:
        """Counts all frames up to this one as received. Ignores numbers that were never sent."""
        for frame in [n for n in self._under_way if n <= number]:
            self._bytes -= self._under_way.pop(frame)
        self._update()

    def end(self) -> None:
        """Ends all waits for `room`, now and later."""
        self._ended = True
        self._update()

    async def room(self, seconds: float) -> bool:
        """Waits until a frame may be sent. Returns false if the client acknowledged nothing for so long."""
        self._update()
        if self._room.is_set():
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._room.wait()
        except TimeoutError:
            return False
        return True

    def _update(self) -> None:
        if self._ended or (len(self._under_way) < self._frames and self._bytes < self._size):
            self._room.set()
        else:
            self._room.clear()
