"""Splits text into pieces that are hits and pieces that are not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice

from chat.search.query import Term
from chat.search.words import MOST_CHARACTERS, Word, readable, words

LENGTH = 200  # characters
_BEFORE = 50  # of them, before the first hit
_MOST_WORDS = 4_000  # that are compared in text that is not ASCII

Pieces = list[tuple[str, bool]]


def highlighted(text: str, terms: Sequence[Term]) -> Pieces:
    """Returns the pieces of a whole text, such as a title."""
    text = readable(text)
    return _pieces(text, _hits(text, terms, 0, len(text)))


def excerpt(text: str, terms: Sequence[Term]) -> Pieces:
    """Returns the pieces of about `LENGTH` characters around the first hit, with single spaces as white
    space. They are the beginning of the text if no hit is found."""
    text = readable(text[:MOST_CHARACTERS])
    first = next(_hits(text, terms, _first_place(text, terms), len(text)), (0, 0))[0]
    start = max(0, min(first - _BEFORE, len(text) - LENGTH))
    if start:
        start = max(text.rfind(" ", 0, start + 1), text.rfind("\n", 0, start + 1), start - 20) + 1
    end = min(len(text), start + LENGTH)
    shown = " ".join(text[start:end].split())
    pieces = _pieces(shown, _hits(shown, terms, 0, len(shown)))
    return [*([("… ", False)] if start else []), *pieces, *([(" …", False)] if end < len(text) else [])]


def _first_place(text: str, terms: Sequence[Term]) -> int:
    """Returns the first place where a term may begin, or 0."""
    found = _beginnings(terms).search(text) if terms else None
    return found.start() if found else 0


def _beginnings(terms: Sequence[Term]) -> re.Pattern[str]:
    starts = "|".join(dict.fromkeys(re.escape(term.words[0]) for term in terms))
    return re.compile(rf"(?<![^\W_])(?:{starts})", re.IGNORECASE)


def _hits(text: str, terms: Sequence[Term], start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yields the start and end of each hit, in order. Hits may overlap."""
    if not terms:
        return
    longest = max(len(term.words) for term in terms)
    for window in _windows(text, terms, start, longest):
        if window[0].start >= end:
            return
        for term in terms:
            if place := _match(window, term):
                yield place


def _windows(text: str, terms: Sequence[Term], start: int, longest: int) -> Iterator[list[Word]]:
    """Yields `longest` words from each word on. In ASCII text, yields only those from the beginning of a hit:
    a regular expression finds it faster, but does not fold accents."""
    if text.isascii():
        for found in _beginnings(terms).finditer(text, start):
            yield list(islice(words(text, found.start()), longest))
        return
    source = islice(words(text, start), _MOST_WORDS)
    window = list(islice(source, longest))
    while window:
        yield window
        window = [*window[1:], *islice(source, 1)]


def _match(window: Sequence[Word], term: Term) -> tuple[int, int] | None:
    found = window[: len(term.words)]
    *first, last = term.words
    if len(found) < len(term.words) or any(word.text != it for word, it in zip(found, first, strict=False)):
        return None
    end = found[-1]
    if not (end.text.startswith(last) if term.is_prefix else end.text == last):
        return None
    return found[0].start, end.start + len(last) if end.is_pair else end.end


def _pieces(text: str, hits: Iterator[tuple[int, int]]) -> Pieces:
    pieces: Pieces = []
    at = 0
    for start, end in hits:
        start = max(start, at)
        if end <= start:
            continue
        if start > at:
            pieces.append((text[at:start], False))
        pieces.append((text[start:end], True))
        at = end
    return [*pieces, (text[at:], False)] if at < len(text) else pieces
