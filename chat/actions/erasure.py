"""Permanent deletion of conversations, for administrators only."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from chat.actions.attachment import clear_unused
from chat.models import Conversation, Generation, Message, PresetUse, Share, Tag, TranscriptRead, User
from chat.models.audit import add_to_record
from chat.runtime import current
from chat.search.index import remove_conversations


def erase_conversations(conversation_ids: Iterable[UUID], *, by: User) -> None:
    """Deletes the content: messages, replies and title. The empty row stays, so that an open page cannot use
    the id again. Running replies stop and write nothing more.
    Files that no other conversation has are deleted. The audit record names the administrator."""
    ids = list(conversation_ids)
    with transaction.atomic():
        rows = Conversation.objects.select_for_update().filter(pk__in=ids)
        list(rows.values_list("pk"))  # locks the rows, so that no reply is queued meanwhile
        live = list(Generation.objects.live().filter(conversation__in=ids).values_list("pk", flat=True))
        rows.update(
            title="",
            indexed_title="",
            head=None,
            folder=None,
            preset_name="",
            last_position=0,
            deleted_at=timezone.now(),
            revision=F("revision") + 1,
            path_revision=F("revision") + 1,
        )
        Message.objects.filter(conversation__in=ids).delete()
        Tag.objects.filter(conversation__in=ids).delete()
        PresetUse.objects.filter(conversation__in=ids).delete()
        Share.objects.filter(conversation__in=ids).delete()
        remove_conversations(ids)
        erased = Conversation.objects.filter(pk__in=ids).select_related("owner").only("owner__email")
        add_to_record(*(TranscriptRead.of(each, by, TranscriptRead.How.ERASED) for each in erased))
        transaction.on_commit(lambda: _tell(ids, live))


def _tell(conversation_ids: list[UUID], replies: list[UUID]) -> None:
    for reply_id in replies:
        current().pubsub.stop_requested(reply_id)
    for conversation_id in conversation_ids:
        current().pubsub.conversation_changed(conversation_id)
    clear_unused()
