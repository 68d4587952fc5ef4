"""Deletes unreachable data in small batches, so that no other write waits for it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone

from chat.actions.chat_import import delete_old_imports
from chat.actions.share import delete_old_shares
from chat.actions.throttle import delete_old_counts
from chat.models import (
    LIVE,
    Attachment,
    ChatStart,
    Conversation,
    Feedback,
    Generation,
    JournalEntry,
    Message,
    PeriodicTask,
    PresetUse,
    SentRequest,
    Share,
    Status,
    Summary,
    Tag,
    ToolRun,
)
from chat.search.index import remove_conversations, remove_messages

EVERY = timedelta(hours=1)
CHAT_START_KEPT = timedelta(days=30)  # a page with a new chat may stay open
BATCH = 200  # rows in one transaction


def is_due() -> bool:
    """Returns whether this process must clean up now."""
    return PeriodicTask.take("housekeeping", every=EVERY)


def clear_some() -> int:
    """Deletes one batch in one transaction. Returns the number of rows, 0 if nothing is left."""
    return (
        _delete_some(Session.objects.filter(expire_date__lt=timezone.now()))
        or _delete_some(JournalEntry.objects.exclude(generation__status__in=LIVE))
        or _delete_some(ChatStart.objects.filter(created_at__lt=timezone.now() - CHAT_START_KEPT))
        or delete_old_counts()
        or delete_old_imports()
        or delete_old_shares()
        or _empty_deleted_conversation()
        or _hide_below_deleted()
        or _empty_deleted_messages()
    )


def undo_limit() -> datetime:
    """Returns the time before which a deletion cannot be undone."""
    return timezone.now() - timedelta(days=settings.CHAT_KEEP_DELETED_DAYS)


def _delete_some(rows: models.QuerySet[Any]) -> int:
    ids = list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH])
    return rows.filter(pk__in=ids).delete()[0] if ids else 0


def _empty_deleted_conversation() -> int:
    """Deletes the content of a deleted conversation, and finally its title. The rows of its messages stay,
    because generations refer to them: usage and cost are kept."""
    with transaction.atomic():
        conversation = Conversation.objects.filter(deleted_at__lt=undo_limit(), last_position__gt=0).first()
        if conversation is None:
            return 0
        filled = Message.objects.filter(_IS_FILLED, conversation=conversation)
        ids = list(filled.order_by("position").values_list("pk", flat=True)[:BATCH])
        Summary.objects.filter(conversation=conversation).delete()
        Share.objects.filter(conversation=conversation).delete()
        _empty(ids)
        if len(ids) < BATCH:
            remove_conversations([conversation.pk])
            Tag.objects.filter(conversation=conversation).delete()
            conversation.title = conversation.indexed_title = ""
            conversation.head, conversation.last_position = None, 0
            conversation.folder, conversation.preset_name = None, ""
            PresetUse.objects.filter(conversation=conversation).delete()
            emptied = ("title", "indexed_title", "head", "last_position", "folder", "preset_name")
            conversation.save(update_fields=emptied)
        return len(ids) + 1


def _hide_below_deleted() -> int:
    """Marks the hidden variants below messages that cannot be restored any more: nothing leads to them."""
    below = Message.objects.filter(parent__deleted_at__lt=undo_limit(), deleted_at=None, shown=False)
    ids = list(below.values_list("pk", flat=True)[:BATCH])
    return below.filter(pk__in=ids).update(deleted_at=undo_limit()) if ids else 0


def _empty_deleted_messages() -> int:
    """Deletes the content of messages that were deleted in a chat, as that of a deleted chat."""
    gone = Message.objects.filter(_IS_FILLED, deleted_at__lt=undo_limit())
    ids = list(gone.values_list("pk", flat=True)[:BATCH])
    if ids:
        with transaction.atomic():
            # One may have been restored since.
            still = Message.objects.filter(pk__in=ids, deleted_at__lt=undo_limit()).select_for_update()
            gone_ids = list(still.order_by("pk").values_list("pk", flat=True))
            Summary.objects.filter(covers__in=gone_ids).delete()
            _empty(gone_ids)
    return len(ids)


_IS_FILLED = ~Q(text="") | ~Q(parts=[]) | (Q(generation__isnull=False) & ~Q(generation__error_detail=""))


def _empty(ids: list[UUID]) -> None:
    """Deletes the content of these messages. The caller has a transaction."""
    Feedback.objects.filter(message__in=ids).delete()
    Attachment.objects.filter(message__in=ids).delete()  # `attachment.clear_files` deletes the files
    waiting = Generation.objects.filter(message__in=ids, status=Status.WAITING)
    waiting.update(status=Status.STOPPED)  # so the next batch deletes its journal
    ToolRun.objects.filter(generation__message__in=ids).update(arguments="", result="")
    Message.objects.filter(pk__in=ids).update(text="", parts=[])
    remove_messages(ids)
    SentRequest.objects.filter(generation__message__in=ids).delete()
    Generation.objects.filter(message__in=ids).update(error_detail="")  # it may quote the prompt
