"""Actions on a whole conversation."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from chat.access import NotFoundError, conversation_for, conversation_to_write
from chat.actions.errors import InvalidInputError, TooLongError
from chat.actions.housekeeping import undo_limit
from chat.actions.preset import remember_start
from chat.models import Conversation, Generation, User
from chat.models.conversation import TITLE_LENGTH
from chat.parts import storable
from chat.runtime import current
from chat.search.index import index_title
from chat.translatable import translatable as _


def rename_conversation(user: User, conversation_id: UUID, title: str) -> Conversation:
    """Raises `NotFoundError`, `InvalidInputError`, `TooLongError`."""
    title = " ".join(storable(title.replace("\x00", "")).split())
    if not title:
        raise InvalidInputError(_("The title is empty. Enter one."))
    if len(title) > TITLE_LENGTH:
        raise TooLongError(_("The title may have at most {limit} characters."), limit=TITLE_LENGTH)
    with transaction.atomic():
        conversation = conversation_for(user, conversation_id, write=True)
        conversation.title, conversation.titled = title, Conversation.Titled.PERSON
        index_title(conversation)
        conversation.revision += 1
        conversation.save(update_fields=["title", "titled", "indexed_title", "revision"])
        transaction.on_commit(lambda: current().pubsub.conversation_changed(conversation.pk))
    return conversation


def pin_conversation(user: User, conversation_id: UUID, *, pinned: bool) -> None:
    """Pins the conversation to the top of the list, or unpins it. Raises `NotFoundError`."""
    with transaction.atomic():
        conversation = conversation_for(user, conversation_id, write=True)
        conversation.pinned_at = timezone.now() if pinned else None
        conversation.save(update_fields=["pinned_at"])


def use_instructions(user: User, conversation_id: UUID, *, used: bool) -> bool:
    """Turns the user's instructions on or off for the next prompts of the conversation. For an unused id the
    choice is stored until the first prompt creates the chat. Returns whether there is a chat yet. Raises
    `NotFoundError`."""
    with transaction.atomic():
        conversation = conversation_to_write(user, conversation_id)
        if conversation is None:
            remember_start(user, conversation_id, uses_instructions=used)
            return False
        conversation.uses_instructions = used
        conversation.save(update_fields=["uses_instructions"])
        return True


def archive_conversation(user: User, conversation_id: UUID, *, archived: bool) -> None:
    """Removes the conversation from the list without deleting it, or puts it back. Raises `NotFoundError`."""
    with transaction.atomic():
        conversation = conversation_for(user, conversation_id, write=True)
        conversation.archived_at = timezone.now() if archived else None
        conversation.save(update_fields=["archived_at"])


def delete_conversation(user: User, conversation_id: UUID) -> None:
    """Marks the conversation as deleted and stops its running replies. Raises `NotFoundError`."""
    with transaction.atomic():
        conversation = conversation_for(user, conversation_id, write=True)
        conversation.deleted_at = timezone.now()
        conversation.revision += 1
        conversation.save(update_fields=["deleted_at", "revision"])
        live = Generation.objects.live().filter(conversation=conversation)
        replies = list(live.values_list("pk", flat=True))
        live.update(stop_requested=True)
        transaction.on_commit(lambda: publish_deletion([conversation.pk], replies))


def restore_conversation(user: User, conversation_id: UUID) -> None:
    """Undoes the deletion. Raises `NotFoundError` if the conversation is not deleted, if it was deleted too
    long ago, and if an administrator erased it: an erased conversation has no position."""
    with transaction.atomic():
        deleted = Conversation.objects.filter(owner=user, pk=conversation_id, deleted_at__gte=undo_limit())
        if not deleted.filter(last_position__gt=0).update(deleted_at=None, revision=F("revision") + 1):
            raise NotFoundError(_("There is no such chat."))
        transaction.on_commit(lambda: current().pubsub.conversation_changed(conversation_id))


def see_conversation(user: User, conversation_id: UUID, revision: int) -> None:
    """Marks the conversation as seen up to `revision`; later changes are unread. Does nothing for a revision
    that the conversation has not reached."""
    unseen = Conversation.objects.filter(owner=user, pk=conversation_id, seen_revision__lt=revision)
    unseen.filter(revision__gte=revision).update(seen_revision=revision)


def publish_deletion(conversation_ids: Collection[UUID], replies: Collection[UUID]) -> None:
    """Tells all processes about deleted conversations, and to stop these replies. After the commit."""
    for conversation_id in conversation_ids:
        current().pubsub.conversation_changed(conversation_id)
    for reply_id in replies:
        current().pubsub.stop_requested(reply_id)
