"""Splits text into larger pieces than tokens, for readers who prefer that.

The joined pieces are the text. The pieces do not depend on how the text was fed. A buffer has no clock: its
caller calls `flush` when text was held back long enough, as `chat.live.pacing` does.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol


class Buffer(Protocol):
    """`feed` returns the complete pieces; `flush` returns the rest as a list of one piece or none."""

    def feed(self, text: str) -> list[str]: ...

    def flush(self) -> list[str]: ...


class NoBuffer:
    """Returns each piece at once."""

    def feed(self, text: str) -> list[str]:
        return [text] if text else []

    def flush(self) -> list[str]:
        return []


class TimeBuffer:
    """Holds all text until `flush`."""

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
    """Returns pieces that end where `boundary` matches."""

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
        # The start of a boundary is searched again with the next text, a long word is not.
        self._seen = len(self._held) - _LONGEST_BOUNDARY
        return pieces

    def flush(self) -> list[str]:
        text, self._held, self._seen = self._held, "", 0
        return [text] if text else []


def buffer_for(strategy: str) -> Buffer:
    """Returns a new buffer of the strategy, one of `STRATEGIES`. Raises `KeyError`."""
    return STRATEGIES[strategy]()


_LONGEST_BOUNDARY = 64

# Every boundary ends before a known character, so the pieces do not depend on how text is fed.
_WORD = re.compile(r"(?<=\s)(?=\S)|[\u3040-\u30ff\u3400-\u9fff](?=.)", re.DOTALL)
_SENTENCE = re.compile(
    r"[.!?…]{1,10}+[\"'”’»)\]*_]{0,10}+\s{1,40}+(?=\S)|[。！？]{1,10}[」』）]{0,5}(?=[^。！？」』）])|(?<=\n)(?=[^\n])"
)
_LINE = re.compile(r"\n")

STRATEGIES: dict[str, Callable[[], Buffer]] = {
    "none": NoBuffer,
    "word": lambda: BoundaryBuffer(_WORD),
    "sentence": lambda: BoundaryBuffer(_SENTENCE),
    "line": lambda: BoundaryBuffer(_LINE),
    "time": TimeBuffer,
}
