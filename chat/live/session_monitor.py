"""The watch over everything that is open in this process: one look each two seconds, for all at once.

It holds two promises. Who lost the right to look is cut off within 5 s: a session that ended, a changed
password, a deactivated person. And who missed a hint is woken all the same: the revisions of all watched
conversations are compared with the database, so every hint may be lost.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

from django.contrib.sessions.models import Session
from django.db import DatabaseError
from django.utils import timezone

from chat.backends.patience import limited
from chat.database import run_unit_on
from chat.live.hub import Listener, hub
from chat.models import Conversation, User

logger = logging.getLogger(__name__)

PERIOD = 2.0  # seconds
LOOK_SECONDS = 3.0  # that PostgreSQL may take for one
AGAIN_SECONDS = 0.2  # after one that failed
_CHUNK = 500  # ids in one query


@dataclass(eq=False)
class Viewer:
    """Somebody who looks on: a person by a session. `session_hash` is the person's password fingerprint
    that the session was opened with. `closed` is set, for good, with the reason why they are shown no
    more: "revoked" (the right ended) or "restart" (the server stops). `on_close` is told then. `style` is how
    they like to see a reply grow, one of `pacing.STYLES`."""

    user_id: int
    session_key: str
    session_hash: str
    style: str = "instant"
    listener: Listener = field(default_factory=Listener)
    closed: str = ""
    on_close: Callable[[], None] | None = None

    def close(self, reason: str) -> None:
        self.closed = self.closed or reason
        self.listener.wake(structural=True)
        if self.on_close:
            self.on_close()

    @property
    def claim(self) -> tuple[int, str, str]:
        return self.user_id, self.session_key, self.session_hash


class SessionMonitor:
    def __init__(self) -> None:
        self._viewers: Counter[Viewer] = Counter()
        # Not the threads of all units, which may all be waiting for a database that does not answer.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="session_monitor")
        self._revisions: dict[UUID, int] = {}
        self._dismissing = False
        self._task: asyncio.Task[None] | None = None
        self.alive_at: float | None = None  # monotonic time of the last look that worked

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
        """May be entered more than once for the same viewer. Who comes after `dismiss` is sent away too."""
        self._viewers[viewer] += 1
        if self._dismissing:
            viewer.close("restart")
        try:
            yield
        finally:
            self._viewers[viewer] -= 1
            if not self._viewers[viewer]:
                del self._viewers[viewer]

    @property
    def viewers(self) -> int:
        return len(self._viewers)

    async def dismiss(self, seconds: float) -> None:
        """Sends everyone away because the server stops; returns when they went, or after `seconds`."""
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
                await self.look()
                self.alive_at = time.monotonic()
            except DatabaseError as error:
                # Where nobody reaches the database, nobody can lose a right either; the next look, at once
                # and by a fresh connection, decides.
                pause = AGAIN_SECONDS
                logger.warning("The watch over open pages could not look: %s", error)
            except Exception:
                logger.exception("The watch over open pages stumbled; it goes on.")

    async def look(self) -> None:
        """One look at everything. Raises DatabaseError."""
        viewers = list(self._viewers)
        if viewers:
            claims = [viewer.claim for viewer in viewers]
            allowed = await run_unit_on(self._thread, limited(LOOK_SECONDS, allowed_of), claims)
            for viewer in viewers:
                if viewer.claim not in allowed:
                    viewer.close("revoked")
        topics = hub.topics
        if topics:
            revisions = await run_unit_on(self._thread, limited(LOOK_SECONDS, _revisions), topics)
            for topic in topics:
                if self._revisions.get(topic) != revisions.get(topic):
                    hub.wake(topic, structural=True)
            self._revisions = revisions


def allowed_of(
    claims: Collection[tuple[int, str, str]], people: Collection[User] | None = None
) -> set[tuple[int, str, str]]:
    """Those of the (user id, session key, session hash) that still hold. `people` are the users of these
    claims, if they have just been read."""
    if people is None:
        people = []
        for ids in _chunks([user_id for user_id, _, _ in claims]):
            people += User.objects.filter(pk__in=ids).only("pk", "password", "is_active")
    hashes = {
        user.pk: {user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()}
        for user in people
        if user.is_active
    }
    keys: set[str] = set()
    for chunk in _chunks([key for _, key, _ in claims]):
        keys |= set(
            Session.objects.filter(session_key__in=chunk, expire_date__gt=timezone.now()).values_list(
                "session_key", flat=True
            )
        )
    return {claim for claim in claims if claim[1] in keys and claim[2] in hashes.get(claim[0], ())}


def _revisions(ids: Collection[UUID]) -> dict[UUID, int]:
    """The revisions of the kept conversations among these ids."""
    revisions: dict[UUID, int] = {}
    for chunk in _chunks(ids):
        revisions.update(Conversation.objects.kept().filter(pk__in=chunk).values_list("pk", "revision"))
    return revisions


def _chunks[T](values: Collection[T]) -> Iterator[list[T]]:
    unique = list(dict.fromkeys(values))
    for first in range(0, len(unique), _CHUNK):
        yield unique[first : first + _CHUNK]


session_monitor = SessionMonitor()
