"""How text is cut into chunks for a reader who does not want each token.

Pure text in, pieces out. The pieces joined are the text; where it is cut does not depend on how it was
fed. A buffer has no clock: whoever feeds it calls `flush` when a piece has waited long enough, as
`chat.live.pacing` does.
"""

from __future__ import annotations

import re
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


def buffer_for(strategy: str) -> Buffer:
    """Returns a new buffer of the strategy, one of `STRATEGIES`. Raises `KeyError`."""
    return STRATEGIES[strategy]()


_LONGEST_BOUNDARY = 64

# Every boundary ends before a character that is known, so pieces do not depend on the feeding.
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
