"""The calls of this process in the queues of endpoints: how a call waits for its turn.

A call waits in the same queue as the replies (`endpoint_queue`). Its row says whether it waits or runs. One
loop for all calls of the process checks whose turn it is, renews the rows, and removes those of ended
calls."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Now

from chat.database import DatabaseThread, run_write
from chat.generation.endpoint_queue import (
    RECENT_SECONDS,
    has_queue,
    startable_generations,
    startable_on,
    unlocked,
)
from chat.live.process import process_name
from chat.models import ChatModel, Endpoint, QueuedCall

MOST_SECONDS = 300.0  # that a call waits; the SDKs give up after ten minutes
POLL_SECONDS = 0.25  # between two polls while a call waits
RENEW_SECONDS = 4.0  # between two renewals of the rows
UNIT_SECONDS = 5.0  # the limit for PostgreSQL

logger = logging.getLogger(__name__)


class QueueTimeoutError(Exception):
    """No place became free in time. Nothing was sent to the provider."""


class QueueClosedError(Exception):
    """The process stops, and begins no call of the queue. Nothing was sent to the provider."""


class CallQueue:
    """`begin` begins queued generations, which may follow a call that ended."""

    def __init__(self, begin: Callable[[UUID], None]) -> None:
        self._begin = begin
        self._thread = DatabaseThread("call_queue", UNIT_SECONDS)
        self._waiting: dict[UUID, asyncio.Future[None]] = {}
        self._running: set[UUID] = set()
        self._ended: set[UUID] = set()
        self._changed = asyncio.Event()
        self._is_closed = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._changed, self._is_closed = asyncio.Event(), False
        self._task = asyncio.create_task(self._run(), context=contextvars.Context(), name="call_queue")

    def close(self) -> None:
        """Begins no further call of the queue: those that wait raise `QueueClosedError`. Running ones keep
        their places."""
        self._is_closed = True
        for turn in self._waiting.values():
            if not turn.done():
                turn.set_exception(QueueClosedError)

    async def stop(self) -> None:
        """Removes the calls of this process: none runs any more."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        with suppress(DatabaseError):  # the rows soon stop counting
            await self._thread.write(_forget_this_process)

    @asynccontextmanager
    async def place(
        self, call_id: UUID, user_id: int, model: ChatModel, seconds: float | None = None
    ) -> AsyncIterator[float]:
        """Enters the block when it is the turn of this call on the endpoint of its model, and yields the
        seconds that it waited, at most `seconds` or `MOST_SECONDS`. The place is free again after the block.
        Without a queue it costs nothing. Raises `QueueTimeoutError`, `QueueClosedError`, DatabaseError."""
        if self._task is None or not has_queue(model):
            yield 0.0
            return
        if self._is_closed:
            raise QueueClosedError
        entered_at = time.monotonic()
        entering = asyncio.ensure_future(run_write(_enter, call_id, user_id, model.endpoint_id))
        try:
            is_turn = await asyncio.shield(entering)
            if not is_turn and not self._is_closed:
                await self._turn(call_id, MOST_SECONDS if seconds is None else seconds)
            if self._is_closed:
                raise QueueClosedError
            self._running.add(call_id)
            yield time.monotonic() - entered_at
        finally:
            self._running.discard(call_id)
            entering.add_done_callback(partial(self._leave, call_id))  # its row may be written later

    def _leave(self, call_id: UUID, entering: asyncio.Future[bool]) -> None:
        if not entering.cancelled():
            entering.exception()  # the caller got it, unless the caller was cancelled
        self._ended.add(call_id)
        self._changed.set()

    async def _turn(self, call_id: UUID, seconds: float) -> None:
        turn = self._waiting[call_id] = asyncio.get_running_loop().create_future()
        self._changed.set()
        try:
            async with asyncio.timeout(seconds):
                await turn
        except TimeoutError:
            raise QueueTimeoutError from None
        finally:
            del self._waiting[call_id]

    async def _run(self) -> None:
        if settings.SQLITE:  # one process: all rows are of a former one
            with suppress(DatabaseError):
                await self._thread.write(_forget_waiting)
        renewed_at = time.monotonic()
        while True:
            await self._pause(renewed_at)
            ended, self._ended = self._ended, set()
            is_due = time.monotonic() >= renewed_at + RENEW_SECONDS
            renewed = {*self._waiting, *self._running} if is_due else set()
            try:
                begun, following = await self._thread.write(_poll, ended, set(self._waiting), renewed)
            except Exception as error:  # noqa: BLE001 - the loop goes on
                logger.warning("The queue of an endpoint could not be read: %s", error)
                self._ended |= ended
                await asyncio.sleep(RENEW_SECONDS)
                continue
            renewed_at = time.monotonic() if is_due else renewed_at
            for call_id in begun:
                if (turn := self._waiting.get(call_id)) is not None and not turn.done():
                    turn.set_result(None)
            for generation_id in following:
                self._begin(generation_id)

    async def _pause(self, renewed_at: float) -> None:
        """Returns when there is something to do."""
        if self._waiting:
            limit: float | None = POLL_SECONDS
        elif self._running:
            limit = max(0.0, renewed_at + RENEW_SECONDS - time.monotonic())
        else:
            limit = None
        with suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await self._changed.wait()
        self._changed.clear()


def _enter(call_id: UUID, user_id: int, endpoint_id: str) -> bool:
    """Adds the call to the queue. Returns whether it is its turn already."""
    QueuedCall.objects.bulk_create(
        [QueuedCall(id=call_id, user_id=user_id, endpoint_id=endpoint_id, process=process_name())]
    )
    return bool(_begin_those({call_id}))


def _poll(
    ended: Collection[UUID], waiting: Collection[UUID], renewed: Collection[UUID]
) -> tuple[list[UUID], list[UUID]]:
    """Ends the calls that ended. Returns the waiting ones whose turn it is, marked as begun, and the
    generations that can begin because others ended."""
    left = _end_those(ended) if ended else []
    if renewed:
        _renew(renewed)
    begun = _begin_those(waiting) if waiting else []
    return begun, [generation_id for endpoint in left for generation_id in startable_generations(endpoint)]


def _begin_those(waiting: Collection[UUID]) -> list[UUID]:
    """Begins the waiting calls whose turn it is. Returns them, and those that an earlier, failed poll began.
    Endpoints that another process has locked are left to the next poll."""
    rows = QueuedCall.objects.filter(pk__in=waiting, ended_at=None)
    before = list(rows.filter(begun_at__isnull=False).values_list("pk", flat=True))
    begun: list[UUID] = []
    with transaction.atomic():
        wanted = rows.filter(begun_at=None)
        endpoints = Endpoint.objects.filter(pk__in=wanted.values("endpoint"))
        for endpoint in unlocked(endpoints).order_by("pk"):
            begun += [call_id for call_id in startable_on(endpoint).calls if call_id in waiting]
        wanted.filter(pk__in=begun).update(begun_at=Now(), seen_at=Now())
    return before + begun


def _end_those(ended: Collection[UUID]) -> Iterable[Endpoint]:
    """Ends these calls, and returns their endpoints. Of each user and endpoint the last call that began is
    kept: it says when the user was served."""
    with transaction.atomic():
        rows = _locked(ended)
        endpoints = list(Endpoint.objects.filter(pk__in=rows.values("endpoint")))
        rows.filter(begun_at=None).delete()
        rows.update(ended_at=Now())
        over = QueuedCall.objects.filter(endpoint__in=endpoints, ended_at__isnull=False)
        same = over.filter(user=OuterRef("user"), endpoint=OuterRef("endpoint"))
        last = same.order_by("-begun_at", "pk").values("pk")[:1]
        _delete(over.exclude(pk=Subquery(last)))
    return endpoints


def _renew(renewed: Collection[UUID]) -> None:
    """Renews these rows. Deletes those that no longer count: not those of this process, which are renewed
    first."""
    long_ago = Now() - timedelta(seconds=RECENT_SECONDS)
    with transaction.atomic():
        _locked(renewed).filter(ended_at=None).update(seen_at=Now())
        _delete(QueuedCall.objects.filter(Q(seen_at__lt=long_ago, ended_at=None) | Q(ended_at__lt=long_ago)))


def _locked(ids: Collection[UUID]) -> QuerySet[QueuedCall]:
    """Returns the rows of this process with these ids, locked in one order until the transaction ends."""
    rows = QueuedCall.objects.filter(pk__in=ids)
    if connection.features.has_select_for_update:
        list(rows.select_for_update().order_by("pk").values_list("pk"))
    return rows


def _delete(rows: QuerySet[QueuedCall]) -> None:
    """Deletes these rows, of any process, except those that another transaction holds. Processes that delete
    at the same time would otherwise wait for each other, in a circle."""
    locked = rows.select_for_update(of=("self",), skip_locked=True).order_by("pk")
    QueuedCall.objects.filter(pk__in=list(locked.values_list("pk", flat=True))).delete()


def _forget_this_process() -> None:
    QueuedCall.objects.filter(process=process_name(), ended_at=None).delete()


def _forget_waiting() -> None:
    QueuedCall.objects.filter(ended_at=None).exclude(process=process_name()).delete()
