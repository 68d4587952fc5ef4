"""Copies of replies that another process produces: one for each reply, for all its viewers here.

The other process sends its output over the channel layer while it is asked to. Lost output is read from the
journal, as is all output without a channel layer.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.db import DatabaseError

from chat.database import run_unit
from chat.live.hub import Hub
from chat.live.pubsub import PubSub
from chat.live.reply_log import ReplyLog, Segment
from chat.models import JournalEntry

logger = logging.getLogger(__name__)

PERIOD = 0.3  # seconds between reads of the journal


class RemoteLogs:
    def __init__(self, hub: Hub, pubsub: PubSub) -> None:
        self._hub, self._pubsub = hub, pubsub
        self._listeners: dict[UUID, int] = {}
        self._tasks: dict[UUID, asyncio.Task[None]] = {}

    @contextmanager
    def watching(self, generation_id: UUID) -> Iterator[ReplyLog]:
        """Yields the copy of this reply's log, which is updated during the block."""
        log = self._hub.logs.setdefault(generation_id, ReplyLog())
        self._listeners[generation_id] = self._listeners.get(generation_id, 0) + 1
        if generation_id not in self._tasks:
            self._tasks[generation_id] = asyncio.create_task(
                self._copy(generation_id, log),
                context=contextvars.Context(),
                name=f"remote-log-{generation_id}",
            )
        try:
            yield log
        finally:
            self._listeners[generation_id] -= 1
            if not self._listeners[generation_id]:
                del self._listeners[generation_id]
                self._tasks.pop(generation_id).cancel()
                self._hub.logs.pop(generation_id, None)

    async def _copy(self, generation_id: UUID, log: ReplyLog) -> None:
        while True:
            self._pubsub.request_output(generation_id)
            try:
                start, segments = await run_unit(journal_since, generation_id, log.length)
            except DatabaseError as error:
                logger.warning("The journal of another process could not be read: %s", error)
            else:
                if segments and log.extend_from(start, segments):
                    self._hub.wake(generation_id)
            await asyncio.sleep(PERIOD)


def journal_since(generation_id: UUID, position: int) -> tuple[int, list[Segment]]:
    """Returns the output in the journal that goes beyond `position`, and the character where it starts."""
    entries = JournalEntry.objects.filter(generation_id=generation_id)
    before = entries.filter(start__lte=position).order_by("-start").values_list("start", flat=True).first()
    rows = list(entries.filter(start__gte=before or 0).order_by("start").values_list("start", "segments"))
    segments = [Segment(kind, text) for _, row in rows for kind, text in row]
    return (rows[0][0] if rows else position), segments
