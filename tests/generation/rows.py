"""Conversations with running replies, written directly to the database."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

from django.utils import timezone

from chat.live.process import process_name
from chat.models import (
    ChatModel,
    Conversation,
    Endpoint,
    Generation,
    JournalEntry,
    Message,
    Role,
    Status,
    User,
)


def a_reply(
    owner: User,
    *,
    pk: UUID | None = None,
    status: Status = Status.RUNNING,
    by: str = process_name(),
    seconds_ago: float = 0,
) -> Generation:
    """Creates a prompt and its reply in a new conversation. The process `by` renewed its lease so long
    ago."""
    then = timezone.now() - timedelta(seconds=seconds_ago)
    conversation = Conversation.objects.create(owner=owner, revision=2, last_position=2)
    provider, _ = Endpoint.objects.get_or_create(slug="demo", defaults={"name": "Demo"})
    model, _ = ChatModel.objects.get_or_create(endpoint=provider, name="demo")
    prompt = Message.objects.create(
        conversation=conversation,
        position=1,
        role=Role.USER,
        client_id=uuid4(),
        text="Why?",
        parts=[{"type": "text", "text": "Why?"}],
        added_revision=1,
        revision=1,
    )
    message = Message.objects.create(
        conversation=conversation,
        parent=prompt,
        position=2,
        role=Role.ASSISTANT,
        added_revision=2,
        revision=2,
    )
    conversation.head = message
    conversation.save()
    return Generation.objects.create(
        pk=pk or uuid4(),
        conversation=conversation,
        message=message,
        model=model,
        model_label=model.label,
        status=status,
        owner=by,
        heartbeat_at=then,
        queued_at=then,
        started_at=then,
    )


def journalled(generation_id: UUID) -> str:
    """Returns the text of a reply in the journal."""
    entries = JournalEntry.objects.filter(generation_id=generation_id).order_by("start")
    return "".join(text for entry in entries for _, text in entry.segments)
