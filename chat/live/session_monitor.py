"""Checks the open pages of this process against the database: every two seconds, for all pages at once.

Viewers without access are disconnected within 5 s: after a log-out, a changed password, a deactivation, a
revoked or expired token. And the revisions of all watched conversations are compared with the database,
which wakes the viewers whose message between processes was lost.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

from django.db import DatabaseError

from chat.actor import Claim, holding, in_chunks
from chat.database import DatabaseThread
from chat.live.hub import Hub, Listener
from chat.models import Conversation

logger = logging.getLogger(__name__)

PERIOD = 2.0  # seconds
CHECK_SECONDS = 3.0  # the limit of one check for PostgreSQL
RETRY_SECONDS = 0.2  # after a check that failed


@dataclass(eq=False)
class Viewer:
    """An open page or stream of a user, by a session or a token. `closed` is set once, with the reason why
    nothing more is shown: "revoked" (access ended) or "restart" (the server stops); then `on_close` is
    called. `style` is one of `pacing.STYLES`. `is_known` is whether the conversation was read while the
    listener listened, and had no live reply; `known` is what was read, None for an unused id."""

    claim: Claim
    style: str = "instant"
    listener: Listener = field(default_factory=Listener)
    closed: str = ""
    on_close: Callable[[], None] | None = None
    is_known: bool = False
    known: Conversation | None = None

    def close(self, reason: str) -> None:
        self.closed = self.closed or reason
        self.listener.wake(structural=True)
        if self.on_close:
            self.on_close()

    @property
    def user_id(self) -> int:
        return self.claim.user_id


class SessionMonitor:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._viewers: Counter[Viewer] = Counter()
        self._thread = DatabaseThread("session_monitor", CHECK_SECONDS)
        self._revisions: dict[UUID, int] = {}
        self._dismissing = False
        self._task: asyncio.Task[None] | None = None
        self.alive_at: float | None = None  # monotonic time of the last check that worked

    def start(self) -> None:
        self.alive_at = time.monotonic()
        self._dismissing = False
        self._task = asyncio.create_task(self._run(), context=contextvars.Context(), name="session_monitor")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = self.alive_at = None

    @contextmanager
    def guarding(self, viewer: Viewer) -> Iterator[None]:
        """Checks the viewer during the block. May be entered more than once. After `dismiss` a new viewer is
        closed at once."""
        self._viewers[viewer] += 1
        if self._dismissing:
            viewer.close("restart")
        try:
            yield
        finally:
            self._viewers[viewer] -= 1
            if not self._viewers[viewer]:
                del self._viewers[viewer]

    async def dismiss(self, seconds: float) -> None:
        """Closes all viewers because the server stops. Returns when they have left, or after `seconds`."""
        self._dismissing = True
        for viewer in list(self._viewers):
            viewer.close("restart")
        until = time.monotonic() + seconds
        while self._viewers and time.monotonic() < until:
            await asyncio.sleep(0.02)

    async def _run(self) -> None:
        pause = PERIOD
        while True:
            await asyncio.sleep(pause)
            pause = PERIOD
            try:
                await self.check()
                self.alive_at = time.monotonic()
            except DatabaseError as error:
                # Nobody can lose access while the database cannot be reached. The next check follows at once,
                # with a new connection.
                pause = RETRY_SECONDS
                logger.warning("The sessions of open pages could not be checked: %s", error)
            except Exception:
                logger.exception("The check of open pages failed unexpectedly. It is repeated.")

    async def check(self) -> None:
        """Checks all open pages once. Raises DatabaseError."""
        viewers = list(self._viewers)
        if viewers:
            claims = [viewer.claim for viewer in viewers]
            allowed = await self._thread.run(holding, claims)
            for viewer in viewers:
                if viewer.claim not in allowed:
                    viewer.close("revoked")
        topics = self._hub.topics
        if topics:
            revisions = await self._thread.run(_revisions, topics)
            for topic in topics:
                if self._revisions.get(topic) != revisions.get(topic):
                    self._hub.wake(topic, structural=True)
            self._revisions = revisions


def _revisions(ids: Collection[UUID]) -> dict[UUID, int]:
    """Returns the revisions of the kept conversations among these ids."""
    revisions: dict[UUID, int] = {}
    for chunk in in_chunks(ids):
        revisions.update(Conversation.objects.kept().filter(pk__in=chunk).values_list("pk", "revision"))
    return revisions
