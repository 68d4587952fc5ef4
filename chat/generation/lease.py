"""Who may write a generation: one process at a time, by conditional updates and database time.

A process claims a queued row, keeps its lease alive, and loses it if it does not: then the sweep ends the
generation as interrupted, and a late writer's conditional update finds nothing to write.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now

from chat.generation.context import NotSentError, prepare
from chat.live.process import process_name
from chat.live.pubsub import pubsub
from chat.live.reply_log import Segment, joined
from chat.models import LIVE, Conversation, Generation, JournalEntry, Message, Status
from chat.pipeline.meter import Meter
from chat.pipeline.tokens import estimate_tokens
from chat.translatable import translatable as _

logger = logging.getLogger(__name__)

LEASE_SECONDS = 15.0
HEARTBEAT_SECONDS = 4.0
AT_ONCE_SECONDS = 1.0  # a write that takes longer has waited for somebody
STALE_QUEUE_SECONDS = 300.0  # a prompt that waited longer is not sent any more without being asked again

_MOMENT = timedelta(milliseconds=1)

SERVER_STOPPED = _("The server stopped while this reply was being written. What had come is kept.")
NEVER_STARTED = _("The server stopped before this reply could begin. Retry to send it now.")


def taken() -> dict[str, Any]:
    """The fields of a generation that this process takes at this moment."""
    return {
        "owner": process_name(),
        "status": Status.RUNNING,
        "started_at": Now(),
        "heartbeat_at": Now(),
    }


def give_back(generation_id: UUID) -> bool:
    """Queues again what was taken and not begun; false if there is no such thing (yet)."""
    mine = Generation.objects.filter(pk=generation_id, owner=process_name(), status=Status.RUNNING)
    return bool(mine.update(owner="", status=Status.QUEUED, started_at=None, heartbeat_at=None))


def claim(generation_id: UUID) -> Generation | None:
    """Takes a queued generation for this process; None if it is not to be had (taken, stopped, or waiting
    for the reply before it). Marks it as running."""
    before = Generation.objects.filter(message=OuterRef("message__parent__parent"), status__in=LIVE)
    with transaction.atomic():
        conversation = _locked_conversation(generation_id)
        free = Generation.objects.filter(pk=generation_id, status=Status.QUEUED, owner="")
        if not free.filter(~Exists(before), stop_requested=False).update(**taken()):
            return None
        generation = (
            Generation.objects.select_related("message__parent", "model__provider", "continues")
            .select_related("conversation__owner")
            .get(pk=generation_id)
        )
        if conversation is not None:
            _touch(conversation, generation.message)
    return generation


def finish(generation: Generation, status: Status, segments: Iterable[Segment], **fields: Any) -> list[UUID]:
    """The `end` of what this process holds, then the queued generations that waited for it."""
    end(generation.pk, process_name(), status, segments, **fields)
    return waiting_after(generation.message_id)


def waiting_after(message_id: UUID) -> list[UUID]:
    """The queued generations that waited for the reply in this message."""
    return list(
        Generation.objects.filter(
            message__parent__parent=message_id, status=Status.QUEUED, owner=""
        ).values_list("pk", flat=True)
    )


class Leases(NamedTuple):
    """Which of a process's generations it still holds, and which of those are to stop."""

    held: set[UUID]
    to_stop: set[UUID]


def leases_of(generation_ids: Collection[UUID], *, renew: bool) -> Leases:
    """The leases of this process among these generations, `renew`ed if it is time. To stop are those that
    somebody asked to, whose conversation was deleted, or whose person may not use Steady any more."""
    mine = Generation.objects.filter(pk__in=generation_ids, owner=process_name(), status=Status.RUNNING)
    if renew:
        mine.update(heartbeat_at=Now())
    rows = mine.values_list(
        "pk", "stop_requested", "conversation__deleted_at", "conversation__owner__is_active"
    )
    held, to_stop = set(), set()
    for generation_id, is_stopped, deleted_at, is_active in rows:
        held.add(generation_id)
        if is_stopped or deleted_at or not is_active:
            to_stop.add(generation_id)
    return Leases(held, to_stop)


def end(
    generation_id: UUID,
    owner: str,
    status: Status,
    segments: Iterable[Segment],
    *,
    opaque: Sequence[dict[str, Any]] = (),
    **fields: Any,
) -> bool:
    """Writes the terminal state: the message's content, the generation's, and the journal is dropped, all
    in one transaction, after which viewers are told. False if the lease was lost: then nothing is
    written. Raises DatabaseError.

    A continuation never ends with less than the reply it continues had."""
    with transaction.atomic():
        conversation = _locked_conversation(generation_id)
        changed = Generation.objects.filter(pk=generation_id, owner=owner, status__in=LIVE).update(
            status=status, finished_at=Now(), **fields
        )
        if not changed or conversation is None:
            return False
        message = Message.objects.select_related("generation__continues").get(generation=generation_id)
        message.parts = [{"type": kind, "text": text} for kind, text in joined(segments)]
        message.parts += [{"type": "opaque", **item} for item in opaque]
        message.text = "".join(part["text"] for part in message.parts if part["type"] == "text")
        _keep_what_is_continued(message)
        _touch(conversation, message)
        JournalEntry.objects.filter(generation_id=generation_id).delete()
        transaction.on_commit(partial(_log_end, message.generation))
    return True


def _log_end(generation: Generation) -> None:
    """One line for each reply, whatever became of it."""
    tokens = [generation.input_tokens, generation.output_tokens]
    facts = {
        "generation_id": str(generation.pk),
        "conversation_id": str(generation.conversation_id),
        "model": generation.model_label,
        "outcome": generation.status,
        "error": generation.error_code,
        "process_name": generation.owner,
        "seconds_queued": generation.seconds_queued,
        "seconds_to_first_token": generation.seconds_to_first_token,
        "seconds": generation.seconds,
        "input_tokens": tokens[0],
        "output_tokens": tokens[1],
        "tokens_estimated": generation.usage_estimated,
    }
    logger.info(
        "Reply ended: %s, model %s, first token after %s s, %s s in all, %s tokens in, %s out%s",
        " ".join(filter(None, (generation.status, generation.error_code))),
        generation.model_label,
        *(
            "?" if value is None else f"{value:.2f}"
            for value in (generation.seconds_to_first_token, generation.seconds)
        ),
        *("?" if value is None else value for value in tokens),
        " (estimated)" if generation.usage_estimated else "",
        extra=facts,
    )


def _locked_conversation(generation_id: UUID) -> Conversation | None:
    """The conversation of a generation, locked. Always before the generation itself is written, as the
    actions do it: two orders would be a deadlock."""
    return Conversation.objects.select_for_update(of=("self",)).filter(generations=generation_id).first()


def _keep_what_is_continued(message: Message) -> None:
    continued = message.generation.continues
    if continued is not None and not message.text.startswith(continued.text):
        message.text = continued.text + message.text
        message.parts = [{"type": "text", "text": continued.text}, *message.parts]


def _touch(conversation: Conversation, message: Message) -> None:
    """Saves the message as changed by the conversation's next revision; viewers are told on commit."""
    message.revision = conversation.next_revision()
    conversation.save(update_fields=["revision", "updated_at"])
    message.save(update_fields=["parts", "text", "revision"])
    transaction.on_commit(lambda: pubsub.conversation_changed(conversation.pk))


class Orphan(NamedTuple):
    """A generation whose heartbeat stopped, the last one there was, and whose it was."""

    generation_id: UUID
    heartbeat_at: datetime
    owner: str


def orphans(running: Collection[UUID] = (), *, grace: float = LEASE_SECONDS) -> set[Orphan]:
    """The generations whose process died or whose run broke (no heartbeat for `grace` seconds); not those
    that are `running` here, which know their own end."""
    stale = Generation.objects.filter(
        status=Status.RUNNING, heartbeat_at__lte=Now() - timedelta(seconds=grace)
    )
    if not grace:
        stale = stale.exclude(owner=process_name())  # claimed here since `running` was asked for
    rows = stale.exclude(pk__in=running).values_list("pk", "heartbeat_at", "owner")
    return {Orphan(pk, heartbeat_at, owner) for pk, heartbeat_at, owner in rows if heartbeat_at}


def could_beat(found: Collection[Orphan]) -> set[Orphan]:
    """Which of these orphans can be written, at once. Where a lock or a slow database holds that up, the
    heartbeats of living processes stand still too; a locked row holds up its own reply's alone."""
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


def end_orphan(orphan: Orphan, *, within: float = AT_ONCE_SECONDS) -> bool:
    """Ends it with what the journal has, unless its heart beats again, or this takes its turn only after
    `within` seconds: whoever else waited in that time may live, and comes first. Raises DatabaseError."""
    begun = time.monotonic()
    # A range: SQLite's own clock writes milliseconds, which as text equal no microseconds.
    last = (orphan.heartbeat_at - _MOMENT, orphan.heartbeat_at + _MOMENT)
    same = Generation.objects.filter(
        pk=orphan.generation_id,
        owner=orphan.owner,
        status=Status.RUNNING,
        heartbeat_at__gt=last[0],
        heartbeat_at__lt=last[1],
    )
    with transaction.atomic():
        _locked_conversation(orphan.generation_id)
        # Taken by a write of its own: from here on its owner writes neither a heartbeat nor the journal.
        if not same.update(heartbeat_at=F("heartbeat_at")):
            return False
        if time.monotonic() - begun > within:
            return False
        return _end_from_journal(Generation.objects.get(pk=orphan.generation_id))


def end_forgotten() -> list[UUID]:
    """Ends the queued prompts that waited too long or are to stop; the answer is which. The time that
    the reply before them took does not count."""
    limit = Now() - timedelta(seconds=STALE_QUEUE_SECONDS)
    before = Generation.objects.filter(message=OuterRef("message__parent__parent"))
    held_up = Exists(before.filter(Q(status__in=LIVE) | Q(finished_at__gte=limit)))
    waited = (Q(queued_at__lt=limit) & ~held_up) | Q(stop_requested=True)
    queued = Generation.objects.filter(waited, status=Status.QUEUED)
    return [generation.pk for generation in queued if _end_from_journal(generation)]


def named(generation_ids: Collection[UUID]) -> str:
    """These generations for the log, each with the process that had it."""
    rows = Generation.objects.filter(pk__in=generation_ids).values_list("pk", "owner")
    return ", ".join(f"{pk} (process {owner})" if owner else f"{pk} (not begun)" for pk, owner in rows)


def _end_from_journal(generation: Generation) -> bool:
    entries = JournalEntry.objects.filter(generation=generation).order_by("start")
    segments = [Segment(kind, text) for entry in entries for kind, text in entry.segments]
    if generation.stop_requested:
        return end(generation.pk, generation.owner, Status.STOPPED, segments)
    return end(
        generation.pk,
        generation.owner,
        Status.INTERRUPTED,
        segments,
        error_code="server_stopped",
        error_message=SERVER_STOPPED if segments else NEVER_STARTED,
        **(_estimated_usage(generation, segments) if generation.status == Status.RUNNING else {}),
    )


def _estimated_usage(generation: Generation, segments: list[Segment]) -> dict[str, Any]:
    """What a run that died has probably used: its provider never came to report it."""
    try:
        prepared = prepare(generation)
    except NotSentError:
        return {}
    texts = {
        kind: "".join(s.text for s in segments if s.kind == kind) for kind in ("text", "reasoning", "tool")
    }
    texts["text"] = texts["text"][len(prepared.prefix) :]
    asked = Meter(prepared.request).usage.input_tokens
    said = sum(map(estimate_tokens, texts.values()))
    if not said:  # nothing says that the provider took it
        return {}
    return {
        "input_tokens": asked,
        "output_tokens": said,
        "reasoning_tokens": estimate_tokens(texts["reasoning"]),
        "usage_estimated": True,
        "cost": prepared.model.cost(asked, said),
    }


def ready_to_start(*, after: float = 2.0) -> list[UUID]:
    """Queued generations that nobody has taken for so many seconds: their process died before it could."""
    before = Generation.objects.filter(message=OuterRef("message__parent__parent"), status__in=LIVE)
    waiting = Generation.objects.filter(status=Status.QUEUED, owner="", stop_requested=False)
    return list(
        waiting.filter(~Exists(before), queued_at__lte=Now() - timedelta(seconds=after)).values_list(
            "pk", flat=True
        )
    )


def running_of(owner_id: int) -> int:
    """How many replies this person has under way."""
    return Generation.objects.live().filter(conversation__owner_id=owner_id).count()
