"""Ends the replies of ended processes as interrupted: a database query every 3 s."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Awaitable, Callable
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError

from chat.database import DatabaseThread
from chat.generation.lease import LEASE_SECONDS, ready_to_start
from chat.generation.orphans import (
    AT_ONCE_SECONDS,
    Orphan,
    could_beat,
    end_forgotten,
    end_orphan,
    named,
    orphans,
)
from chat.live.pubsub import Publish

logger = logging.getLogger(__name__)

PERIOD = 3.0  # seconds
UNIT_SECONDS = 5.0  # that PostgreSQL may take for one step of a sweep


class Recovery:
    """`running` names the generations that run here, `begin` begins one, `requeue` queues a generation that
    was claimed here and never started. `on_interrupted` is called on `thread` with each reply that was
    interrupted by the end of its process."""

    def __init__(
        self,
        thread: DatabaseThread,
        publish: Publish,
        *,
        running: Callable[[], list[UUID]],
        begin: Callable[[UUID], None],
        requeue: Callable[[], Awaitable[None]],
        on_interrupted: Callable[[UUID], None],
    ) -> None:
        self._thread, self._publish = thread, publish
        self._running, self._begin, self._requeue = running, begin, requeue
        self._on_interrupted = on_interrupted
        self._suspects: set[Orphan] = set()
        self._broken: set[UUID] = set()  # what cannot be ended, and was logged
        self._task: asyncio.Task[None] | None = None
        self.alive_at: float | None = None  # monotonic time of the last sweep that worked

    def start(self) -> None:
        self.alive_at = time.monotonic()
        self._task = asyncio.create_task(self._run(), context=contextvars.Context(), name="recovery")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = self.alive_at = None

    async def _run(self) -> None:
        # On SQLite there is exactly one server process, so at its start every other lease is expired.
        is_alone = settings.SQLITE
        while True:
            try:
                await self.sweep(is_alone=is_alone)
                is_alone = False
                self.alive_at = time.monotonic()
            except DatabaseError as error:
                logger.warning("The search for interrupted replies failed: %s", error)
            except Exception:
                logger.exception("The search for interrupted replies failed unexpectedly. It is repeated.")
            await asyncio.sleep(PERIOD)

    async def sweep(self, *, is_alone: bool = False) -> None:
        """One sweep; with `is_alone` nothing that other processes hold is theirs any more. Raises
        DatabaseError.

        Otherwise an orphan is ended only when the sweep before saw it too, with the same last heartbeat, and
        both could write it at once: after a lock, or when a database comes back, all heartbeats stood still,
        and living processes send theirs before the next sweep. A locked row delays only its own reply."""
        await self._requeue()
        suspects, self._suspects = self._suspects, set()
        begun = time.monotonic()
        found = await self._thread.run(orphans, self._running(), grace=0.0 if is_alone else LEASE_SECONDS)
        if found and not is_alone:
            found = await self._thread.run(could_beat, found)
            if time.monotonic() - begun < 2 * AT_ONCE_SECONDS:
                self._suspects = found
        ended: list[UUID] = []
        for orphan in found if is_alone else found & suspects:
            if await self._ended(orphan, within=float("inf") if is_alone else AT_ONCE_SECONDS):
                ended.append(orphan.generation_id)
                await self._thread.run(self._on_interrupted, orphan.generation_id)
        ended += await self._thread.run(end_forgotten, self._publish)
        if ended:
            logger.warning(
                "%d replies were interrupted by the end of their process: %s",
                len(ended),
                await self._thread.run(named, ended),
            )
        for generation_id in await self._thread.run(ready_to_start, after=0.0 if is_alone else 2.0):
            self._begin(generation_id)

    async def _ended(self, orphan: Orphan, *, within: float) -> bool:
        """Whether it could be ended. Raises DatabaseError where the database is out of reach."""
        try:
            return await self._thread.run(end_orphan, orphan, publish=self._publish, within=within)
        except (OperationalError, InterfaceError):
            raise
        except Exception:  # of this one alone: the others come to their end all the same
            if orphan.generation_id not in self._broken:
                logger.exception("The interrupted generation %s could not be ended.", orphan.generation_id)
            self._broken.add(orphan.generation_id)
            return False
