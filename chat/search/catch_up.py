"""Indexes rows without an entry: all rows of an older release, and those that its processes still write.

It continues where it was interrupted, because each row says whether it is indexed. Any number of processes
may run it at the same time.
"""

from __future__ import annotations

from django.db import connection, transaction
from django.db.models import F, Q, QuerySet

from chat.models import LIVE, Conversation, Message, User
from chat.models.prepared import Prepared
from chat.search.index import index_message, index_title, remove_conversations

BATCH = 50  # messages or titles in one transaction
BATCH_CHARACTERS = 200_000  # of messages; a transaction ends after the message that exceeds it

_OTHER_TITLE = Q(indexed_title__isnull=True) | ~Q(indexed_title=F("title"))


def is_complete() -> bool:
    """Returns whether all titles and messages are indexed."""
    return not _messages().exists() and not Conversation.objects.filter(_OTHER_TITLE).exists()


def is_complete_for(user: User) -> bool:
    """Returns whether all titles and messages of this user are indexed. First queries the messages of all
    users, because a partial index answers that at once, and usually there is none."""
    if _some_message.all() and _some_own_message.all(user.pk):
        return False
    return not _some_title.all(user.pk)


def catch_up() -> int:
    """Indexes the newest rows without an entry. Returns their number, 0 if there is none."""
    with transaction.atomic():
        return _index_messages() or _index_titles()


def _messages() -> QuerySet[Message]:
    return Message.objects.filter(is_indexed__isnull=True).exclude(generation__status__in=LIVE)


_some_message = Prepared(lambda: _messages().values_list("pk")[:1])
_some_own_message = Prepared(
    lambda user: _messages().filter(conversation__owner=user).values_list("pk")[:1], int
)
_some_title = Prepared(
    lambda user: Conversation.objects.filter(_OTHER_TITLE, owner=user).values_list("pk")[:1], int
)


def _index_messages() -> int:
    newest = _messages().order_by("-created_at").values_list("pk", "conversation_id")[:BATCH]
    found = dict(newest)
    # Locks the conversations first, because all other writers lock them before their messages.
    locked = _locked(Conversation.objects.filter(pk__in=set(found.values())))
    ids = [pk for pk, conversation_id in found.items() if conversation_id in locked]
    done, characters = [], 0
    for message in _messages().filter(pk__in=ids).select_related("generation"):
        index_message(message, locked[message.conversation_id].owner_id, _model_label(message))
        done.append(message.pk)
        characters += len(message.text)
        if characters > BATCH_CHARACTERS:
            break
    Message.objects.filter(pk__in=done).update(is_indexed=True)
    return len(done)


def _model_label(message: Message) -> str:
    return message.reply.model_label if message.reply else ""


def _index_titles() -> int:
    newest = Conversation.objects.filter(_OTHER_TITLE).order_by("-created_at")[:BATCH]
    conversations = _locked(Conversation.objects.filter(pk__in=[each.pk for each in newest]))
    for conversation in conversations.values():
        if conversation.deleted_at and not conversation.last_position:  # emptied by an older release
            remove_conversations([conversation.pk])
        index_title(conversation)
        conversation.save(update_fields=["indexed_title"])
    return len(conversations)


def _locked(conversations: QuerySet[Conversation]) -> dict[object, Conversation]:
    """Locks the conversations that no other transaction has locked. Returns them by id."""
    if connection.features.has_select_for_update_skip_locked:
        conversations = conversations.select_for_update(skip_locked=True, no_key=True)
    return {each.pk: each for each in conversations.order_by("pk")}
