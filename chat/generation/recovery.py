"""The sweep: what dead processes left behind comes to an honest end."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError

from chat.backends.patience import limited
from chat.database import run_unit_on
from chat.generation.lease import (
    AT_ONCE_SECONDS,
    LEASE_SECONDS,
    Orphan,
    could_beat,
    end_forgotten,
    end_orphan,
    named,
    orphans,
    ready_to_start,
)

logger = logging.getLogger(__name__)

PERIOD = 3.0  # seconds
UNIT_SECONDS = 5.0  # that PostgreSQL may take for one step of a sweep


class Recovery:
    """`running` names the generations that run here, `start_generation` begins one, `give_back` queues again
    what was taken here and never began."""

    def __init__(
        self,
        running: Callable[[], list[UUID]],
        start_generation: Callable[[UUID], None],
        give_back: Callable[[], Awaitable[None]],
    ) -> None:
        self._running, self._start_generation, self._give_back = running, start_generation, give_back
        # What else is to be done for a reply that a process's death interrupted.
        self.on_interrupted: Callable[[UUID], None] = lambda generation_id: None
        self._suspects: set[Orphan] = set()
        self._broken: set[UUID] = set()  # what cannot be ended, and was told
        # Not the threads of all units, which may all be waiting for a database that does not answer.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="recovery")
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
        # On SQLite there is exactly one server process, so at its start every other lease is dead.
        is_alone = settings.SQLITE
        while True:
            try:
                await self.sweep(is_alone=is_alone)
                is_alone = False
                self.alive_at = time.monotonic()
            except DatabaseError as error:
                logger.warning("The sweep for interrupted replies could not look: %s", error)
            except Exception:
                logger.exception("The sweep for interrupted replies stumbled; it goes on.")
            await asyncio.sleep(PERIOD)

    async def sweep(self, *, is_alone: bool = False) -> None:
        """One sweep; with `is_alone` nothing that other processes hold is theirs any more. Raises
        DatabaseError.

        Else an orphan is ended only when the sweep before saw it too, with the same last heartbeat, and both
        could write it at once: after a lock, or when a database comes back, all hearts stood still, and those
        that live beat before the next sweep. What somebody has locked keeps only its own reply waiting."""
        await self._give_back()
        suspects, self._suspects = self._suspects, set()
        begun = time.monotonic()
        found = await self.unit(orphans, self._running(), grace=0.0 if is_alone else LEASE_SECONDS)
        if found and not is_alone:
            found = await self.unit(could_beat, found)
            if time.monotonic() - begun < 2 * AT_ONCE_SECONDS:
                self._suspects = found
        ended: list[UUID] = []
        for orphan in found if is_alone else found & suspects:
            if await self._ended(orphan, within=float("inf") if is_alone else AT_ONCE_SECONDS):
                ended.append(orphan.generation_id)
                await self.unit(self.on_interrupted, orphan.generation_id)
        ended += await self.unit(end_forgotten)
        if ended:
            logger.warning(
                "%d replies were interrupted by the end of their process: %s",
                len(ended),
                await self.unit(named, ended),
            )
        for generation_id in await self.unit(ready_to_start, after=0.0 if is_alone else 2.0):
            self._start_generation(generation_id)

    async def _ended(self, orphan: Orphan, *, within: float) -> bool:
        """Whether it could be ended. Raises DatabaseError where the database is out of reach."""
        try:
            return await self.unit(end_orphan, orphan, within=within)
        except (OperationalError, InterfaceError):
            raise
        except Exception:  # of this one alone: the others come to their end all the same
            if orphan.generation_id not in self._broken:
                logger.exception("The interrupted reply %s could not be ended.", orphan.generation_id)
            self._broken.add(orphan.generation_id)
            return False

    async def unit[R](self, unit: Callable[..., R], *args: Any, **kwargs: Any) -> R:
        """Runs `unit` on the thread of the sweep."""
        return await run_unit_on(self._thread, limited(UNIT_SECONDS, unit), *args, **kwargs)
