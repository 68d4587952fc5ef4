"""Collects the tool calls of one step while they arrive."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from chat.live.tool_call_lines import piece_line
from chat.parts import ToolCall, storable
from chat.providers.events import ToolCallDelta

ID_CHARS = 150


@dataclass
class _Call:
    id: str
    name: str
    arguments: list[str] = field(default_factory=list)


class ToolCallReader:
    """Numbers the calls of a reply on from `first`, and gives each an id of its own: some servers count anew
    in each step. `known` are the ids of the steps before."""

    def __init__(self, first: int = 0, known: Iterable[str] = ()) -> None:
        self._first, self._known = first, set(known)
        self._calls: dict[int, _Call] = {}
        self._numbers: dict[int, int] = {}  # by the provider's index

    def line(self, delta: ToolCallDelta) -> str:
        """Takes a piece, and returns its line for the log."""
        number = self._numbers.setdefault(delta.index, self._first + len(self._numbers))
        arguments = storable(delta.arguments)
        if (call := self._calls.get(number)) is None:
            call = self._calls[number] = _Call(self._unused(delta.id or ""), storable(delta.name or ""))
            call.arguments.append(arguments)
            return piece_line(number, arguments, call.id, call.name)
        call.arguments.append(arguments)
        return piece_line(number, arguments)

    @property
    def calls(self) -> dict[int, ToolCall]:
        """Returns the calls by their number in the reply."""
        return {
            number: ToolCall(call.id, call.name, "".join(call.arguments))
            for number, call in self._calls.items()
        }

    def _unused(self, call_id: str) -> str:
        call_id = storable(call_id)[:ID_CHARS] or "call"
        unused, count = call_id, 2
        while unused in self._known:
            unused, count = f"{call_id}-{count}", count + 1
        self._known.add(unused)
        return unused
