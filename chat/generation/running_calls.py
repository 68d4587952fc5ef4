"""The calls of programs that run: how many one user has, in all processes, and who may begin one."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError
from django.db.models import QuerySet
from django.db.models.functions import Now

from chat.actor import Actor
from chat.database import DatabaseThread
from chat.generation.call_queue import CallQueue
from chat.live.process import process_name
from chat.metrics import Metrics
from chat.models import ApiToken, ChatModel, Endpoint, Preferences, RunningCall, User
from chat.providers.base import EndpointConfig
from chat.recent import Recent

CHECK_SECONDS = 0.05  # between two checks of the running calls during a drain
PERMIT_SECONDS = 2.0
UNIT_SECONDS = 5.0  # the limit for PostgreSQL
RENEW_SECONDS = 10.0  # between two renewals of the rows of running calls
SEEN_SECONDS = 45.0  # after which the row of a call that is not renewed counts no more
_PERMITTING = (
    User,
    ApiToken,
    Endpoint,
    ChatModel,
    Preferences,
    User.groups.through,
    ChatModel.groups.through,
)


logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Permit:
    """Who may call which model. `keeps` is whether the user wants a chat made of each call, `replies` how
    many replies of the user run."""

    actor: Actor
    model: ChatModel
    endpoint: EndpointConfig
    keeps: bool
    replies: int = 0


class RunningCalls:
    """The running calls of this process. `queue` gives them their turn on endpoints with a queue. `permits`
    are those of the last seconds: a program that asks often needs one query for a call in place of five. What
    changes in another process counts after 2 s, as it does for running calls (`live.session_monitor`)."""

    def __init__(self, metrics: Metrics, queue: CallQueue) -> None:
        self.metrics, self.queue = metrics, queue
        self.permits: Recent[tuple[str, str], Permit] = Recent(PERMIT_SECONDS, _PERMITTING)
        self._running: Counter[int] = Counter()  # by user
        self._ids: set[UUID] = set()  # of running calls
        self._thread = DatabaseThread("calls", UNIT_SECONDS)
        self._ended: list[UUID] = []  # whose rows are to be deleted
        self._has_ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> int:
        return self._running.total()

    def running_of(self, user_id: int) -> int:
        return self._running[user_id]

    def running_everywhere_of(self, user_id: int) -> int:
        """Returns the calls of this user in all processes. A part of a unit of work."""
        if settings.SQLITE:
            return self._running[user_id]
        return _seen().filter(user=user_id).count()

    @contextmanager
    def counting(self, user_id: int, call_id: UUID | None = None) -> Iterator[None]:
        """Counts one more call of this user inside of the block, and ends its row after it."""
        self._running[user_id] += 1
        if call_id is not None:
            self._ids.add(call_id)
        try:
            yield
        finally:
            self._running[user_id] -= 1
            if not self._running[user_id]:
                del self._running[user_id]
            if call_id is not None:
                self._ids.discard(call_id)
                if self._task is not None:
                    self._ended.append(call_id)
                    self._has_ended.set()

    def start(self) -> None:
        self._has_ended = asyncio.Event()
        if not settings.SQLITE:
            self._task = asyncio.create_task(self._run(), context=contextvars.Context(), name="calls")

    async def drain(self, seconds: float) -> None:
        """Returns when no call is running, or after `seconds`."""
        until = time.monotonic() + seconds
        while self._running and time.monotonic() < until:
            await asyncio.sleep(CHECK_SECONDS)

    async def stop(self) -> None:
        """Deletes the rows of this process: no call runs any more."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        with suppress(DatabaseError):  # the rows soon stop counting
            await self._thread.run(_of_this_process().delete)

    async def _run(self) -> None:
        """Deletes the rows of calls that have ended, at once, and renews those of the others."""
        renewed_at = time.monotonic()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, renewed_at + RENEW_SECONDS - time.monotonic())):
                    await self._has_ended.wait()
            self._has_ended.clear()
            ended, self._ended = self._ended, []
            is_due = time.monotonic() >= renewed_at + RENEW_SECONDS
            try:
                await self._thread.run(_clean_up, ended, list(self._ids) if is_due else None)
            except Exception as error:  # noqa: BLE001 - the loop goes on
                logger.warning("The rows of running calls could not be written: %s", error)
                self._ended += ended
                await asyncio.sleep(RENEW_SECONDS)
            else:
                renewed_at = time.monotonic() if is_due else renewed_at


def _of_this_process() -> QuerySet[RunningCall]:
    return RunningCall.objects.filter(process=process_name())


def _seen() -> QuerySet[RunningCall]:
    return RunningCall.objects.filter(seen_at__gt=Now() - timedelta(seconds=SEEN_SECONDS))


def _clean_up(ended: list[UUID], running: list[UUID] | None) -> None:
    RunningCall.objects.filter(pk__in=ended).delete()
    if running is not None:
        RunningCall.objects.filter(pk__in=running).update(seen_at=Now())
        RunningCall.objects.exclude(pk__in=_seen().values("pk")).delete()
