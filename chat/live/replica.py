"""Copies of replies that another process produces, one per reply and process whoever watches here.

The producer shares its output over the channel layer while asked to; whatever was lost on the way is read
from the journal. Without hints the journal alone serves, at the pace of its commits.
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
from chat.live.hints import hints
from chat.live.hub import hub
from chat.live.reply_log import ReplyLog, Segment
from chat.models import JournalEntry

logger = logging.getLogger(__name__)

PERIOD = 0.3  # seconds between looks at the journal


class Replicas:
    def __init__(self) -> None:
        self._watchers: dict[UUID, int] = {}
        self._tasks: dict[UUID, asyncio.Task[None]] = {}

    @contextmanager
    def watching(self, reply_id: UUID) -> Iterator[ReplyLog]:
        """The copy of this reply's log, kept up to date while anyone watches."""
        log = hub.logs.setdefault(reply_id, ReplyLog())
        self._watchers[reply_id] = self._watchers.get(reply_id, 0) + 1
        if reply_id not in self._tasks:
            self._tasks[reply_id] = asyncio.create_task(
                _copy(reply_id, log), context=contextvars.Context(), name=f"replica-{reply_id}"
            )
        try:
            yield log
        finally:
            self._watchers[reply_id] -= 1
            if not self._watchers[reply_id]:
                del self._watchers[reply_id]
                self._tasks.pop(reply_id).cancel()
                hub.logs.pop(reply_id, None)


async def _copy(reply_id: UUID, log: ReplyLog) -> None:
    while True:
        hints.watch_reply(reply_id)
        try:
            start, segments = await run_unit(journal_since, reply_id, log.length)
        except DatabaseError as error:
            logger.warning("A reply of another process could not be read: %s", error)
        else:
            if segments and log.extend_from(start, segments):
                hub.wake(reply_id)
        await asyncio.sleep(PERIOD)


def journal_since(reply_id: UUID, position: int) -> tuple[int, list[Segment]]:
    """The journal's output that goes beyond `position`, and the character where it starts."""
    entries = JournalEntry.objects.filter(generation_id=reply_id)
    before = entries.filter(start__lte=position).order_by("-start").values_list("start", flat=True).first()
    rows = list(entries.filter(start__gte=before or 0).order_by("start").values_list("start", "segments"))
    segments = [Segment(kind, text) for _, row in rows for kind, text in row]
    return (rows[0][0] if rows else position), segments


replicas = Replicas()
