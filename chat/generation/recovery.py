"""Marks the replies of ended processes as interrupted, and starts queued replies. One sweep every 3 s."""

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
    could_renew,
    end_forgotten,
    end_orphan,
    named,
    orphans,
)
from chat.live.pubsub import Publish

logger = logging.getLogger(__name__)

PERIOD = 3.0  # seconds
UNIT_SECONDS = 5.0  # the limit for PostgreSQL in one step of a sweep


class Recovery:
    """`running` returns the ids of the generations that run in this process. `begin` starts a generation.
    `requeue` returns generations to the queue that this process claimed and never started. `on_interrupted`
    is called on `thread` for each generation whose process ended."""

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
        self._broken: set[UUID] = set()  # generations that cannot be ended, already logged
        self._task: asyncio.Task[None] | None = None
        self.ended = 0  # generations, since the start
        self.alive_at: float | None = None  # monotonic time of the last successful sweep

    def start(self) -> None:
        self.alive_at = time.monotonic()
        self._task = asyncio.create_task(self._run(), context=contextvars.Context(), name="recovery")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = self.alive_at = None

    async def _run(self) -> None:
        # SQLite has exactly one server process, so at its start all leases of other processes are invalid.
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
        """Runs one sweep. With `is_alone` the leases of other processes are invalid. Raises DatabaseError.

        Without `is_alone` a generation is ended only if two sweeps in a row found it with the same last
        heartbeat and could write its row without waiting. A lock or a database outage stops the heartbeats of
        all processes. Running processes send theirs before the next sweep. A locked row delays only its own
        generation."""
        await self._requeue()
        suspects, self._suspects = self._suspects, set()
        begun = time.monotonic()
        found = await self._thread.run(orphans, self._running(), grace=0.0 if is_alone else LEASE_SECONDS)
        if found and not is_alone:
            found = await self._thread.run(could_renew, found)
            if time.monotonic() - begun < 2 * AT_ONCE_SECONDS:
                self._suspects = found
        ended: list[UUID] = []
        for orphan in found if is_alone else found & suspects:
            if await self._ended(orphan, within=float("inf") if is_alone else AT_ONCE_SECONDS):
                ended.append(orphan.generation_id)
                await self._thread.run(self._on_interrupted, orphan.generation_id)
        ended += await self._thread.run(end_forgotten, self._publish)
        if ended:
            self.ended += len(ended)
            logger.warning(
                "%d replies were interrupted by the end of their process: %s",
                len(ended),
                await self._thread.run(named, ended),
            )
        for generation_id in await self._thread.run(ready_to_start, after=0.0 if is_alone else 2.0):
            self._begin(generation_id)

    async def _ended(self, orphan: Orphan, *, within: float) -> bool:
        """Returns whether the generation was ended. Raises DatabaseError if the database is unreachable."""
        try:
            return await self._thread.run(end_orphan, orphan, publish=self._publish, within=within)
        except (OperationalError, InterfaceError):
            raise
        except Exception:  # a fault of one generation must not keep the others from their end
            if orphan.generation_id not in self._broken:
                logger.exception("The interrupted generation %s could not be ended.", orphan.generation_id)
            self._broken.add(orphan.generation_id)
            return False
