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
class ParsedRequest:
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

    def end(self, answer: CollectedAnswer) -> bytes:
        """Returns the end of a finished answer."""
        ...

    def fail(self, failure: FailureError) -> bytes:
        """Returns the error that ends an answer in its middle."""
        ...


@dataclass
class CollectedAnswer:
    """An answer, collected from its events."""

    events: list[ProviderEvent] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    finished: Finished = field(default_factory=lambda: Finished(Outcome.COMPLETE))

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))

    @property
    def reasoning(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, ReasoningDelta))

    @property
    def opaque(self) -> list[Opaque]:
        return [event for event in self.events if isinstance(event, Opaque)]

    @property
    def calls(self) -> list[ToolCall]:
        calls: dict[int, tuple[str, str, list[str]]] = {}
        for event in self.events:
            if isinstance(event, ToolCallDelta):
                _id, _name, arguments = calls.setdefault(event.index, (event.id or "", event.name or "", []))
                arguments.append(event.arguments)
        return [
            ToolCall(call_id, name, "".join(arguments) or "{}") for call_id, name, arguments in calls.values()
        ]


def sse(data: object, event: str = "") -> bytes:
    """Returns one server-sent event with `data` as JSON."""
    name = f"event: {event}\n".encode() if event else b""
    return name + b"data: " + orjson.dumps(data) + b"\n\n"
