"""The passages of the files of folders and presets. They have a table of their own with the same kinds of
index.

A file is cut into passages at the ends of paragraphs, sentences or words. A search finds passages with the
words of a prompt. Rare words have the largest weights, as in BM25. The weights are computed here, because
PostgreSQL's rank uses only the frequency of a word in the passage, so that common words would decide.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any
from uuid import UUID

from django.db import connection

from chat.search import postgresql, sqlite
from chat.search.query import Term
from chat.search.words import index_words, readable, words

PASSAGE_CHARACTERS = 1_200
OVERLAP = 150  # characters that a passage repeats of the one before
MOST_WORDS = 32  # of a prompt that are searched for
MOST_WITH_A_WORD = 1_000  # passages; a more frequent word is ignored
FEW = 10  # passages; among so few, frequent words count too

_PAGE = re.compile(r"^\[(?:page|slide) (\d{1,6})\]\n", re.MULTILINE)
_ENDS = ("\n\n", "\n", ". ", "。", " ")


@dataclass(frozen=True, slots=True)
class Piece:
    """A passage before it is stored, with the fields of `Passage`."""

    text: str
    page: int = 0
    overlap: int = 0


def passages_of(text: str, *, has_pages: bool) -> Iterator[Piece]:
    """Cuts a text into passages. With `has_pages`, the lines that begin a page or slide become page numbers,
    and no passage crosses a page. Without these lines and the overlaps, the passages are the whole text."""
    if not has_pages:
        yield from _pieces(text, 0)
        return
    before, *rest = _PAGE.split(text)
    yield from _pieces(before, 0)
    for number, page in zip(rest[::2], rest[1::2], strict=True):
        yield from _pieces(page.rstrip() + "\n", int(number))


def _pieces(text: str, page: int) -> Iterator[Piece]:
    start = end = 0
    while end < len(text):
        overlap = end - start
        last, end = end, _end(text, end)
        if text[last:end].strip():
            yield Piece(text[start:end], page, overlap)
        start = max(last, end - OVERLAP)
        if start > last and (space := text.find(" ", start, end)) >= 0:
            start = space + 1


def _end(text: str, start: int) -> int:
    """Returns the end of the passage that begins at `start`: after its first half, at the best place."""
    end = start + PASSAGE_CHARACTERS - OVERLAP
    if end >= len(text):
        return len(text)
    for sign in _ENDS:
        if (found := text.rfind(sign, start + PASSAGE_CHARACTERS // 2, end)) >= 0:
            return found + len(sign)
    return end


def passage_rows(knowledge_id: UUID, scope: str, first: int, pieces: Sequence[Piece]) -> list[list[Any]]:
    """Returns the rows of the passages of one file for `add_passages`, numbered from `first`. `scope` is the
    fact of the folder or preset. Call it outside the transaction, because splitting into words takes long."""
    is_postgresql = connection.vendor == "postgresql"
    owner = knowledge_id if is_postgresql else knowledge_id.hex
    rows: list[list[Any]] = []
    for number, piece in enumerate(pieces, first):
        found = index_words(piece.text)
        row = [owner, number, piece.page, piece.overlap, piece.text]
        rows.append(
            [*row, postgresql.vector([scope], found)] if is_postgresql else [*row, scope, " ".join(found)]
        )
    return rows


def add_passages(rows: Sequence[list[Any]]) -> None:
    """Adds passages. Does not change those that exist."""
    columns, places = (
        ("words", "%s::tsvector") if connection.vendor == "postgresql" else ("facts, words", "%s, %s")
    )
    statement = (
        f"INSERT INTO chat_passage (knowledge_id, number, page, overlap, text, {columns})"  # noqa: S608  (our own)
        f" VALUES (%s, %s, %s, %s, %s, {places}) ON CONFLICT DO NOTHING"
    )
    with connection.cursor() as cursor:
        cursor.executemany(statement, rows)


def best_passages(scopes: Sequence[str], text: str, count: int) -> list[int]:
    """Returns the ids of the passages of these folders and presets that have words of the text, the best
    first. `count` is the number of all their passages."""
    # The long words of a long prompt, because they are rare.
    terms = sorted(islice(_terms(text), 10 * MOST_WORDS), key=lambda term: -len(term.words[0]))[:MOST_WORDS]
    if not terms or not scopes:
        return []
    backend = postgresql if connection.vendor == "postgresql" else sqlite
    source = (
        "chat_passage e"
        if backend is postgresql
        else ("chat_passages CROSS JOIN chat_passage e ON e.id = chat_passages.rowid")
    )
    matches = "e.words @@ %s::tsquery" if backend is postgresql else "chat_passages MATCH %s"
    one = (
        f"SELECT * FROM (SELECT {{}}, e.id FROM {source} WHERE {matches} LIMIT {MOST_WITH_A_WORD + 1}) t{{}}"  # noqa: S608
    )
    facts = [[Term((scope,), is_prefix=False) for scope in scopes]]
    found: dict[int, list[int]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(
            " UNION ALL ".join(one.format(number, number) for number in range(len(terms))),
            [backend.expression([term], facts) for term in terms],
        )
        for number, passage_id in cursor:
            found[number].append(passage_id)
    return _ranked(found.values(), max(1, count))


def _ranked(found: Iterable[Sequence[int]], count: int) -> list[int]:
    """Returns the ids, the best first. `found` has the ids of the passages with each word, `count` is the
    number of all passages."""
    scores: dict[int, float] = defaultdict(float)
    for ids in found:
        if len(ids) > MOST_WITH_A_WORD or (count > FEW and len(ids) > count / 2):
            continue
        weight = math.log(1 + (count - len(ids) + 0.5) / (len(ids) + 0.5))
        for passage_id in ids:
            scores[passage_id] += weight
    return sorted(scores, key=lambda passage_id: (-scores[passage_id], passage_id))


def _terms(text: str) -> Iterator[Term]:
    """Yields the words to search for, each once. The end of a longer word may differ, because it is often an
    inflection in languages with spaces."""
    seen = set()
    for word in words(readable(text[: 100 * PASSAGE_CHARACTERS])):
        if word.is_pair:
            term = Term((word.text,), is_prefix=False)
        else:
            term = Term((word.text[: len(word.text) - _ending(word.text)],), len(word.text) > 3)
        if len(word.text) > 1 and term not in seen:
            seen.add(term)
            yield term


def _ending(word: str) -> int:
    """Returns how many characters at the end of a word may differ."""
    return 2 if len(word) > 6 else 1 if len(word) > 4 and not word.isdigit() else 0
