"""Splits text into the words of the index: texts and queries in the same way, on both databases.

A word is a run of letters and digits in lower case without accents. Chinese, Japanese, Thai, Lao, Burmese and
Khmer are written without spaces. There, each pair of neighbouring characters is a word, and so is the last
character of a run. So a sequence of two or more characters is found at any place, and a single character as
the beginning of a pair.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple
from unicodedata import is_normalized, normalize

MOST_CHARACTERS = 200_000  # of a text; the rest is not indexed
WORD_LENGTH = 64  # characters; the rest of a word is ignored

_PAIRED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3041-\u309a\u309d-\u30fa\u30fc-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
# Python's \w has no combining marks. Without those of Indic scripts, of Arabic and of decomposed letters,
# words would be cut at them.
_MARKS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f"
    "\u0670\u06d6-\u06dc\u06df-\u06e4\u0900-\u0963\u0966-\u0dff\u0f18-\u0fbc\u1ab0-\u1aff\u1dc0-\u1dff"
    "\u20d0-\u20f0\ufe20-\ufe2f"
)
_WORD = re.compile(f"([{_PAIRED}]+)|((?:(?![{_PAIRED}_])[\\w{_MARKS}])+)")
_ASCII_WORD = re.compile("[a-z0-9]+")
# Marks of Latin, Greek, Cyrillic, Hebrew and Arabic. In other scripts, marks are letters of their own.
_ACCENT = re.compile(
    "[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0640\u064b-\u065f\u0670]"
)
_LETTERS = str.maketrans({"ø": "o", "đ": "d", "ł": "l", "ħ": "h", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"})


class Word(NamedTuple):
    """A word and its place in the text. In scripts without spaces it is a pair of characters (`is_pair`)."""

    text: str
    start: int
    end: int
    is_pair: bool = False


def readable(text: str) -> str:
    """Returns the text in the form that `words` splits: normalised, so that a letter has one code."""
    return text if text.isascii() or is_normalized("NFKC", text) else normalize("NFKC", text)


def words(text: str, start: int = 0) -> Iterator[Word]:
    """Yields the words of a `readable` text from position `start` on."""
    for match in _WORD.finditer(text, start):
        begin, end = match.span()
        if match[2]:
            yield Word(_folded(match[2]), begin, end)
            continue
        for at in range(begin, end):
            pair = text[at : min(at + 2, end)]
            yield Word(pair, at, at + len(pair), is_pair=True)


def index_words(text: str) -> list[str]:
    """Returns the words of a text for the index, in order."""
    text = text[:MOST_CHARACTERS]
    if text.isascii():
        return [word[:WORD_LENGTH] for word in _ASCII_WORD.findall(text.lower())]
    return [word.text for word in words(readable(text))]


def _folded(word: str) -> str:
    if not word.isascii():
        plain = _ACCENT.sub("", normalize("NFD", word.casefold())).translate(_LETTERS)
        return normalize("NFC", plain)[:WORD_LENGTH] or word[:WORD_LENGTH]
    return word.lower()[:WORD_LENGTH]
