"""The line of an endpoint that takes a limited number of requests at once, or that asked for a pause.

The database is the line: the queued generations of the endpoint, of all processes. A process that begins a
generation locks the row of the endpoint, counts what runs, and takes the next in line. A generation of an
ended process counts until recovery ends it: its provider may still work on it.

The order is fair between people. A generation's rank is the number of its owner's generations that run on the
endpoint or precede it in the line, so a person with many waits behind one with few. Within a rank the person
who was served longest ago comes first, so nobody starves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.db.models import Exists, Max, OuterRef, Q
from django.db.models.functions import Now
from django.utils import timezone

from chat.models import LIVE, ChatModel, Endpoint, Generation, Status

MOST_PAUSE = 300.0  # seconds that a provider can pause its endpoint with one answer
_RECENT = timedelta(hours=1)
_LONG_AGO = datetime.min.replace(tzinfo=timezone.get_default_timezone())


class Waiting(NamedTuple):
    """A queued generation that could begin."""

    generation_id: UUID
    owner_id: int


def ordered(
    waiting: Sequence[Waiting], running: Mapping[int, int], served: Mapping[int, datetime]
) -> list[UUID]:
    """Returns the generations in the order in which they begin. `waiting` is in the order of arrival,
    `running` the number of running generations by owner, `served` when one of the owner last began."""
    ranks: Counter[int] = Counter(running)
    keys = []
    for place, (generation_id, owner_id) in enumerate(waiting):
        keys.append((ranks[owner_id], served.get(owner_id, _LONG_AGO), place, generation_id))
        ranks[owner_id] += 1
    return [key[-1] for key in sorted(keys)]


def has_line(model: ChatModel) -> bool:
    """Returns whether replies of this model may have to wait. The endpoint's row may be some seconds old:
    then the claim of the generation decides."""
    endpoint = model.endpoint
    is_paused = endpoint.slowed_until is not None and endpoint.slowed_until > timezone.now()
    return endpoint.at_once is not None or is_paused


def may_begin(generation_id: UUID) -> bool:
    """Returns whether its endpoint has room for it, and nobody comes before it. Locks the row of an endpoint
    with a line until the transaction ends."""
    with_line = Q(at_once__isnull=False) | Q(slowed_until__gt=Now())
    endpoint = (
        Endpoint.objects.select_for_update(of=("self",), no_key=True)
        .filter(with_line, models__generations=generation_id)
        .first()
    )
    return endpoint is None or generation_id in next_in(endpoint)


def next_in(endpoint: Endpoint) -> list[UUID]:
    """Returns the generations that can begin now."""
    if _is_paused(endpoint):
        return []
    order = _order(endpoint)
    if endpoint.at_once is None:
        return order
    running = Generation.objects.filter(model__endpoint=endpoint, status=Status.RUNNING).count()
    return order[: max(0, endpoint.at_once - running)]


def next_after(model: ChatModel | None) -> list[UUID]:
    """Returns the generations that can begin after one of this model ended; none if its endpoint had no line
    when that one began."""
    if model is None or model.endpoint.at_once is None:
        return []
    return next_in(Endpoint.objects.get(pk=model.endpoint_id))


def place_of(generation: Generation) -> int | None:
    """Returns the place of a queued generation in the line of its endpoint, 1 for the next one; None if it
    waits for something else."""
    if generation.status != Status.QUEUED or generation.model is None:
        return None
    order = _order(generation.model.endpoint)
    return order.index(generation.pk) + 1 if generation.pk in order else None


def pause(slug: str, seconds: float) -> None:
    """Lets no further generation begin on this endpoint for some seconds: its provider asked for it."""
    until = Now() + timedelta(seconds=min(seconds, MOST_PAUSE))
    later = Q(slowed_until__isnull=True) | Q(slowed_until__lt=until)
    Endpoint.objects.filter(later, slug=slug).update(slowed_until=until)


def _is_paused(endpoint: Endpoint) -> bool:
    return Endpoint.objects.filter(pk=endpoint.pk, slowed_until__gt=Now()).exists()


def _order(endpoint: Endpoint) -> list[UUID]:
    before = Generation.objects.filter(message=OuterRef("message__parent__parent"), status__in=LIVE)
    here = Generation.objects.filter(model__endpoint=endpoint)
    queued = here.filter(~Exists(before), status=Status.QUEUED, owner="", stop_requested=False)
    rows = queued.order_by("queued_at", "pk").values_list("pk", "conversation__owner_id")
    waiting = [Waiting(*row) for row in rows]
    if len(waiting) < 2:
        return [row.generation_id for row in waiting]
    running = Counter(here.filter(status=Status.RUNNING).values_list("conversation__owner_id", flat=True))
    begun = here.filter(started_at__gt=Now() - _RECENT).values("conversation__owner_id")
    served = begun.annotate(at=Max("started_at")).values_list("conversation__owner_id", "at").order_by()
    return ordered(waiting, running, dict(served))
