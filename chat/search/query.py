"""Reads what a user types into the search field. Every text is a query; none is an error."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import NamedTuple
from zoneinfo import ZoneInfo

from chat.search.words import index_words, readable, words
from chat.translatable import translatable as _

MOST_CHARACTERS = 400
MOST_TERMS = 12
_KEY_LENGTH = 200  # of a tag
KEYS = ("model", "from", "is", "tag", "before", "after")

_PIECE = re.compile(rf'(?:({"|".join(KEYS)}):)(?:"([^"]*)"?|(\S*))|"([^"]*)"?|([^\s"]+)', re.IGNORECASE)

TOO_LONG = _("Only the beginning of the search is used. Shorten it.")
UNKNOWN_DATE = _("A date is written like 2026-03-31, 2026-03 or 2026.")
UNKNOWN_FROM = _("Write “from:me” or “from:model”.")
UNKNOWN_IS = _("Write “is:pinned” or “is:archived”.")


class Term(NamedTuple):
    """Neighbouring words. With `is_prefix`, the last one is the beginning of a word."""

    words: tuple[str, ...]
    is_prefix: bool


class TagFilter(NamedTuple):
    """A tag by its key. With `is_prefix`, `key` is the beginning of a key."""

    key: str
    is_prefix: bool


@dataclass(slots=True)
class Query:
    """What a message must have: all terms and all tags. `models` are words of a model's name. `after` is
    inclusive, `before` is exclusive. `notes` are sentences for the user about invalid parts of the query."""

    terms: list[Term] = field(default_factory=list)
    models: list[Term] = field(default_factory=list)
    role: str = ""  # "me" or "model"
    states: set[str] = field(default_factory=set)  # of "pinned" and "archived"
    before: datetime | None = None
    after: datetime | None = None
    tags: list[TagFilter] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        filters = self.models or self.role or self.states or self.tags or self.before or self.after
        return bool(self.terms or filters)


def parse(text: str, zone: ZoneInfo | None = None) -> Query:
    """Returns the query. Dates are days in `zone`."""
    query = Query()
    if len(text) > MOST_CHARACTERS:
        query.notes.append(TOO_LONG)
    for key, quoted, value, phrase, word in _PIECE.findall(text[:MOST_CHARACTERS]):
        if key:
            _add_filter(query, key.lower(), (quoted or value).strip(), zone, is_whole=bool(quoted))
        elif term := term_of(phrase or word, is_phrase=bool(phrase)):
            query.terms.append(term)
    query.terms, query.tags = list(dict.fromkeys(query.terms)), list(dict.fromkeys(query.tags))
    if max(len(query.terms), len(query.tags)) > MOST_TERMS:
        query.terms, query.tags = query.terms[:MOST_TERMS], query.tags[:MOST_TERMS]
        query.notes = [TOO_LONG]
    return query


def term_of(text: str, *, is_phrase: bool = False) -> Term | None:
    """Returns the term of a piece of a query, None if it has no words."""
    found = list(words(readable(text)))
    if not found:
        return None
    last = found[-1]
    if last.is_pair:
        is_alone = len(last.text) == 1
        if is_alone and len(found) > 1 and found[-2].is_pair:
            found.pop()  # the pair before it has the character already
            is_alone = False
        return Term(tuple(word.text for word in found), is_alone)
    # Too many words begin with the same letter.
    is_prefix = not is_phrase and len(found) + len(last.text) > 2
    return Term(tuple(word.text for word in found), is_prefix)


def tag_key(name: str) -> str:
    """Returns the form in which tags are compared: without accents and capitals."""
    name = name.replace("\x00", "")  # PostgreSQL refuses it
    return " ".join(index_words(name))[:_KEY_LENGTH] or name.casefold()[:_KEY_LENGTH]


def _add_filter(query: Query, key: str, value: str, zone: ZoneInfo | None, *, is_whole: bool) -> None:
    if not value:  # the user is still typing
        return
    if key == "tag":
        query.tags.append(TagFilter(tag_key(value), not is_whole))
    elif key == "model":
        query.models += [Term((word,), is_prefix=True) for word in index_words(value)]
    elif key == "from":
        query.role = value.lower() if value.lower() in ("me", "model") else ""
        query.notes += [] if query.role else [UNKNOWN_FROM]
    elif key == "is":
        known = value.lower() in ("pinned", "archived")
        query.states |= {value.lower()} if known else set()
        query.notes += [] if known else [UNKNOWN_IS]
    elif (day := _day(value)) is None:
        query.notes.append(UNKNOWN_DATE)
    else:
        setattr(query, key, datetime.combine(day, time(), zone or UTC))


def _day(value: str) -> date | None:
    numbers = value.split("-")
    try:
        year, month, day = (*map(int, numbers), 1, 1)[:3]
        return date(year, month, day) if len(numbers) < 4 and value.isascii() and 1900 < year < 2100 else None
    except ValueError:
        return None
