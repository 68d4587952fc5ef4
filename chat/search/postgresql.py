"""The index in PostgreSQL: a tsvector and a GIN index.

The vectors are written here, not by `to_tsvector`, whose parser splits addresses, paths and numbers in
another way than SQLite. It would also need an extension to fold accents.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from chat.search.query import Term

FROM = "chat_searchentry e"
ENTRY_ID = "e.id"
MATCHES = "e.words @@ %s::tsquery"
# Titles have an index of their own. Without a computed order, the planner reads all entries from the newest
# on, because it treats the facts of an entry as independent, and so expects many titles among the messages.
TITLES = "e.message_id IS NULL"
ORDER_OF_TITLES = "e.id + 0"
LAST_ID = 2**63 - 1
# With the function of the operator `@@` the planner cannot use the GIN index, with a computed order not that
# of the id.
MATCHES_WITHOUT_INDEX = "ts_match_vq(e.words, %s::tsquery)"
_FOUND = "SELECT e.id FROM chat_searchentry e WHERE {0} AND {1} >= %s AND {1} < %s ORDER BY {1} DESC LIMIT %s"
FOUND = _FOUND.format(MATCHES, "e.id")  # with the index or without: the planner chooses
FOUND_BY_INDEX = _FOUND.format(MATCHES, "(e.id + 0)")
FOUND_WITHOUT_INDEX = _FOUND.format(MATCHES_WITHOUT_INDEX, "e.id")
FIRST_OF_PART = (
    "SELECT id FROM chat_searchentry WHERE id >= %s AND id < %s ORDER BY id DESC OFFSET %s LIMIT 1"
)

_MOST_BYTES = 700_000  # PostgreSQL refuses a vector of 1 MB
_MOST_PLACES = 255  # of one word; PostgreSQL drops more
_LAST_PLACE = 16_383  # further words have this one


def insertion(
    conversation_id: UUID, message_id: UUID | None, facts: Sequence[str], words: Sequence[str]
) -> tuple[str, list[Any]]:
    """Returns the statement that adds an entry, and its values after the id. The statement does nothing if
    the id or the message has one."""
    statement = (
        "INSERT INTO chat_searchentry (id, conversation_id, message_id, words)"
        " VALUES (%s, %s, %s, %s::tsvector) ON CONFLICT DO NOTHING"
    )
    return statement, [conversation_id, message_id, vector(facts, words)]


def vector(facts: Sequence[str], words: Sequence[str]) -> str:
    """Returns the tsvector of an entry."""
    places: dict[str, list[int]] = {}
    size = 0
    for place, word in enumerate(words, 1):
        if (found := places.get(word)) is None:
            size += len(word.encode()) + 12
            if size > _MOST_BYTES:
                break
            places[word] = [min(place, _LAST_PLACE)]
        elif len(found) < _MOST_PLACES and place <= _LAST_PLACE:
            size += 2
            found.append(place)
    marked = [f"'@{fact}'" for fact in facts]
    return " ".join([*marked, *(f"'{word}':{','.join(map(str, at))}" for word, at in places.items())])


def expression(terms: Sequence[Term], facts: Sequence[Sequence[Term]]) -> str:
    """Returns the tsquery that requires all terms, and one fact of each group."""
    groups = ["(" + " | ".join(_term(fact, mark="@") for fact in group) + ")" for group in facts]
    return " & ".join([*groups, *(f"({_term(term)})" for term in terms)])


def _term(term: Term, mark: str = "") -> str:
    *first, last = (f"'{mark}{word}'" for word in term.words)
    return " <-> ".join([*first, f"{last}:*" if term.is_prefix else last])
