"""The output of one reply from a position on, in pieces for a program.

A position counts the characters (Unicode code points) of reasoning and text. So it means the same place in a
running reply and in a stored one, and a stream can be resumed exactly, in any process. Tool calls do not
count: their pieces may be mixed with other output, and are stored joined. A resumed stream sends each call
from its start again, and each search and citation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from chat.live.buffering import Buffer, parsed_buffer
from chat.live.reply_log import CITATION, TOOL_CALL, WEB_SEARCH, Segment
from chat.parts import Citation, Part, ReasoningPart, TextPart, ToolCall, ToolResult, WebSearch

TOOL_RESULT = "tool_result"
_ENDS = ("done", "failed", "declined", "unknown", "skipped")  # no other state follows


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of output. `kind` is "text", "reasoning", "tool_call", "tool_result", "web_search" or "citation".
    `end` is the position after it. A tool call has in `call` its `index` (from 0, in order of appearance),
    and in its first piece `id` and `name`. A result has there `index`, `state`, and at the end of a call
    `result` and `seconds`. A search and a citation have there the fields of their parts."""

    kind: str
    text: str
    end: int
    call: dict[str, Any] | None = None


class Output:
    """Reads the output of one reply and gives what lies behind `position`, and all tool calls once."""

    def __init__(self, position: int) -> None:
        self.position = position
        self._at = 0
        self._lines: dict[str, str] = {}  # begun, by kind: a journal may be cut inside of one
        self._told: set[tuple[str, ...]] = set()  # the searches and citations that were given
        self._numbers: dict[int, int] = {}  # of the calls, by the provider's index
        self._read: dict[int, int] = {}  # characters of each call's arguments since the start of the output
        self._given: dict[int, int] = {}  # and how many of them were given
        self._states: dict[int, str] = {}  # of the calls, as given

    def restart(self) -> None:
        """What is fed next begins at the start of the output."""
        self._at = 0
        self._lines.clear()
        self._numbers.clear()
        self._read.clear()

    def feed(self, segments: Iterable[Segment]) -> Iterator[Piece]:
        """Takes output of a running reply, right after what was fed before."""
        for kind, text in segments:
            if kind == TOOL_CALL:
                yield from self._tool_calls_in(text)
            elif kind in (WEB_SEARCH, CITATION):
                for line in self._whole_lines(kind, text):
                    yield from self._once(kind, line)
            else:
                yield from self._advance(kind, text)

    def feed_parts(self, parts: Iterable[Part]) -> Iterator[Piece]:
        """Takes the whole output of a stored reply."""
        self.restart()
        numbers: dict[str, int] = {}
        for part in parts:
            match part:
                case TextPart(text):
                    yield from self._advance("text", text)
                case ReasoningPart(text):
                    yield from self._advance("reasoning", text)
                case ToolCall(id=id_, name=name, arguments=arguments):
                    numbers[id_] = len(self._read)
                    yield from self._call(numbers[id_], id_, name, arguments)
                case ToolResult(call_id=id_) if id_ in numbers:
                    yield from self._state(numbers[id_], part.state, part.text, part.seconds)
                case WebSearch():
                    yield from self._once(WEB_SEARCH, asdict(part))
                case Citation():
                    yield from self._once(CITATION, asdict(part))

    @property
    def length(self) -> int:
        """Returns the length of what was fed since the start of the output."""
        return self._at

    def _tool_calls_in(self, text: str) -> Iterator[Piece]:
        for call in self._whole_lines(TOOL_CALL, text):
            number = self._numbers.setdefault(call["index"], len(self._numbers))
            if "state" in call:
                yield from self._state(number, call["state"], call.get("result"), call.get("seconds"))
            else:
                yield from self._call(number, call["id"], call["name"], call["arguments"])

    def _whole_lines(self, kind: str, text: str) -> list[dict[str, Any]]:
        *lines, self._lines[kind] = (self._lines.get(kind, "") + text).split("\n")
        return [orjson.loads(line) for line in lines]

    def _once(self, kind: str, fields: dict[str, Any]) -> Iterator[Piece]:
        """Yields a search in this state or a citation, if it was not given yet."""
        key = (kind, *map(str, fields.values()))
        if key not in self._told:
            self._told.add(key)
            yield Piece(kind, "", max(self._at, self.position), fields)

    def _call(self, number: int, id_: str | None, name: str | None, arguments: str) -> Iterator[Piece]:
        """Takes a piece of a call, and yields what of it was not given yet."""
        begin = self._read.get(number, 0)
        end = self._read[number] = begin + len(arguments)
        given = self._given.get(number)
        if given is not None and end <= given:
            return
        self._given[number] = end
        call = {"index": number} if given is not None else {"index": number, "id": id_, "name": name}
        yield Piece(TOOL_CALL, arguments[max(0, (given or 0) - begin) :], max(self._at, self.position), call)

    def _state(self, number: int, state: str, result: str | None, seconds: float | None) -> Iterator[Piece]:
        """Yields the state of a call, if it was not given yet."""
        if self._states.get(number) in (state, *_ENDS):
            return
        self._states[number] = state
        data: dict[str, Any] = {"index": number, "state": state}
        if result is not None:
            data |= {"result": result, "seconds": seconds}
        yield Piece(TOOL_RESULT, "", max(self._at, self.position), data)

    def _advance(self, kind: str, text: str) -> Iterator[Piece]:
        """Counts this output, and yields what of it lies behind the position."""
        begin = self._at
        self._at += len(text)
        if self._at > self.position:
            known, self.position = self.position - begin, self._at
            yield Piece(kind, text[max(0, known) :], self._at)


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
        is_call = piece.call is not None
        if is_call or piece.kind != self._kind:
            yield from self.flush()
            self._kind = piece.kind
        if is_call:
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
