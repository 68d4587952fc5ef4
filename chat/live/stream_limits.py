"""Limits for the open pages and streams of one user in this process."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from django.conf import settings

from chat.rate_limit import RateLimits


def opening_limits() -> RateLimits:
    """Returns the limits for opening live pages: somewhat more than a browser with many tabs needs."""
    return RateLimits(burst=2 * settings.CHAT_PAGES_PER_PERSON, per_second=2)


class OpenStreams:
    """Counts the open streams of each user. The newest one is refused: if the oldest one were closed, clients
    that reconnect would replace each other in turns."""

    def __init__(self) -> None:
        self._open: Counter[int] = Counter()  # by user

    def has_room(self, user_id: int) -> bool:
        """Returns whether this user may open one more now."""
        return self._open[user_id] < settings.CHAT_PAGES_PER_PERSON

    def enter(self, user_id: int) -> bool:
        """Counts one more stream until `leave`. Returns false if the limit is reached."""
        if not self.has_room(user_id):
            return False
        self._open[user_id] += 1
        return True

    def leave(self, user_id: int) -> None:
        self._open[user_id] -= 1
        if not self._open[user_id]:
            del self._open[user_id]

    def count(self, user_id: int) -> int:
        return self._open[user_id]


class PageLimits:
    """The limits of the live pages over one transport. Each page costs a frame for each change, and opening
    one costs queries. So their number is limited, and the rate of opening them."""

    def __init__(self) -> None:
        self._sessions, self._users = opening_limits(), opening_limits()
        self.open = OpenStreams()

    def allows_session(self, session_key: str | None) -> bool:
        """Returns whether this session may open a page now. Needs no query."""
        return not session_key or self._sessions.allows(session_key)  # without a key it is refused later

    def allows_user(self, user_id: int) -> bool:
        """Returns whether this user may open one more page now."""
        return self.open.has_room(user_id) and self._users.allows(str(user_id))


@dataclass
class _Session:
    """The lookups of one session. `count` includes those that wait."""

    free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(Lookups.AT_ONCE))
    count: int = 0


class Lookups:
    """Limits concurrent lookups for each session, so that one session cannot occupy the database threads."""

    AT_ONCE = 2

    def __init__(self) -> None:
        self._sessions: dict[str, _Session] = {}

    @asynccontextmanager
    async def turn(self, session_key: str) -> AsyncIterator[None]:
        """Waits until the session may read, and counts it for the block."""
        session = self._sessions.setdefault(session_key, _Session())
        session.count += 1
        try:
            async with session.free:
                yield
        finally:
            session.count -= 1
            if not session.count:
                del self._sessions[session_key]
