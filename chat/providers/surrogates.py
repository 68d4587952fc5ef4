"""Joins UTF-16 surrogates of one character that arrive in two events of a stream, as JSON escapes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace

from chat.parts import Opaque
from chat.providers.events import ProviderEvent, ReasoningDelta, TextDelta, ToolCallDelta


class SurrogateJoiner:
    """Holds a high surrogate back until the next event of the same kind. A lone surrogate becomes U+FFFD,
    because UTF-8 and databases cannot hold it."""

    def __init__(self) -> None:
        self._held: dict[str | int, str] = {}

    def join(self, events: Iterable[ProviderEvent]) -> Iterator[ProviderEvent]:
        for event in events:
            match event:
                case TextDelta(text):
                    if whole := self._whole("text", text):
                        yield TextDelta(whole)
                case ReasoningDelta(text, redacted):
                    if (whole := self._whole("reasoning", text)) or redacted:
                        yield ReasoningDelta(whole, redacted)
                case ToolCallDelta(index, arguments):
                    whole = self._whole(index, arguments)
                    if whole or event.id:
                        yield replace(event, arguments=whole)
                case Opaque(kind, data):
                    yield Opaque(kind, json.loads(_joined(json.dumps(data, ensure_ascii=False))))
                case _:
                    yield event

    def rest(self) -> Iterator[ProviderEvent]:
        """Yields U+FFFD for each surrogate still held back at the end of the stream."""
        for kind in self._held:
            if kind == "text":
                yield TextDelta("\ufffd")
            elif kind == "reasoning":
                yield ReasoningDelta("\ufffd")
            elif isinstance(kind, int):
                yield ToolCallDelta(kind, "\ufffd")
        self._held.clear()

    def _whole(self, kind: str | int, text: str) -> str:
        text = self._held.pop(kind, "") + text
        if "\ud800" <= text[-1:] <= "\udbff":
            text, self._held[kind] = text[:-1], text[-1]
        return _joined(text)


def _joined(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
