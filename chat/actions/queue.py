"""Queueing a reply: what send, retry and continue have in common."""

from __future__ import annotations

from django.db import transaction

from chat.generation.runner import runner
from chat.models import ChatModel, Conversation, Generation, Message, Role


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
        conversation=conversation, message=message, model=model, model_label=model.label, continues=continues
    )
    conversation.head = message
    transaction.on_commit(lambda: runner.start_generation(generation.pk))
    return message
