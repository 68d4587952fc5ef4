"""Ends the generations that no process will end: those of ended processes, and those that were queued for too
long. `recovery` says when."""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now

from chat.generation.context import NotSentError, prepare
from chat.generation.endpoint_queue import RUNNING_SECONDS
from chat.generation.finish import SERVER_STOPPED, end
from chat.generation.lease import LEASE_SECONDS, locked_conversation
from chat.generation.tool_runs import total
from chat.live.process import process_name
from chat.live.pubsub import Publish
from chat.live.reply_log import TOOL_CALL, Segment
from chat.live.search_lines import searches_in
from chat.live.tool_call_lines import opaque_by_step
from chat.models import LIVE, Generation, JournalEntry, QueuedCall, Status, Step
from chat.parts import NoticePart, SourcePart, loaded
from chat.pipeline.meter import Meter
from chat.pipeline.tokens import estimate_tokens
from chat.translatable import translatable as _

AT_ONCE_SECONDS = 1.0  # a write that takes longer has waited for a lock
STALE_QUEUE_SECONDS = 300.0  # a prompt that waited longer is not sent any more without being asked again

_MOMENT = timedelta(milliseconds=1)

NEVER_STARTED = _("The server stopped before this reply could begin. Retry to send it now.")


class Orphan(NamedTuple):
    """A generation whose heartbeat stopped, with the time of the last one and the process that owned it."""

    generation_id: UUID
    heartbeat_at: datetime
    owner: str


def orphans(running: Collection[UUID] = (), *, grace: float = LEASE_SECONDS) -> set[Orphan]:
    """Returns the generations without a heartbeat for `grace` seconds: their process ended or their run
    broke. Those that are `running` here are left out, because their run ends them."""
    stale = Generation.objects.filter(
        status=Status.RUNNING, heartbeat_at__lte=Now() - timedelta(seconds=grace)
    )
    if not grace:
        stale = stale.exclude(owner=process_name())  # claimed here since `running` was asked for
    rows = stale.exclude(pk__in=running).values_list("pk", "heartbeat_at", "owner")
    return {Orphan(pk, heartbeat_at, owner) for pk, heartbeat_at, owner in rows if heartbeat_at}


def could_renew(found: Collection[Orphan]) -> set[Orphan]:
    """Returns the orphans whose rows can be written at once, so that a heartbeat could have been written. A
    lock or a slow database stops the heartbeats of living processes too; a locked row stops one reply's."""
    begun = time.monotonic()
    rows = Generation.objects.filter(pk__in=[orphan.generation_id for orphan in found])
    with transaction.atomic():
        if connection.features.has_select_for_update_skip_locked:
            both = rows.select_related("conversation").only("id", "conversation__id")
            both = both.select_for_update(skip_locked=True, of=("self", "conversation"), no_key=True)
            free = {row.pk for row in both}
            found = [orphan for orphan in found if orphan.generation_id in free]
            rows = rows.filter(pk__in=free)
        rows.update(heartbeat_at=F("heartbeat_at"))
    return set(found) if time.monotonic() - begun < AT_ONCE_SECONDS else set()


def end_orphan(orphan: Orphan, *, publish: Publish, within: float = AT_ONCE_SECONDS) -> bool:
    """Ends it with the content of the journal. Returns false if it has a new heartbeat, or if the lock took
    more than `within` seconds: its owner may be alive and may have waited too. Raises DatabaseError."""
    begun = time.monotonic()
    # A range, because SQLite's clock stores milliseconds and Django microseconds.
    last = (orphan.heartbeat_at - _MOMENT, orphan.heartbeat_at + _MOMENT)
    same = Generation.objects.filter(
        pk=orphan.generation_id,
        owner=orphan.owner,
        status=Status.RUNNING,
        heartbeat_at__gt=last[0],
        heartbeat_at__lt=last[1],
    )
    with transaction.atomic():
        locked_conversation(orphan.generation_id)
        # This write locks the row: its owner can write neither a heartbeat nor the journal any more.
        if not same.update(heartbeat_at=F("heartbeat_at")):
            return False
        if time.monotonic() - begun > within:
            return False
        return end_from_journal(Generation.objects.get(pk=orphan.generation_id), publish)


def end_forgotten(publish: Publish) -> list[UUID]:
    """Ends the queued generations that waited too long, and those without an owner that are to stop, and
    returns them. The time that the reply before them took does not count, nor the time in the queue of an
    endpoint that works."""
    limit = Now() - timedelta(seconds=STALE_QUEUE_SECONDS)
    before = Generation.objects.filter(message=OuterRef("message__parent__parent"))
    held_up = Exists(before.filter(Q(status__in=LIVE) | Q(finished_at__gte=limit)))
    served = Generation.objects.filter(model__endpoint=OuterRef("model__endpoint"))
    calls = QueuedCall.objects.filter(endpoint=OuterRef("model__endpoint"))
    runs = Q(begun_at__isnull=False, ended_at=None, seen_at__gt=Now() - timedelta(seconds=RUNNING_SECONDS))
    works = Exists(served.filter(Q(status=Status.RUNNING) | Q(finished_at__gte=limit))) | Exists(
        calls.filter(runs | Q(begun_at__gte=limit) | Q(ended_at__gte=limit))
    )
    queued_by_endpoint = Q(queued_by_endpoint=True) & works
    waited = (Q(queued_at__lt=limit) & ~held_up & ~queued_by_endpoint) | Q(stop_requested=True)
    stopped = Q(status=Status.WAITING, stop_requested=True)
    forgotten = Generation.objects.filter(stopped | (Q(status=Status.QUEUED) & waited))
    return [generation.pk for generation in forgotten if end_from_journal(generation, publish)]


def named(generation_ids: Collection[UUID]) -> str:
    """Returns the names of these generations for the log, each with the process that owned it."""
    rows = Generation.objects.filter(pk__in=generation_ids).values_list("pk", "owner")
    return ", ".join(f"{pk} (process {owner})" if owner else f"{pk} (not begun)" for pk, owner in rows)


def end_from_journal(generation: Generation, publish: Publish) -> bool:
    """Ends a generation that no process holds, with the output in the journal: as stopped if that was asked
    for, else as interrupted. Returns false if it has an owner again. Raises DatabaseError."""
    entries = JournalEntry.objects.filter(generation=generation).order_by("start")
    segments = [Segment(kind, text) for entry in entries for kind, text in entry.segments]
    steps = list(generation.steps.all()) if any(kind == TOOL_CALL for kind, _text in segments) else []
    how: dict[str, Any] = {"publish": publish, **_usage_so_far(generation, segments, steps)}
    if steps:  # the message of a reply that waited has the metadata of its steps, and what people are told
        parts = loaded(generation.message.parts)
        how["notices"] = [part for part in parts if isinstance(part, NoticePart | SourcePart)]
        how["opaque"] = opaque_by_step(part for part in parts if part not in how["notices"])
    if generation.stop_requested:
        return end(generation.pk, generation.owner, Status.STOPPED, segments, **how)
    return end(
        generation.pk,
        generation.owner,
        Status.INTERRUPTED,
        segments,
        error_code="server_stopped",
        error_message=SERVER_STOPPED if segments else NEVER_STARTED,
        **how,
    )


def _usage_so_far(generation: Generation, segments: list[Segment], steps: list[Step]) -> dict[str, Any]:
    """Returns the usage of the ended steps, and of the one that ran the probable usage."""
    last: dict[str, Any] = {}
    if generation.status == Status.RUNNING and not generation.stop_requested:
        last = _estimated_usage(generation, segments, steps)
    if not steps:
        return last
    costs = [step.cost for step in steps] + ([last["cost"]] if last else [])
    sums = {name: value + last.get(name, 0) for name, value in total(steps).items() if value is not None}
    sums["usage_estimated"] = bool(sums["usage_estimated"])
    known = [cost for cost in costs if cost is not None]
    return {**sums, "cost": sum(known) if len(known) == len(costs) else None}


def _estimated_usage(generation: Generation, segments: list[Segment], steps: list[Step]) -> dict[str, Any]:
    """Returns the probable usage of a step that ended before its provider reported it."""
    try:
        prepared = prepare(generation)
    except NotSentError:
        return {}
    before = 0
    if steps:  # the output up to the last result was sent to the model
        last = max((n for n, (kind, _text) in enumerate(segments) if kind == TOOL_CALL), default=-1)
        before = sum(estimate_tokens(text) for _kind, text in segments[: last + 1])
        segments = segments[last + 1 :]
    texts = {
        kind: "".join(s.text for s in segments if s.kind == kind) for kind in ("text", "reasoning", TOOL_CALL)
    }
    if not steps:
        texts["text"] = texts["text"][len(prepared.prefix) :]
    asked = (Meter(prepared.request).usage.input_tokens or 0) + before
    said, searches = sum(map(estimate_tokens, texts.values())), searches_in(segments)
    if not said and not searches:  # nothing shows that the provider accepted the request
        return {}
    return {
        "input_tokens": asked,
        "output_tokens": said,
        "reasoning_tokens": estimate_tokens(texts["reasoning"]),
        "searches": searches,
        "usage_estimated": True,
        "cost": prepared.model.cost(asked, said, searches=searches),
    }
