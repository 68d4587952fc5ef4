"""Which process may write a generation: one at a time, by conditional updates and database time.

A process claims a queued generation and renews its lease. Without renewal it loses the lease: recovery ends
the generation as interrupted, and the conditional update of a late writer changes nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now
from django.utils import timezone

from chat.generation.endpoint_queue import BusyError, may_begin, startable_generations
from chat.live.process import process_name
from chat.live.pubsub import Publish
from chat.models import LIVE, Conversation, Endpoint, Generation, Message, Status
from chat.models.prepared import Prepared
from chat.models.prepared_writes import save

LEASE_SECONDS = 15.0
HEARTBEAT_SECONDS = 4.0


def database_time() -> datetime | Now:
    """Returns the present time for a row. On PostgreSQL it is the time of the database, because the clocks of
    several machines differ. SQLite uses the clock of this process."""
    return timezone.now() if settings.SQLITE else Now()


def claim_fields() -> dict[str, Any]:
    """Returns the fields of a generation that this process claims now."""
    return {
        "owner": process_name(),
        "status": Status.RUNNING,
        "started_at": database_time(),
        "heartbeat_at": database_time(),
    }


def requeue(generation_id: UUID) -> bool:
    """Queues a generation again that was claimed and not begun. Returns false if there is none (yet)."""
    mine = Generation.objects.filter(pk=generation_id, owner=process_name(), status=Status.RUNNING)
    return bool(mine.update(owner="", status=Status.QUEUED, started_at=None, heartbeat_at=None))


_conversation = Prepared(lambda pk: Conversation.objects.select_related("owner").filter(generations=pk), UUID)
_running = Prepared(
    lambda owner: Generation.objects.live().filter(conversation__owner_id=owner).values_list("pk", flat=True),
    int,
)
_waiting = Prepared(
    lambda message: Generation.objects.filter(
        message__parent__parent=message, status=Status.QUEUED, owner=""
    ).values_list("pk", flat=True),
    UUID,
)


def claim(generation_id: UUID, publish: Publish) -> Generation | None:
    """Claims a queued generation for this process and marks it as running. Returns None if it is claimed by
    another process, stopped, or waiting for the reply before it or for its turn. It waits for no lock of
    another process: it raises `BusyError`, and is to be repeated soon."""
    before = Generation.objects.filter(message=OuterRef("message__parent__parent"), status__in=LIVE)
    with transaction.atomic():
        conversation = locked_conversation(generation_id, skip_locked=True)
        free = Generation.objects.filter(pk=generation_id, status=Status.QUEUED, owner="")
        if conversation is None and free.exists():
            raise BusyError
        if not may_begin(generation_id):
            return None
        if not free.filter(~Exists(before), stop_requested=False).update(**claim_fields()):
            return None
        generation = (
            Generation.objects.select_related("message__parent", "model__endpoint", "continues")
            .select_related("conversation__owner")
            .get(pk=generation_id)
        )
        if conversation is not None:
            touch(conversation, generation.message, publish)
    return generation


def waiting_after(message_id: UUID) -> list[UUID]:
    """Returns the queued generations that wait for the reply in this message."""
    return _waiting.all(message_id)


def ready_to_start(*, after: float = 2.0) -> list[UUID]:
    """Returns the generations that have been queued for `after` seconds and could be claimed: their process
    ended before it could do so, or it is their turn in the queue of their endpoint."""
    before = Generation.objects.filter(message=OuterRef("message__parent__parent"), status__in=LIVE)
    waiting = Generation.objects.filter(status=Status.QUEUED, owner="", stop_requested=False)
    ready = waiting.filter(~Exists(before), queued_at__lte=Now() - timedelta(seconds=after))
    with_queue = Q(model__endpoint__at_once__isnull=False) | Q(model__endpoint__slowed_until__gt=Now())
    endpoints = Endpoint.objects.filter(pk__in=ready.filter(with_queue).values("model__endpoint"))
    startable = [generation_id for endpoint in endpoints for generation_id in startable_generations(endpoint)]
    return [*ready.exclude(with_queue).values_list("pk", flat=True), *startable]


def running_of(owner_id: int) -> int:
    """Returns how many replies of this user are queued or running."""
    return len(_running.all(owner_id))


def locked_conversation(generation_id: UUID, *, skip_locked: bool = False) -> Conversation | None:
    """Returns the conversation of a generation with its owner, locked. Lock it before the generation is
    written, as the actions do: two orders would be a deadlock. With `skip_locked` returns None if another
    transaction has locked it."""
    if not connection.features.has_select_for_update:
        return _conversation.first(generation_id)
    rows = Conversation.objects.select_related("owner")
    rows = rows.select_for_update(of=("self",), skip_locked=skip_locked)
    return rows.filter(generations=generation_id).first()


def touch(conversation: Conversation, message: Message, publish: Publish) -> None:
    """Saves the message with the conversation's next revision, and publishes the change after the commit."""
    message.revision = conversation.next_revision()
    save(conversation, "revision", "updated_at")
    save(message, "parts", "text", "is_indexed", "revision")
    transaction.on_commit(lambda: publish(conversation.pk))
