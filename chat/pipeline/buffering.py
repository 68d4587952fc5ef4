"""How text is cut into chunks for a reader who does not want each token.

Pure text in, pieces out. The pieces joined are the text; where it is cut does not depend on how it was
fed. A buffer has no clock: whoever feeds it calls `flush` when a piece has waited long enough, as
`chat.live.pacing` does.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Protocol


class Buffer(Protocol):
    """`feed` returns the pieces that are complete, `flush` what is left, as a list of one or none."""

    def feed(self, text: str) -> list[str]: ...

    def flush(self) -> list[str]: ...


class NoBuffer:
    """Each piece as it comes."""

    def feed(self, text: str) -> list[str]:
        return [text] if text else []

    def flush(self) -> list[str]:
        return []


class TimeBuffer:
    """All that came between two calls of `flush`."""

    def __init__(self) -> None:
        self._held: list[str] = []

    def feed(self, text: str) -> list[str]:
        self._held.append(text)
        return []

    def flush(self) -> list[str]:
        text = "".join(self._held)
        self._held.clear()
        return [text] if text else []


class BoundaryBuffer:
    """Pieces that end where `boundary` matches."""

    def __init__(self, boundary: re.Pattern[str]) -> None:
        self._boundary = boundary
        self._held = ""
        self._seen = 0  # no boundary ends before it

    def feed(self, text: str) -> list[str]:
        self._held += text
        pieces, start = [], 0
        for match in self._boundary.finditer(self._held, max(0, self._seen)):
            pieces.append(self._held[start : match.end()])
            start = match.end()
        self._held = self._held[start:]
        # A boundary that has begun is searched again from its beginning, a long word is not.
        self._seen = len(self._held) - _LONGEST_BOUNDARY
        return pieces

    def flush(self) -> list[str]:
        text, self._held, self._seen = self._held, "", 0
        return [text] if text else []


class SizeBuffer:
    """Pieces of `size` characters, or a few more so as not to cut an emoji or an accented letter."""

    def __init__(self, size: int) -> None:
        self._size = max(1, size)
        self._held = ""

    def feed(self, text: str) -> list[str]:
        self._held += text
        pieces, start, end = [], 0, self._size
        while end < len(self._held):
            if _joins(self._held[end - 1], self._held[end]):
                end += 1
                continue
            pieces.append(self._held[start:end])
            start, end = end, end + self._size
        self._held = self._held[start:]
        return pieces

    def flush(self) -> list[str]:
        text, self._held = self._held, ""
        return [text] if text else []


def buffer_for(strategy: str, *, size: int = 80) -> Buffer:
    """The buffer of that name: one of `STRATEGIES`. `size` is for `size`. Raises `KeyError`."""
    return SizeBuffer(size) if strategy == "size" else _MAKERS[strategy]()


def _joins(before: str, after: str) -> bool:
    """Whether both characters belong to one that people see."""
    if "\u200d" in (before, after) or unicodedata.category(after).startswith("M"):
        return True
    if "\U0001f3fb" <= after <= "\U0001f3ff" or (before, after) == ("\r", "\n"):
        return True  # a skin tone; a line end
    return all("\U0001f1e6" <= character <= "\U0001f1ff" for character in (before, after))  # a flag


_LONGEST_BOUNDARY = 64

# Every boundary ends before a character that is known, so pieces do not depend on the feeding.
_WORD = re.compile(r"(?<=\s)(?=\S)|[\u3040-\u30ff\u3400-\u9fff](?=.)", re.DOTALL)
_SENTENCE = re.compile(
    r"[.!?…]{1,10}+[\"'”’»)\]*_]{0,10}+\s{1,40}+(?=\S)|[。！？]{1,10}[」』）]{0,5}(?=[^。！？」』）])|(?<=\n)(?=[^\n])"
)
_LINE = re.compile(r"\n")

_MAKERS: dict[str, Callable[[], Buffer]] = {
    "none": NoBuffer,
    "word": lambda: BoundaryBuffer(_WORD),
    "sentence": lambda: BoundaryBuffer(_SENTENCE),
    "line": lambda: BoundaryBuffer(_LINE),
    "time": TimeBuffer,
}

STRATEGIES = (*_MAKERS, "size")
