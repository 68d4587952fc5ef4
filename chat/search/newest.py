"""Finds the newest entries that match, on PostgreSQL.

It reads the index and the entries alone. A query that also joins their chats and messages reads these for
each hit, not only for the newest ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from django.db import connection

from chat.search.postgresql import FIRST_OF_PART, FOUND, FOUND_BY_INDEX, FOUND_WITHOUT_INDEX, LAST_ID
from chat.search.query import Term

_NEWEST = 3_000  # entries that are searched for a phrase before all others
_NEAR = 20_000  # entries that are read in less time than the index and what it finds
_MORE = 4  # times as many are read if too few of the first ones could be used
_MOST = 5_000  # at once


def newest_ids(
    match: str, terms: Sequence[Term], limit: int, least: int = 0, below: int = LAST_ID
) -> Iterator[list[int]]:
    """Yields the ids from `least` to `below` that match in lists, from the newest on. `limit` is how many are
    probably enough; further iteration yields all."""
    if any(len(term.words) > 1 for term in terms):
        yield from _with_phrase(match, limit, least, below)
    else:
        yield from _found(FOUND, match, limit, least, below)


def _with_phrase(match: str, limit: int, least: int, below: int) -> Iterator[list[int]]:
    """The index knows which entries have the words of a phrase, not whether they stand together: each of them
    must be read. The planner takes a phrase for as frequent as all its words, and so would read all entries
    for a rare one.

    Here the newest entries are read without the index. They show how frequent the phrase is. If it is
    frequent, more of them are read. The rest is read with the index, in one pass: a pass for a part takes
    nearly as long."""
    since = _part(_NEWEST, least, below)
    count = 0
    for found in _found(FOUND_WITHOUT_INDEX, match, limit, since, below):
        count += len(found)
        yield found
    if count and (enough := _NEWEST * limit // count) <= _NEAR:
        below, since = since, _part(enough, least, since)
        yield from _found(FOUND_WITHOUT_INDEX, match, limit, since, below)
    yield from _found(FOUND_BY_INDEX, match, limit, least, since)


def _part(size: int, least: int, below: int) -> int:
    """Returns the first id of so many entries before `below`, or `least` if there are no more."""
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
        limit = min(limit * _MORE, _MOST)
