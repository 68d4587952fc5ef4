"""What can be done with a conversation as a whole."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.utils import timezone

from chat.access import conversation_for
from chat.actions.errors import InvalidInputError, TooLongError
from chat.live.hints import hints
from chat.models import Conversation, Generation, User
from chat.models.conversation import TITLE_LENGTH


def rename_conversation(user: User, conversation_id: UUID, title: str) -> Conversation:
    """Raises `NotFoundError`, `InvalidInputError`, `TooLongError`."""
    title = " ".join(title.replace("\x00", "").split())
    if not title:
        raise InvalidInputError("The title is empty. Give the chat a name.")
    if len(title) > TITLE_LENGTH:
        raise TooLongError(f"The title may have at most {TITLE_LENGTH} characters.")
    with transaction.atomic():
        conversation = conversation_for(user, conversation_id, write=True)
        conversation.title = title
        conversation.version += 1
        conversation.save(update_fields=["title", "version"])
        transaction.on_commit(lambda: hints.conversation_changed(conversation.pk))
    return conversation


def delete_conversation(user: User, conversation_id: UUID) -> None:
    """Takes the conversation from the person's sight and stops its running replies. Raises
    `NotFoundError`."""
    with transaction.atomic():
        conversation = conversation_for(user, conversation_id, write=True)
        conversation.deleted_at = timezone.now()
        conversation.version += 1
        conversation.save(update_fields=["deleted_at", "version"])
        live = Generation.objects.live().filter(conversation=conversation)
        replies = list(live.values_list("pk", flat=True))
        live.update(stop_requested=True)
        transaction.on_commit(lambda: _tell(conversation.pk, replies))


def _tell(conversation_id: UUID, replies: list[UUID]) -> None:
    hints.conversation_changed(conversation_id)
    for reply_id in replies:
        hints.stop_requested(reply_id)
