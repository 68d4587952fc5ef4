"""Writes the index. Call its functions in the transaction that writes the text.

An entry has words and facts. Facts are words for the owner, the chat, the sender and the model of its
message. So one query of the index finds the messages of a user with a common word.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from django.db import connection

from chat.models import Conversation, Message, Role, SearchEntry
from chat.search import postgresql, sqlite
from chat.search.words import index_words

_RANDOM_BITS = 21  # below the milliseconds in an entry's id
_ATTEMPTS = 4


def index_message(message: Message, owner_id: int, model_label: str = "") -> None:
    """Adds a message with its final text, and sets `is_indexed`, which the caller saves with the text. The
    caller may save the message afterwards."""
    message.is_indexed = True
    found = index_words(message.text)
    if found:
        facts = facts_of(owner_id, message.conversation_id)
        facts += ["me"] if message.role == Role.USER else ["model", *model_facts(model_label)]
        _add(message.conversation_id, message.pk, message.created_at, facts, found)


def index_title(conversation: Conversation, *, is_new: bool = False) -> None:
    """Adds the title, and sets `indexed_title`, which the caller saves with the title. Removes the former
    title first, unless the conversation `is_new`."""
    if not is_new:
        SearchEntry.objects.filter(conversation=conversation, message=None).delete()
    conversation.indexed_title = conversation.title
    found = index_words(conversation.title)
    if found:
        facts = ["title", *facts_of(conversation.owner_id, conversation.pk)]
        _add(conversation.pk, None, conversation.created_at, facts, found)


def remove_messages(message_ids: Iterable[UUID]) -> None:
    """Removes messages whose text is erased. Deleted rows need no call."""
    SearchEntry.objects.filter(message__in=list(message_ids)).delete()


def remove_conversations(conversation_ids: Iterable[UUID]) -> None:
    """Removes titles and messages of conversations whose content is erased."""
    SearchEntry.objects.filter(conversation__in=list(conversation_ids)).delete()


def facts_of(owner_id: int, conversation_id: UUID) -> list[str]:
    return [f"o{owner_id}", f"c{conversation_id.hex}"]


def model_facts(label: str) -> list[str]:
    return [f"m{word}" for word in dict.fromkeys(index_words(label))]


def first_id(at: datetime) -> int:
    """Returns the lowest id of an entry of this time."""
    return max(0, int(at.timestamp() * 1000)) << _RANDOM_BITS


def _add(
    conversation_id: UUID, message_id: UUID | None, at: datetime, facts: Sequence[str], found: Sequence[str]
) -> None:
    """Adds an entry. Does nothing if the message has one. If another entry has the same random id, tries
    another id: the statement does not fail, because on PostgreSQL that would end the caller's transaction."""
    backend = postgresql if connection.vendor == "postgresql" else sqlite
    statement, values = backend.insertion(conversation_id, message_id, facts, found)
    with connection.cursor() as cursor:
        for _attempt in range(_ATTEMPTS):
            cursor.execute(statement, [first_id(at) + secrets.randbits(_RANDOM_BITS), *values])
            if cursor.rowcount:
                return
