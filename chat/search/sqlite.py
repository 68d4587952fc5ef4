"""The index in SQLite's FTS5. Triggers on the table of entries update it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from chat.search.query import Term

# CROSS JOIN keeps the entries in the order of the index, so that a LIMIT ends the search early.
FROM = "chat_search CROSS JOIN chat_searchentry e ON e.id = chat_search.rowid"
ENTRY_ID = "chat_search.rowid"
MATCHES = "chat_search MATCH %s"
TITLES = "e.message_id IS NULL"
ORDER_OF_TITLES = ENTRY_ID


def insertion(
    conversation_id: UUID, message_id: UUID | None, facts: Sequence[str], words: Sequence[str]
) -> tuple[str, list[Any]]:
    """Returns the statement that adds an entry, and its values after the id. The statement does nothing if
    the id or the message has one."""
    statement = (
        "INSERT INTO chat_searchentry (id, conversation_id, message_id, facts, words)"
        " VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
    )
    ids = [conversation_id.hex, message_id and message_id.hex]
    return statement, [*ids, " ".join(facts), " ".join(words)]


def expression(terms: Sequence[Term], facts: Sequence[Sequence[Term]]) -> str:
    """Returns the FTS5 query that requires all terms, and one fact of each group."""
    parts = ["facts : (" + " OR ".join(map(_term, group)) + ")" for group in facts]
    if terms:
        parts.append("words : (" + " AND ".join(map(_term, terms)) + ")")
    return " AND ".join(parts)


def _term(term: Term) -> str:
    phrase = " ".join(term.words).replace('"', '""')
    return f'"{phrase}"{" *" if term.is_prefix else ""}'
