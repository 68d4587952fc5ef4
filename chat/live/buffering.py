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


class SizeBuffer:
    """Returns pieces of `size` characters."""

    def __init__(self, size: int) -> None:
        self._size, self._held = size, ""

    def feed(self, text: str) -> list[str]:
        self._held += text
        whole = len(self._held) - len(self._held) % self._size
        pieces = [self._held[at : at + self._size] for at in range(0, whole, self._size)]
        self._held = self._held[whole:]
        return pieces

    def flush(self) -> list[str]:
        text, self._held = self._held, ""
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


def parsed_buffer(text: str) -> tuple[Buffer, float | None]:
    """Returns the buffer that a program asks for, and after how many seconds it must be flushed (None: only
    at the end): "none", "word", "sentence", "line", "size:N" in characters or "time:MS" in milliseconds.
    Raises `ValueError`."""
    name, _colon, number = text.partition(":")
    if name in ("none", "word", "sentence", "line") and not number:
        return buffer_for(name), None
    amount = int(number) if number.isascii() and number.isdigit() and len(number) < 7 else 0
    if name == "size" and 1 <= amount <= MOST_SIZE:
        return SizeBuffer(amount), None
    if name == "time" and 1 <= amount <= MOST_MILLISECONDS:
        return TimeBuffer(), amount / 1_000
    raise ValueError(text)


MOST_SIZE, MOST_MILLISECONDS = 100_000, 60_000
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
