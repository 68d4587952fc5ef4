"""Queueing a reply: what send, retry and continue have in common."""

from __future__ import annotations

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from chat.actions.errors import LimitReachedError
from chat.generation.lease import running_of
from chat.generation.runner import runner
from chat.models import ChatModel, Conversation, Generation, Message, Role, User


def queue_reply(
    conversation: Conversation, prompt: Message, model: ChatModel, *, continues: Message | None = None
) -> Message:
    """Adds an empty reply to `prompt` with its queued generation, as the conversation's head; it starts
    when the transaction commits. The caller holds the conversation's lock and saves it."""
    version = conversation.next_version()
    message = Message.objects.create(
        conversation=conversation,
        parent=prompt,
        position=conversation.next_position(),
        role=Role.ASSISTANT,
        added_version=version,
        version=version,
    )
    generation = Generation.objects.create(
        conversation=conversation,
        message=message,
        model=model,
        model_label=model.label,
        continues=continues,
        queued_at=Now(),
    )
    conversation.head = message
    transaction.on_commit(lambda: runner.start_generation(generation.pk))
    return message


def check_running_limit(user: User, more: int) -> None:
    """Raises `LimitReachedError` if this person may not have so many `more` replies under way."""
    if running_of(user.pk) + more > settings.CHAT_RUNNING_PER_PERSON:
        raise LimitReachedError(
            "You have as many replies running as one person may have. Wait for one, or stop one."
        )
