"""Finds the newest matching entries on PostgreSQL.

It reads only the index and the entries. A query that joins chats and messages would read them for each hit,
not only for the newest ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from django.db import connection

from chat.search.postgresql import FIRST_OF_PART, FOUND, FOUND_BY_INDEX, FOUND_WITHOUT_INDEX, LAST_ID
from chat.search.query import Term

_FIRST_SCAN = 3_000  # entries that are searched for a phrase without the index
_MOST_SCANNED = 20_000  # entries; a search of more takes longer than the index
_GROWTH = 4  # the factor from one list to the next
_MOST_IN_A_LIST = 5_000


def newest_ids(
    match: str, terms: Sequence[Term], limit: int, least: int = 0, below: int = LAST_ID
) -> Iterator[list[int]]:
    """Yields lists of the matching ids from `least` to `below`, the newest first. `limit` is the length of
    the first list. All lists together have all ids."""
    if any(len(term.words) > 1 for term in terms):
        yield from _with_phrase(match, limit, least, below)
    else:
        yield from _found(FOUND, match, limit, least, below)


def _with_phrase(match: str, limit: int, least: int, below: int) -> Iterator[list[int]]:
    """As `newest_ids`, for a phrase. The index contains which entries have the words of a phrase, not whether
    they are neighbours, so each of these entries must be read. The planner expects a phrase to be as frequent
    as its words, and so would read all entries for a rare one.

    So the newest entries are read without the index first. They show how frequent the phrase is. If it is
    frequent, more entries are read in this way. All others are read with the index in one pass, because a
    pass for a part of them takes nearly as long."""
    since = _part(_FIRST_SCAN, least, below)
    count = 0
    for found in _found(FOUND_WITHOUT_INDEX, match, limit, since, below):
        count += len(found)
        yield found
    if count and (enough := _FIRST_SCAN * limit // count) <= _MOST_SCANNED:
        below, since = since, _part(enough, least, since)
        yield from _found(FOUND_WITHOUT_INDEX, match, limit, since, below)
    yield from _found(FOUND_BY_INDEX, match, limit, least, since)


def _part(size: int, least: int, below: int) -> int:
    """Returns the first id of the last `size` entries before `below`, or `least` if there are fewer."""
    with connection.cursor() as cursor:
        cursor.execute(FIRST_OF_PART, [least, below, size - 1])
        return next((first for (first,) in cursor), least)


def _found(search: str, match: str, limit: int, least: int, below: int) -> Iterator[list[int]]:
    while below > least:
        with connection.cursor() as cursor:
            cursor.execute(search, [match, least, below, limit])
            found = [number for (number,) in cursor]
        yield found
        below = found[-1] if len(found) == limit else least
        limit = min(limit * _GROWTH, _MOST_IN_A_LIST)
