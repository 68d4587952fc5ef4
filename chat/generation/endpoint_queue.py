"""The queue of an endpoint that takes a limited number of requests at once, or that asked for a pause.

The database is the queue: the queued generations of the endpoint and the waiting calls of programs, of all
processes. A process that begins one of them locks the row of the endpoint, counts what runs, and takes the
next in the queue. It never waits for that lock: `SKIP LOCKED` raises `BusyError`, and the claim is repeated.
A generation of an ended process counts until recovery ends it: its provider may still work on it.

The order is fair between people. A generation's rank is the number of its owner's generations and calls that
run on the endpoint or precede it in the queue, so a person with many waits behind one with few. Within a rank
the person who was served longest ago is first, so nobody starves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.db import DatabaseError
from django.db.models import Exists, Max, OuterRef, Q, QuerySet
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now
from django.utils import timezone

from chat.database import run_write
from chat.models import LIVE, ChatModel, Endpoint, Generation, QueuedCall, Status
from chat.providers.errors import RateLimitError

MOST_PAUSE = 300.0  # seconds that a provider can pause its endpoint with one answer
LEAST_PAUSE = 1.0  # seconds; a shorter wait concerns one reply alone
# A call that runs counts longer than one that waits: its provider may still work on it.
WAITING_SECONDS = 15.0  # without a renewal, after which a waiting call no longer counts
RUNNING_SECONDS = 45.0
RECENT_SECONDS = 3600.0  # in which it counts who was served
_LONG_AGO = datetime.min.replace(tzinfo=timezone.get_default_timezone())


class BusyError(Exception):
    """Another process begins something on the same endpoint or in the same conversation now."""


class QueueEntry(NamedTuple):
    """A queued generation, or a waiting call, that could begin."""

    id: UUID
    owner_id: int


class Startable(NamedTuple):
    """What can begin now on an endpoint."""

    generations: list[UUID]
    calls: list[UUID]


def ordered(
    waiting: Sequence[QueueEntry], running: Mapping[int, int], served: Mapping[int, datetime]
) -> list[UUID]:
    """Returns the ids in the order in which they begin. `waiting` is in the order of arrival, `running` the
    number of running generations and calls by owner, `served` when one of the owner last began."""
    ranks: Counter[int] = Counter(running)
    keys = []
    for place, (waiting_id, owner_id) in enumerate(waiting):
        keys.append((ranks[owner_id], served.get(owner_id, _LONG_AGO), place, waiting_id))
        ranks[owner_id] += 1
    return [key[-1] for key in sorted(keys)]


def has_queue(model: ChatModel) -> bool:
    """Returns whether replies of this model may have to wait. The endpoint's row may be some seconds old:
    then the claim of the generation decides."""
    endpoint = model.endpoint
    is_paused = endpoint.slowed_until is not None and endpoint.slowed_until > timezone.now()
    return endpoint.at_once is not None or is_paused


def may_begin(generation_id: UUID) -> bool:
    """Returns whether its endpoint has room for it, and nothing precedes it. Locks the row of an endpoint
    with a queue until the transaction ends. Raises `BusyError` if another process holds that lock."""
    with_queue = Q(at_once__isnull=False) | Q(slowed_until__gt=Now())
    endpoint = Endpoint.objects.filter(with_queue, models__generations=generation_id).first()
    if endpoint is None:
        return True
    locked = unlocked(Endpoint.objects.filter(pk=endpoint.pk)).first()
    if locked is None:
        raise BusyError
    return generation_id in startable_on(locked).generations


def unlocked(endpoints: QuerySet[Endpoint]) -> QuerySet[Endpoint]:
    """Returns those of the endpoints that no other process holds, locked until the transaction ends."""
    return endpoints.select_for_update(of=("self",), no_key=True, skip_locked=True)


def startable_on(endpoint: Endpoint) -> Startable:
    """Returns what can begin now."""
    if Endpoint.objects.filter(pk=endpoint.pk, slowed_until__gt=Now()).exists():
        return Startable([], [])
    calls = _calls_on(endpoint)
    running = _running_on(endpoint, calls)
    free = None if endpoint.at_once is None else max(0, endpoint.at_once - running.total())
    chosen = _order(endpoint, calls, running)[:free] if free != 0 else []
    called = {call_id for _at, call_id, _user in calls.waiting}
    return Startable([it for it in chosen if it not in called], [it for it in chosen if it in called])


def startable_generations(endpoint: Endpoint) -> list[UUID]:
    """Returns the generations that can begin now."""
    return startable_on(endpoint).generations


def startable_after(model: ChatModel | None) -> list[UUID]:
    """Returns the generations that can begin after one of this model ended; none if its endpoint had no queue
    when that one began."""
    if model is None or model.endpoint.at_once is None:
        return []
    return startable_generations(Endpoint.objects.get(pk=model.endpoint_id))


def has_room(endpoint: Endpoint) -> bool:
    """Returns whether fewer generations and calls run on this endpoint than its limit."""
    return endpoint.at_once is None or _running_on(endpoint, _calls_on(endpoint)).total() < endpoint.at_once


def place_of(generation: Generation) -> int | None:
    """Returns the place of a queued generation in the queue of its endpoint, 1 for the next one; None if it
    waits for something else."""
    if generation.status != Status.QUEUED or generation.model is None:
        return None
    endpoint = generation.model.endpoint
    calls = _calls_on(endpoint)
    order = _order(endpoint, calls, _running_on(endpoint, calls))
    return order.index(generation.pk) + 1 if generation.pk in order else None


def pause(slug: str, seconds: float) -> None:
    """Pauses the endpoint for some seconds, as its provider asked."""
    until = Now() + timedelta(seconds=min(seconds, MOST_PAUSE))
    later = Q(slowed_until__isnull=True) | Q(slowed_until__lt=until)
    Endpoint.objects.filter(later, slug=slug).update(slowed_until=until)


async def pause_if_asked(slug: str, code: str, seconds: float) -> None:
    """Pauses the endpoint after a rate-limit error, for as long as the provider asked."""
    if code == RateLimitError.code and seconds >= LEAST_PAUSE:
        with suppress(DatabaseError):  # not worth the reply
            await run_write(pause, slug, seconds)


class _EndpointCalls(NamedTuple):
    """The calls of one endpoint: those that wait with their time and user, how many run by user, and when
    each user's last one began."""

    waiting: list[tuple[datetime, UUID, int]]
    running: Counter[int]
    served: dict[int, datetime]


def _calls_on(endpoint: Endpoint) -> _EndpointCalls:
    """Returns the calls of all processes, but not what a killed one left behind."""
    found = _EndpointCalls([], Counter(), {})
    waits = Q(begun_at=None, ended_at=None, seen_at__gt=_ago(WAITING_SECONDS))
    runs = Q(begun_at__isnull=False, ended_at=None, seen_at__gt=_ago(RUNNING_SECONDS))
    rows = QueuedCall.objects.filter(endpoint=endpoint).annotate(waits=waits, runs=runs)
    for call in rows:
        if call.waits:
            found.waiting.append((call.queued_at, call.pk, call.user_id))
        found.running[call.user_id] += call.runs
        if call.begun_at is not None:
            found.served[call.user_id] = max(call.begun_at, found.served.get(call.user_id, _LONG_AGO))
    return found


def _running_on(endpoint: Endpoint, calls: _EndpointCalls) -> Counter[int]:
    """Returns how many generations and calls run, by owner."""
    generations = Generation.objects.filter(model__endpoint=endpoint, status=Status.RUNNING)
    return Counter(generations.values_list("conversation__owner_id", flat=True)) + calls.running


def _order(endpoint: Endpoint, calls: _EndpointCalls, running: Mapping[int, int]) -> list[UUID]:
    before = Generation.objects.filter(message=OuterRef("message__parent__parent"), status__in=LIVE)
    here = Generation.objects.filter(model__endpoint=endpoint)
    queued = here.filter(~Exists(before), status=Status.QUEUED, owner="", stop_requested=False)
    rows = sorted([*queued.values_list("queued_at", "pk", "conversation__owner_id"), *calls.waiting])
    waiting = [QueueEntry(waiting_id, owner_id) for _at, waiting_id, owner_id in rows]
    if len(waiting) < 2:
        return [each.id for each in waiting]
    begun = here.filter(started_at__gt=_ago(RECENT_SECONDS)).values("conversation__owner_id")
    by_owner = begun.annotate(at=Max("started_at")).order_by()
    served = dict(by_owner.values_list("conversation__owner_id", "at"))
    for user_id, at in calls.served.items():
        served[user_id] = max(at, served.get(user_id, _LONG_AGO))
    return ordered(waiting, running, served)


def _ago(seconds: float) -> CombinedExpression:
    return Now() - timedelta(seconds=seconds)
