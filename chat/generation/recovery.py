"""The sweep: what dead processes left behind comes to an honest end."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError

from chat.database import run_unit
from chat.generation.lease import LEASE_SECONDS, end_orphans, ready_to_start

logger = logging.getLogger(__name__)

PERIOD = 10.0  # seconds


class Recovery:
    def __init__(self, start_generation: Callable[[UUID], None]) -> None:
        self._start_generation = start_generation
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), context=contextvars.Context(), name="recovery")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        # On SQLite there is exactly one server process, so at its start every other lease is dead.
        grace = 0.0 if settings.SQLITE else LEASE_SECONDS
        while True:
            try:
                await self.sweep(grace)
                grace = LEASE_SECONDS
            except DatabaseError as error:
                logger.warning("The sweep for interrupted replies could not look: %s", error)
            await asyncio.sleep(PERIOD)

    async def sweep(self, grace: float = LEASE_SECONDS) -> None:
        """One sweep. Raises DatabaseError."""
        ended = await run_unit(end_orphans, grace=grace)
        if ended:
            logger.warning("%d replies were interrupted by the end of their process.", len(ended))
        for generation_id in await run_unit(ready_to_start):
            self._start_generation(generation_id)
