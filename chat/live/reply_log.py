"""The output of one reply so far, as a list of segments that only grows.

A position in it is a number of characters, counted over all segments. So "the output since n" is exact
whatever pieces a viewer was given before, and receiving something twice is harmless.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

TOOL_CALL = "tool_call"
WEB_SEARCH = "web_search"
CITATION = "citation"
CARDS = (TOOL_CALL, WEB_SEARCH)  # shown as cards between the texts


class Segment(NamedTuple):
    """A run of output. `kind` is "text", "reasoning", or lines: "tool_call" (`tool_call_lines`), "web_search"
    and "citation" (`search_lines`)."""

    kind: str
    text: str


class RetryWait(NamedTuple):
    """The provider failed before its first word, and is asked again in `seconds`."""

    attempt: int
    seconds: float


class ReplyLog:
    """`waiting` is set while the provider is to be asked again. It is no part of the output, which ends
    it."""

    def __init__(self, segments: Iterable[Segment] = ()) -> None:
        self._segments: list[Segment] = []
        self._starts: list[int] = []
        self.length = 0
        self.waiting: RetryWait | None = None
        for kind, text in segments:
            self.append(kind, text)

    def append(self, kind: str, text: str) -> None:
        if text:
            self._segments.append(Segment(kind, text))
            self._starts.append(self.length)
            self.length += len(text)
            self.waiting = None

    def extend_from(self, start: int, segments: Iterable[Segment]) -> bool:
        """Appends segments that begin at `start`, without the characters that are known. Returns false, and
        appends nothing, if there is a gap."""
        if start > self.length:
            return False
        for kind, text in segments:
            self.append(kind, text[max(0, self.length - start) :])
            start += len(text)
        return True

    def since(self, position: int) -> list[Segment]:
        """Returns the output from `position` (in characters) on, with neighbours of one kind joined."""
        if position >= self.length:
            return []
        first = bisect_right(self._starts, position) - 1
        pieces = self._segments[first:]
        kind, text = pieces[0]
        pieces[0] = Segment(kind, text[position - self._starts[first] :])
        return joined(pieces) if len(pieces) > 1 else pieces

    def text(self) -> str:
        """Returns the visible text."""
        return "".join(text for kind, text in self._segments if kind == "text")


def joined(segments: Iterable[Segment]) -> list[Segment]:
    """Returns the segments with neighbours of one kind as one."""
    runs: list[tuple[str, list[str]]] = []
    for kind, text in segments:
        if runs and runs[-1][0] == kind:
            runs[-1][1].append(text)
        else:
            runs.append((kind, [text]))
    return [Segment(kind, "".join(texts)) for kind, texts in runs]


def lines_of(text: str) -> Iterator[dict[str, Any]]:
    """Yields the lines. A line that was cut by the length limit of a reply is left out."""
    for line in text.split("\n"):
        try:
            yield json.loads(line)
        except ValueError:
            continue
