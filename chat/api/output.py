"""The output of one reply from a position on, in pieces for a program.

A position counts the characters (Unicode code points) of reasoning and text; of a tool call its start counts
one and its arguments their characters. So it means the same place in a running reply and in a stored one,
and a stream can be resumed exactly, in any process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from chat.live.buffering import Buffer, parsed_buffer
from chat.live.reply_log import TOOL_CALL, Segment
from chat.parts import Part, ReasoningPart, TextPart, ToolCall


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of output. `kind` is "text", "reasoning" or "tool_call". `end` is the position after it. Only
    tool calls have `call`: `index`, and in their first piece `id` and `name`."""

    kind: str
    text: str
    end: int
    call: dict[str, Any] | None = None


class Output:
    """Reads the output of one reply and gives what lies behind `position`."""

    def __init__(self, position: int) -> None:
        self.position = position
        self._at = 0
        self._line = ""  # of a tool call: a journal may be cut inside of one
        self._calls: set[int] = set()

    def restart(self) -> None:
        """What is fed next begins at the start of the output."""
        self._at, self._line = 0, ""
        self._calls.clear()

    def feed(self, segments: Iterable[Segment]) -> Iterator[Piece]:
        """Takes output of a running reply, right after what was fed before."""
        for kind, text in segments:
            if kind == TOOL_CALL:
                yield from self._calls_in(text)
            else:
                yield from self._advance(kind, text)

    def feed_parts(self, parts: Iterable[Part]) -> Iterator[Piece]:
        """Takes the whole output of a stored reply."""
        self.restart()
        index = 0
        for part in parts:
            match part:
                case TextPart(text):
                    yield from self._advance("text", text)
                case ReasoningPart(text):
                    yield from self._advance("reasoning", text)
                case ToolCall(id=id_, name=name, arguments=arguments):
                    yield from self._advance(TOOL_CALL, arguments, {"index": index, "id": id_, "name": name})
                    index += 1

    @property
    def length(self) -> int:
        """Returns the length of what was fed since the start of the output."""
        return self._at

    def _calls_in(self, text: str) -> Iterator[Piece]:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            call = orjson.loads(line)
            index, is_new = call["index"], call["index"] not in self._calls
            self._calls.add(index)
            start = {"index": index, "id": call["id"], "name": call["name"]} if is_new else {"index": index}
            yield from self._advance(TOOL_CALL, call["arguments"], start, is_new=is_new)

    def _advance(
        self, kind: str, text: str, call: dict[str, Any] | None = None, *, is_new: bool = True
    ) -> Iterator[Piece]:
        """Counts this output, and yields what of it lies behind the position."""
        begin = self._at
        self._at += len(text) + (1 if call is not None and is_new else 0)
        if self._at <= self.position:
            return
        known = self.position - begin
        if call is not None and is_new and known > 0:
            known, call = known - 1, {"index": call["index"]}
        self.position = self._at
        yield Piece(kind, text[max(0, known) :], self._at, call)


class Shaper:
    """Joins the pieces of one reply as `buffer` says (see `parsed_buffer`), and releases all before output
    of another kind."""

    def __init__(self, buffer: str, position: int) -> None:
        self._buffer: Buffer
        self._buffer, self.hold = parsed_buffer(buffer)
        self.type = "token" if buffer == "none" else "chunk"
        self._kind = "text"
        self._end = position  # of what was released
        self.is_holding = False

    def take(self, piece: Piece) -> Iterator[Piece]:
        if piece.kind == TOOL_CALL or piece.kind != self._kind:
            yield from self.flush()
            self._kind = piece.kind
        if piece.kind == TOOL_CALL:
            self._end = piece.end
            yield piece
            return
        self.is_holding = True
        for text in self._buffer.feed(piece.text):
            yield self._released(text)
        self.is_holding = self._end < piece.end

    def flush(self) -> Iterator[Piece]:
        """Releases what is held."""
        self.is_holding = False
        for text in self._buffer.flush():
            yield self._released(text)

    def _released(self, text: str) -> Piece:
        self._end += len(text)
        return Piece(self._kind, text, self._end)
