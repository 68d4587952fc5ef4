"""What an API makes of an answer: the interface of its module, and what they share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from chat.api.gateway.failures import FailureError
from chat.parts import Opaque, ToolCall
from chat.providers.base import ChatRequest
from chat.providers.events import (
    Finished,
    Outcome,
    ProviderEvent,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of a program. `details` is for the API's own module."""

    request: ChatRequest
    stream: bool
    details: dict[str, Any] = field(default_factory=dict)


class Stream(Protocol):
    """The events of one answer in the form of an API, as bytes of server-sent events."""

    def begin(self) -> bytes:
        """Returns what precedes the first event."""
        ...

    def feed(self, event: ProviderEvent) -> bytes:
        """Returns what this event becomes, often nothing."""
        ...

    def end(self, answer: Whole) -> bytes:
        """Returns the end of a finished answer."""
        ...

    def fail(self, failure: FailureError) -> bytes:
        """Returns the error that ends an answer in its middle."""
        ...


@dataclass
class Whole:
    """An answer, collected from its events."""

    reasoning: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    opaque: list[Opaque] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    finished: Finished = field(default_factory=lambda: Finished(Outcome.COMPLETE))
    _calls: dict[int, tuple[list[str], list[str], list[str]]] = field(default_factory=dict)

    def feed(self, event: ProviderEvent) -> None:
        match event:
            case TextDelta(text):
                self.texts.append(text)
            case ReasoningDelta(text):
                self.reasoning.append(text)
            case ToolCallDelta(index, arguments, call_id, name):
                ids, names, pieces = self._calls.setdefault(index, ([], [], []))
                ids.append(call_id or "")
                names.append(name or "")
                pieces.append(arguments)
            case Opaque():
                self.opaque.append(event)
            case Finished():
                self.finished = event

    @property
    def text(self) -> str:
        return "".join(self.texts)

    @property
    def calls(self) -> list[ToolCall]:
        return [ToolCall("".join(i), "".join(n), "".join(a) or "{}") for i, n, a in self._calls.values()]


def sse(data: object, event: str = "") -> bytes:
    """Returns one server-sent event with `data` as JSON."""
    name = f"event: {event}\n".encode() if event else b""
    return name + b"data: " + orjson.dumps(data) + b"\n\n"
