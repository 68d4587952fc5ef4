"""Owns this process's running generations: starts, stops and drains them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from uuid import UUID

from django.db import DatabaseError

from chat import log_context
from chat.generation.journal import Journal
from chat.generation.lease import give_back
from chat.generation.recovery import Recovery
from chat.generation.run import Run
from chat.live.hub import hub
from chat.live.pubsub import pubsub
from chat.live.session_monitor import session_monitor
from chat.models import Generation
from chat.providers.registry import close_all

FORGET_SECONDS = 60.0  # what is not there by then was never committed
LAST_COMMITS_SECONDS = 2.0
SAVE_SECONDS = 15.0  # for the ends of replies when the server stops

logger = logging.getLogger(__name__)


class Runner:
    """`accepting` is false before the start and from the beginning of a drain: then no generation is
    begun here, and queued ones are left to other processes or the next start."""

    def __init__(self) -> None:
        self.accepting = False
        self.journal = Journal()
        self.recovery = Recovery(lambda: list(self._runs), self._begin, self.give_back)
        self._runs: dict[UUID, tuple[Run, asyncio.Task[None]]] = {}
        self._taken: dict[UUID, float] = {}  # in a transaction whose end is not heard of yet; since when

    @property
    def started(self) -> bool:
        """Whether the live rooms are bound to the loop that runs now."""
        return hub.loop is asyncio.get_running_loop()

    @property
    def running(self) -> int:
        return len(self._runs)

    async def start(self) -> None:
        """Binds the live rooms to the running loop and starts their loops. Idempotent."""
        if self.started:
            return
        hub.loop = asyncio.get_running_loop()
        self.accepting = True
        pubsub.on_stop = self._stop
        pubsub.start()
        session_monitor.start()
        self.journal.start()
        self.recovery.start()

    def taking(self, generation_ids: Iterable[UUID]) -> None:
        """From any thread, before the commit that takes them for this process: should its answer be lost
        with the connection, they are given back."""
        self._taken |= dict.fromkeys(generation_ids, time.monotonic())

    async def give_back(self, *, after: float = 5.0) -> None:
        """Queues again what was taken `after` seconds ago or more and never began. Raises DatabaseError."""
        now = time.monotonic()
        for generation_id, since in list(self._taken.items()):
            if now - since < after:
                continue
            # Forgotten first: one that is to begin meanwhile is claimed like any other.
            del self._taken[generation_id]
            is_given = False
            try:
                is_given = await self.recovery.unit(give_back, generation_id)
            finally:
                if not is_given and now - since < FORGET_SECONDS:  # committed later, or never
                    self._taken.setdefault(generation_id, since)

    def start_generation(self, generation_id: UUID, claimed: Generation | None = None) -> None:
        """From any thread, after the commit that queued it, or `claimed` it for this process. Where nothing
        serves (a management command), the row waits for a server's sweep."""
        if hub.loop is not None and not hub.loop.is_closed():
            hub.loop.call_soon_threadsafe(self._begin, generation_id, claimed)

    def _begin(self, generation_id: UUID, claimed: Generation | None = None) -> None:
        if generation_id in self._runs or not self.accepting:
            return
        if claimed is not None and self._taken.pop(generation_id, None) is None:
            claimed = None  # given back meanwhile
        run = Run(generation_id, self.journal, claimed)
        # Begun at once, so that viewers who see it as running in the database find its output here.
        task = asyncio.Task(
            self._drive(run),
            loop=asyncio.get_running_loop(),
            context=log_context.fresh_context(),
            name=f"generation-{generation_id}",
            eager_start=True,
        )
        self._runs[generation_id] = (run, task)

    async def _drive(self, run: Run) -> None:
        log_context.generation_id.set(str(run.id))
        try:
            await run()
            for waiting in run.waiting:
                self._begin(waiting)
        except DatabaseError as error:
            logger.error("Generation %s was left to the sweep: %s", run.id, error)
        except Exception:
            logger.exception("Generation %s broke; the sweep will end it.", run.id)
        finally:
            self._runs.pop(run.id, None)

    def _stop(self, generation_id: UUID) -> None:
        if found := self._runs.get(generation_id):
            found[0].stop()

    async def drain(self, seconds: float) -> None:
        """Takes nothing new, lets running replies go on for `seconds`, then ends the rest as interrupted,
        and stops all loops. Returns when everything is written."""
        self.accepting = False
        await self.recovery.stop()
        if self._runs and seconds > 0:
            await asyncio.wait([task for _, task in self._runs.values()], timeout=seconds)
        tasks = []
        for run, task in list(self._runs.values()):
            run.interrupt()
            tasks.append(task)
        if tasks and (late := (await asyncio.wait(tasks, timeout=SAVE_SECONDS))[1]):
            logger.error(
                "%d replies could not be saved; the next start ends them from the journal.", len(late)
            )
            for task in late:
                task.cancel()
        await self._give_all_back()
        await session_monitor.dismiss(2.0)
        await self.journal.stop()
        await session_monitor.stop()
        await pubsub.stop()
        await close_all()

    async def _give_all_back(self) -> None:
        """What was taken when `accepting` ended: its transactions come to an end now."""
        until = time.monotonic() + LAST_COMMITS_SECONDS
        while self._taken and time.monotonic() < until:
            try:
                await self.give_back(after=0.0)
            except DatabaseError as error:
                logger.error("What was taken and not begun was left to the next start: %s", error)
                return
            await asyncio.sleep(0.02)


runner = Runner()
