"""The pages that a reply cites: numbered, with addresses that can be linked, and the places of their marks.

All values come from a provider, a web page or an imported file, and are not trusted. This module imports no
Django.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from math import inf
from urllib.parse import urlsplit

from chat.parts import Citation

MOST_URL = 2_000  # characters
MOST_MARKS = 200  # of one reply
MOST_PLACE = 2_000_000  # characters of a message before a mark
MOST_TITLE = 300
_NEAR = 300  # characters of a line before a mark that are read
_MOST_LINES = 20  # that are read to place a mark

type Mark = tuple[int, int]  # a place in a text, in characters, and the number of a source


@dataclass(frozen=True, slots=True)
class Source:
    """A cited page. `title` is text without characters that reorder or hide it; it may be the host."""

    number: int
    url: str
    title: str
    host: str


def sources_of(citations: Iterable[Citation]) -> list[Source]:
    """Returns the cited pages, each once, numbered from 1 in the order of their first citations."""
    found: dict[str, Source] = {}
    for citation in islice(citations, MOST_MARKS):
        if citation.url not in found and (host := web_address(citation.url)):
            title = plain(citation.title[: 2 * MOST_TITLE])[:MOST_TITLE] or host
            found[citation.url] = Source(len(found) + 1, citation.url, title, host)
    return list(found.values())


def marks_of(citations: Sequence[Citation]) -> tuple[Mark, ...]:
    """Returns the marks of a message in order, with places in its whole text."""
    numbers = {source.url: source.number for source in sources_of(citations)}
    marks: set[Mark] = set()
    for citation in citations[:MOST_MARKS]:
        at, number = citation.at, numbers.get(citation.url)
        if number and at is not None and at > 0:
            marks.add((at, number))
    return tuple(sorted(marks))


def marks_within(marks: Sequence[Mark], begin: int, end: int) -> tuple[Mark, ...]:
    """Returns the marks from `begin` to `end` of the text of a message, with places in this section. A mark
    between two sections belongs to the first one."""
    first, last = bisect_right(marks, (begin, inf)), bisect_right(marks, (end, inf))
    return tuple((at - begin, number) for at, number in marks[first:last])


def web_address(url: str) -> str:
    """Returns the host of an address that can be linked, "" for any other, such as one that browsers parse in
    another way than Python."""
    if len(url) > MOST_URL or not _ADDRESS.fullmatch(url):
        return ""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return ""
    return plain(host)[:253]


def plain(text: str) -> str:
    """Returns the text in one line, without control characters and marks of direction."""
    spaced = "".join(" " if it.isspace() else it for it in text)
    shown = "".join(it for it in spaced if unicodedata.category(it) not in ("Cc", "Cf", "Cs", "Co", "Cn"))
    return " ".join(shown.split())


def marked(text: str, marks: Sequence[Mark], write: Callable[[int], str]) -> str:
    """Returns Markdown with the marks. Each is moved to a place near its own where it does not break the
    Markdown. `write` returns the mark of a source."""
    pieces: list[str] = []
    done = 0
    places = ((place, number) for at, number in marks if (place := _place(text, at)) is not None)
    for place, number in sorted(places):
        pieces += text[done:place], _space_before(text, place), write(number)
        done = place
    return "".join([*pieces, text[done:]])


def _place(text: str, at: int) -> int | None:
    """Returns the place near `at` where a mark stands in running text; None if there is none."""
    at = max(0, min(at, len(text)))
    for _line in range(_MOST_LINES):
        head = text[max(0, at - 2 * _NEAR) : at]
        at -= len(head) - len(head.rstrip(" \t\n|"))
        begin = text.rfind("\n", max(0, at - _NEAR), at) + 1 or max(0, at - _NEAR)
        line = text[begin:at]
        if not at:
            return None
        if not _STRUCTURE.fullmatch(line):
            break
        at = begin  # a rule, a fence or the mark of an item: the cited text ends one line above
    else:
        return None
    if _DEFINITION.match(line):
        return None
    if "://" in _word_before(text, at):  # the middle of an address would break it
        rest = re.match(r"\S{0,2000}", text[at : at + MOST_URL])
        at += rest.end() if rest else 0
    closing = _CLOSING.match(text, at)
    at = closing.end() if closing else at
    target = _TARGET.match(text, at) if text[at - 1] == "]" else None
    return target.end() if target else at


def _space_before(text: str, place: int) -> str:
    """Returns a space after a bare address, which would otherwise contain the mark."""
    return " " if "://" in _word_before(text, place) else ""


def _word_before(text: str, place: int) -> str:
    head = text[max(0, place - MOST_URL) : place]
    return "" if head[-1:].isspace() else "".join(head.rsplit(maxsplit=1)[-1:])


_ADDRESS = re.compile(r"https?://[^\s\\/?#\x00-\x1f\x7f][^\s\\\x00-\x1f\x7f]*", re.IGNORECASE)
# Its quantifiers are possessive, so that a line without structure fails in linear time.
_STRUCTURE = re.compile(r"\s*+(?:>\s*+)*+(?:(?:```|~~~).*|(?:[\W_]|\d++[.)](?!\w))*+)", re.DOTALL)
_DEFINITION = re.compile(r"\s*\[[^\]]*\]:")
_TARGET = re.compile(r"\([^()\s]{0,2000}(?:\([^()\s]{0,2000}\)[^()\s]{0,2000})?\)|\[[^\]\n]{0,300}\]")
_CLOSING = re.compile(r"[)\]*_`~\"'»”’]{0,20}")
