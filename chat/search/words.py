"""Splits text into the words of the index. Text and queries are split alike, and alike on both databases.

A word is a run of letters and digits in lower case without accents. Chinese, Japanese, Thai, Lao, Burmese and
Khmer are written without spaces: each pair of neighbouring characters is a word, and the last character of
a run alone. So a sequence of two or more characters is found wherever it stands, and a single character as
the beginning of a pair.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple
from unicodedata import is_normalized, normalize

MOST_CHARACTERS = 200_000  # of a text; what follows is not found
WORD_LENGTH = 64  # characters of a word that count

_PAIRED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3041-\u309a\u309d-\u30fa\u30fc-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
# Python's \w has no combining marks. Without those of Indic scripts, of Arabic and of decomposed letters a
# word would be cut in pieces.
_MARKS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f"
    "\u0670\u06d6-\u06dc\u06df-\u06e4\u0900-\u0963\u0966-\u0dff\u0f18-\u0fbc\u1ab0-\u1aff\u1dc0-\u1dff"
    "\u20d0-\u20f0\ufe20-\ufe2f"
)
_WORD = re.compile(f"([{_PAIRED}]+)|((?:(?![{_PAIRED}_])[\\w{_MARKS}])+)")
_ASCII_WORD = re.compile("[a-z0-9]+")
# Of Latin, Greek, Cyrillic, Hebrew and Arabic. In other scripts marks are letters of their own.
_ACCENT = re.compile(
    "[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0640\u064b-\u065f\u0670]"
)
_LETTERS = str.maketrans({"ø": "o", "đ": "d", "ł": "l", "ħ": "h", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"})


class Word(NamedTuple):
    """A word and its place in the text. `is_pair` is true in scripts without spaces."""

    text: str
    start: int
    end: int
    is_pair: bool = False


def readable(text: str) -> str:
    """Returns the text in the form that `words` splits: one code for each way to write a letter."""
    return text if text.isascii() or is_normalized("NFKC", text) else normalize("NFKC", text)


def words(text: str, start: int = 0) -> Iterator[Word]:
    """Yields the words of a `readable` text from a character on."""
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
