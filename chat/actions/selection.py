"""Actions on several conversations at once. Each is one transaction: all of the chosen conversations change,
or none. Those of other users, and those that are gone meanwhile, are left out."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from chat.access import NotFoundError, deleted_conversations_of, folder_for, lock_conversations
from chat.actions.conversation import publish_deletion
from chat.actions.errors import InvalidInputError, TooLongError
from chat.actions.folder import make_folder
from chat.actions.housekeeping import undo_limit
from chat.actions.tag import add_tags, readable_tag, tag_name
from chat.models import Conversation, Generation, Tag, User
from chat.models.tag import MOST_TAGS
from chat.runtime import current
from chat.search.query import tag_key
from chat.translatable import translatable as _

MOST = 500  # conversations at once


def archive_conversations(user: User, ids: Collection[UUID], *, archived: bool) -> int:
    """Archives the conversations, or puts them back. Returns how many; as all functions here. Raises
    `NotFoundError` if none is left, `InvalidInputError`."""
    with transaction.atomic():
        found = _locked(user, ids)
        Conversation.objects.filter(pk__in=found).update(archived_at=timezone.now() if archived else None)
    return len(found)


def move_conversations(user: User, ids: Collection[UUID], folder_id: UUID | None) -> int:
    """Moves the conversations to a folder of the user, or out of all. Raises as `archive_conversations`."""
    with transaction.atomic():
        folder = folder_for(user, folder_id, write=True) if folder_id else None
        found = _locked(user, ids)
        Conversation.objects.filter(pk__in=found).update(folder=folder)
    return len(found)


def move_to_new_folder(user: User, ids: Collection[UUID], name: str) -> int:
    """Makes a folder with this name and moves the conversations to it. Raises as `archive_conversations` and
    `make_folder`; then there is no new folder."""
    with transaction.atomic():
        return move_conversations(user, ids, make_folder(user, name).pk)


def tag_conversations(user: User, ids: Collection[UUID], name: str) -> int:
    """Gives the conversations a tag. Raises as `archive_conversations`, and `TooLongError`."""
    name = tag_name(name)
    with transaction.atomic():
        found = _locked(user, ids)
        if full := add_tags(found, [name]):
            words = _("Nothing was changed: {number} of the chats have {limit} tags already.")
            raise TooLongError(words, number=full, limit=MOST_TAGS)
    return len(found)


def untag_conversations(user: User, ids: Collection[UUID], name: str) -> int:
    """Removes a tag from those conversations that have it. Raises as `archive_conversations`."""
    with transaction.atomic():
        found = _locked(user, ids)
        Tag.objects.filter(conversation__in=found, key=tag_key(readable_tag(name))).delete()
    return len(found)


def delete_conversations(user: User, ids: Collection[UUID]) -> list[UUID]:
    """Marks the conversations as deleted and stops their running replies. Returns the ids, for
    `restore_conversations`. Raises as `archive_conversations`."""
    with transaction.atomic():
        found = _locked(user, ids)
        rows = Conversation.objects.filter(pk__in=found)
        rows.update(deleted_at=timezone.now(), revision=F("revision") + 1)
        live = Generation.objects.live().filter(conversation__in=found)
        replies = list(live.values_list("pk", flat=True))
        live.update(stop_requested=True)
        transaction.on_commit(lambda: publish_deletion(found, replies))
    return found


def restore_conversations(user: User, ids: Collection[UUID]) -> int:
    """Undoes the deletion of those that can be restored. Raises as `archive_conversations`."""
    _check(ids)
    with transaction.atomic():
        deleted = deleted_conversations_of(user, undo_limit()).select_for_update().filter(pk__in=ids)
        found = list(deleted.order_by("pk").values_list("pk", flat=True))
        if not found:
            raise NotFoundError(_("These chats cannot be restored any more."))
        Conversation.objects.filter(pk__in=found).update(deleted_at=None, revision=F("revision") + 1)
        transaction.on_commit(lambda: _publish(found))
    return len(found)


def _locked(user: User, ids: Collection[UUID]) -> list[UUID]:
    _check(ids)
    found = lock_conversations(user, ids)
    if not found:
        raise NotFoundError(_("These chats are not here any more. Reload the list."))
    return found


def _check(ids: Collection[UUID]) -> None:
    if not ids:
        raise InvalidInputError(_("No chat is selected. Select one first."))
    if len(ids) > MOST:
        raise InvalidInputError(_("Select at most {limit} chats at once."), limit=MOST)


def _publish(conversation_ids: Collection[UUID]) -> None:
    for conversation_id in conversation_ids:
        current().pubsub.conversation_changed(conversation_id)
