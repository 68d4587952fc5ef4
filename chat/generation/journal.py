"""The durable log of the running replies of this process: every 250 ms one transaction with the new output.

On PostgreSQL it has a thread and a connection of its own, so that no slow query delays it, and a tick is one
round trip. On SQLite the writer thread commits it. While the database is slow, locked or gone, the output
waits in the logs in memory. A run whose backlog exceeds `BACKLOG_CHARS` stops reading from its provider until
the journal has caught up.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from django.db import DatabaseError, IntegrityError

from chat.database import DatabaseThread
from chat.generation.commit import commit
from chat.generation.lease import HEARTBEAT_SECONDS
from chat.live.reply_log import ReplyLog

logger = logging.getLogger(__name__)

PERIOD = 0.25  # seconds
TICK_SECONDS = 4.0  # on PostgreSQL; after that a fresh connection takes the next one
BACKLOG_CHARS = 1_000_000


@dataclass(eq=False)
class Record:
    """One running reply: its log, the length of its committed output, and the callbacks of its run. While it
    `is_ending`, its lease is renewed and no output is written, because its end is being written."""

    generation_id: UUID
    log: ReplyLog
    on_stop: Callable[[], None]
    on_lost: Callable[[], None]
    committed: int = 0
    is_ending: bool = False


class Journal:
    def __init__(self) -> None:
        self._records: dict[UUID, Record] = {}
        self._thread = DatabaseThread("journal", TICK_SECONDS)
        self._task: asyncio.Task[None] | None = None
        self._ticked = asyncio.Condition()
        self._ticking = asyncio.Lock()
        self._heartbeat_at = 0.0
        self.alive_at: float | None = None  # monotonic time of the last tick that worked
        self.healthy = True

    def start(self) -> None:
        self._ticked, self._ticking = asyncio.Condition(), asyncio.Lock()
        self.alive_at = time.monotonic()
        self._task = asyncio.create_task(self._run(), context=contextvars.Context(), name="journal")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = self.alive_at = None
            await self._thread.run(lambda: None)  # returns the kept connection

    def open(self, record: Record) -> None:
        self._records[record.generation_id] = record

    def close(self, generation_id: UUID) -> None:
        self._records.pop(generation_id, None)

    @property
    def backlog(self) -> int:
        """Returns the number of characters of output that are not yet stored."""
        return sum(record.log.length - record.committed for record in self._records.values())

    async def room(self, record: Record) -> None:
        """Waits until the backlog of the reply has room for more."""
        if record.log.length - record.committed < BACKLOG_CHARS:
            return
        async with self._ticked:
            await self._ticked.wait_for(lambda: record.log.length - record.committed < BACKLOG_CHARS)

    @asynccontextmanager
    async def ending(self, record: Record) -> AsyncIterator[None]:
        """Writes nothing of the reply during the block, and waits for the commit under way before it. So the
        end of the reply, which deletes its rows, leaves none behind."""
        record.is_ending = True
        async with self._ticking:
            pass
        try:
            yield
        finally:
            record.is_ending = False

    async def _run(self) -> None:
        while True:
            started = time.monotonic()
            if self._records:
                try:
                    await self.tick()
                except Exception:  # nothing may end the journal of all replies
                    logger.exception("The journal failed unexpectedly. It tries again.")
                    self.healthy = False
            else:
                self.alive_at = time.monotonic()
            await asyncio.sleep(max(0.02, PERIOD - (time.monotonic() - started)))

    async def tick(self) -> None:
        """One commit. What fails is tried again with the next."""
        async with self._ticking:
            await self._tick()

    async def _tick(self) -> None:
        records = list(self._records.values())
        batch = [
            (record, record.committed, record.log.length, record.log.since(record.committed))
            for record in records
            if not record.is_ending
        ]
        is_heartbeat = time.monotonic() - self._heartbeat_at >= HEARTBEAT_SECONDS
        entries = [(record.generation_id, start, news) for record, start, _, news in batch if news]
        running = [record.generation_id for record in records]
        try:
            done = await self._thread.write(commit, entries, running, renew=is_heartbeat)
        except IntegrityError as error:
            logger.warning("A journal entry refers to a deleted generation: %s", error)
            self._heartbeat_at = 0.0  # the next tick finds out which generation was deleted, and drops it
            return
        except DatabaseError as error:
            if self.healthy:
                logger.error(
                    "The journal cannot write (%s). Replies continue in memory. It tries again.", error
                )
            self.healthy = False
            return
        if not self.healthy:
            logger.warning("The journal writes again.")
        self.healthy = True
        self.alive_at = time.monotonic()
        if is_heartbeat and done.written >= done.held:
            self._heartbeat_at = time.monotonic()
        for record, start, end, _ in batch:
            if record.generation_id in done.written or start == end:
                record.committed = end
        for record in records:
            if record.generation_id not in done.held:
                record.on_lost()
            elif record.generation_id in done.to_stop:
                record.on_stop()
        async with self._ticked:
            self._ticked.notify_all()
