"""Deleting messages, and having them back."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from chat.access import message_for
from chat.actions.errors import ConflictError
from chat.live.hints import hints
from chat.models import Conversation, Generation, Message, User


def delete_message(user: User, message_id: UUID) -> Message:
    """Takes the message and all that follows it from the thread, and stops replies among them: a thread
    has no holes. Raises `NotFoundError`, and `ConflictError` for a message that the thread shows no more:
    another may have its place."""
    with transaction.atomic():
        message = message_for(user, message_id, write=True)
        if not message.shown:
            raise ConflictError("This message is not in the chat any more. Reload the page.")
        conversation = message.conversation
        gone = conversation.messages.filter(shown=True, position__gte=message.position)
        live = Generation.objects.live().filter(message__in=gone)
        replies = list(live.values_list("pk", flat=True))
        live.update(stop_requested=True)
        gone.update(shown=False, deleted_at=timezone.now())
        conversation.head = conversation.messages.filter(shown=True).order_by("-position").first()
        _path_changed(conversation)
        for reply in replies:
            transaction.on_commit(partial(hints.stop_requested, reply))
    return message


def restore_message(user: User, message_id: UUID) -> Message:
    """Undoes the deletion. Raises `NotFoundError`, and `ConflictError` once the thread went on."""
    with transaction.atomic():
        message = message_for(user, message_id, write=True)
        conversation = message.conversation
        went_on = conversation.messages.filter(shown=True, position__gt=message.position).exists()
        if message.deleted_at is None or went_on or (message.parent and not message.parent.shown):
            raise ConflictError("The conversation went on since. What was deleted cannot come back.")
        conversation.messages.filter(deleted_at=message.deleted_at).update(shown=True, deleted_at=None)
        conversation.head = conversation.messages.filter(shown=True).order_by("-position").first()
        _path_changed(conversation)
    return message


def _path_changed(conversation: Conversation) -> None:
    conversation.path_version = conversation.next_version()
    conversation.save()
    transaction.on_commit(lambda: hints.conversation_changed(conversation.pk))
