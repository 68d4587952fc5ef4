"""Owns the running generations of this process: starts, stops and drains them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from django.db import DatabaseError

from chat import log_context
from chat.database import DatabaseThread
from chat.generation.journal import Journal
from chat.generation.lease import requeue
from chat.generation.run import Run
from chat.generation.summaries import Summaries
from chat.generation.titles import Titles
from chat.live.hub import Hub
from chat.live.pubsub import PubSub
from chat.metrics import Metrics
from chat.models import Generation

FORGET_SECONDS = 60.0  # a claim that is not in the database by then was never committed
LAST_COMMITS_SECONDS = 2.0
SAVE_SECONDS = 15.0  # for the ends of replies when the server stops

logger = logging.getLogger(__name__)


class Runner:
    """`accepting` is false before the start and from the beginning of a drain: then no generation begins
    here, and queued ones are left to other processes or the next start. `thread` queues again what was
    claimed and did not begin."""

    def __init__(
        self,
        hub: Hub,
        pubsub: PubSub,
        journal: Journal,
        thread: DatabaseThread,
        metrics: Metrics,
        titles: Titles,
        summaries: Summaries,
    ) -> None:
        self._titles, self._summaries = titles, summaries
        self.accepting = False
        self._metrics = metrics
        self._hub, self._pubsub, self._journal, self._thread = hub, pubsub, journal, thread
        # These may wait for minutes if a file is slow to read. The default threads of the event loop look up
        # the names of hosts: without a free one, no provider is reached.
        self._file_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="made")
        self._runs: dict[UUID, tuple[Run, asyncio.Task[None]]] = {}
        # Generations claimed by a transaction that is not known to be committed, with the time.
        self._claims: dict[UUID, float] = {}

    @property
    def running(self) -> list[UUID]:
        return list(self._runs)

    def remember_claims(self, generation_ids: Iterable[UUID]) -> None:
        """Call it before the commit that claims these generations for this process, from any thread. If the
        answer to the commit is lost with the connection, they are queued again."""
        self._claims |= dict.fromkeys(generation_ids, time.monotonic())

    async def requeue(self, *, after: float = 5.0) -> None:
        """Queues again what was claimed at least `after` seconds ago and never began. Raises
        DatabaseError."""
        now = time.monotonic()
        for generation_id, since in list(self._claims.items()):
            if now - since < after:
                continue
            # Forgotten first: one that is to begin meanwhile is claimed like any other.
            del self._claims[generation_id]
            is_given = False
            try:
                is_given = await self._thread.run(requeue, generation_id)
            finally:
                if not is_given and now - since < FORGET_SECONDS:  # committed later, or never
                    self._claims.setdefault(generation_id, since)

    def start_generation(self, generation_id: UUID, claimed: Generation | None = None) -> None:
        """From any thread, after the commit that queued it, or `claimed` it for this process. Where no server
        runs (a management command), a server's next sweep starts it."""
        self._hub.call_soon(self.begin, generation_id, claimed)

    def begin(self, generation_id: UUID, claimed: Generation | None = None) -> None:
        """On the event loop."""
        if generation_id in self._runs or not self.accepting:
            return
        if claimed is not None and self._claims.pop(generation_id, None) is None:
            claimed = None  # it was queued again meanwhile
        run = self.run_of(generation_id, claimed)
        # Begun at once, so that viewers who see it as running in the database find its output here.
        task = asyncio.Task(
            self._drive(run),
            loop=asyncio.get_running_loop(),
            context=log_context.fresh_context(),
            name=f"generation-{generation_id}",
            eager_start=True,
        )
        self._runs[generation_id] = (run, task)

    def run_of(self, generation_id: UUID, claimed: Generation | None = None) -> Run:
        return Run(
            generation_id,
            self._hub,
            self._pubsub,
            self._journal,
            self._metrics,
            self._summaries,
            self._file_threads,
            claimed,
        )

    async def _drive(self, run: Run) -> None:
        log_context.generation_id.set(str(run.id))
        try:
            await run()
            for waiting in run.waiting:
                self.begin(waiting)
            if run.untitled is not None:
                self._titles.make(run.untitled)
        except DatabaseError as error:
            logger.error("Generation %s could not be ended (%s). Recovery will end it.", run.id, error)
        except Exception:
            logger.exception("Generation %s failed unexpectedly. Recovery will end it.", run.id)
        finally:
            self._runs.pop(run.id, None)

    async def drain(self, seconds: float) -> None:
        """Takes nothing new, lets running replies go on for `seconds`, then ends the rest as interrupted.
        Returns when everything is written."""
        self.accepting = False
        if self._runs and seconds > 0:
            await asyncio.wait([task for _, task in self._runs.values()], timeout=seconds)
        tasks = []
        for run, task in list(self._runs.values()):
            run.interrupt()
            tasks.append(task)
        if tasks and (late := (await asyncio.wait(tasks, timeout=SAVE_SECONDS))[1]):
            logger.error(
                "%d replies could not be saved. The next start ends them with the text in the journal.",
                len(late),
            )
            for task in late:
                task.cancel()
        await self._requeue_all()

    async def _requeue_all(self) -> None:
        """Waits for the transactions that were open when `accepting` ended, and queues what they claimed."""
        until = time.monotonic() + LAST_COMMITS_SECONDS
        while self._claims and time.monotonic() < until:
            try:
                await self.requeue(after=0.0)
            except DatabaseError as error:
                logger.error(
                    "Claimed replies that had not begun could not be returned to the queue: %s", error
                )
                return
            await asyncio.sleep(0.02)
