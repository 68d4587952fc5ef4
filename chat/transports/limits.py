"""Limits for the pages of one user."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

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


@dataclass
class _Session:
    """The lookups of one session. `count` has those that wait too."""

    free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(Lookups.AT_ONCE))
    count: int = 0


class Lookups:
    """Limits concurrent lookups for each session, so that one session cannot occupy the database threads."""

    AT_ONCE = 2

    def __init__(self) -> None:
        self._sessions: dict[str, _Session] = {}

    @asynccontextmanager
    async def taken(self, session_key: str) -> AsyncIterator[None]:
        session = self._sessions.setdefault(session_key, _Session())
        session.count += 1
        try:
            async with session.free:
                yield
        finally:
            session.count -= 1
            if not session.count:
                del self._sessions[session_key]


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
