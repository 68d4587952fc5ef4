"""Changes text while it streams, independent of the chunk borders."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import aclosing
from typing import Protocol

from chat.pipeline.policy import Events, StreamPolicy, Transformer
from chat.providers.errors import ProviderError
from chat.providers.events import Notice, ProviderEvent, ReasoningDelta, Reset, TextDelta


def transform(events: Events, policy: StreamPolicy) -> Events:
    """Returns `events` after each of the policy's transformers, in their order."""
    for transformer in policy.transformers:
        events = transformer(events)
    return events


class TextFilter(Protocol):
    """An incremental function from text to text. It may hold back a bounded tail."""

    def feed(self, text: str) -> str: ...

    def flush(self) -> str: ...


def text_transformer(make_filter: Callable[[], TextFilter]) -> Transformer:
    """Returns a transformer with one filter for the answer and one for the reasoning.

    Text that a filter holds back is released before an event of another kind, at the end, and before an
    error. It is lost if the reader stops the stream.
    """

    async def transformed(events: Events) -> Events:
        lane = _Lane(make_filter)
        async with aclosing(events):
            try:
                async for event in events:
                    for changed in lane.feed(event):
                        yield changed
            except ProviderError:
                for changed in lane.flush():
                    yield changed
                raise
            for changed in lane.flush():
                yield changed

    return transformed


class RegexRedaction:
    """Replaces what matches `pattern`, as `pattern.sub(replacement, whole_text)` would.

    A match is decided when `longest` characters after its start are known, so that many are held back. A
    pattern that needs more than `longest` characters is not found if a chunk ends inside the match. A
    match that may become longer (`sk-\\w+`) is held back until it ends, up to four times `longest`.
    """

    def __init__(self, pattern: str | re.Pattern[str], replacement: str = "█", *, longest: int = 64) -> None:
        self._pattern = re.compile(pattern)
        self._replacement = replacement
        self._longest = longest
        self._buffer = ""
        self._start = 0  # text before it is decided, and stays for look-behind and word borders

    def feed(self, text: str) -> str:
        self._buffer += text
        return self._decide(len(self._buffer) - self._longest, final=False)

    def flush(self) -> str:
        out = self._decide(len(self._buffer), final=True)
        self._buffer, self._start = "", 0
        return out

    def _decide(self, limit: int, *, final: bool) -> str:
        """Decides all matches that start before `limit`."""
        if limit <= self._start:
            return ""
        out = []
        for match in self._pattern.finditer(self._buffer, self._start):
            start, end = match.span()
            if start >= limit or start == end:
                continue
            if not final and end == len(self._buffer) and end - start < 4 * self._longest:
                limit = start  # it may become longer
                break
            out.append(self._buffer[self._start : start])
            out.append(self._replacement)
            self._start = end
        if self._start < limit:
            out.append(self._buffer[self._start : limit])
            self._start = limit
        surplus = self._start - self._longest
        if surplus > 0:
            self._buffer, self._start = self._buffer[surplus:], self._longest
        return "".join(out)


class _Lane:
    """Keeps the order of events while text is held back."""

    def __init__(self, make_filter: Callable[[], TextFilter]) -> None:
        self._make_filter = make_filter
        self._filter = make_filter()
        self._kind: type[TextDelta] | type[ReasoningDelta] = TextDelta

    def feed(self, event: ProviderEvent) -> list[ProviderEvent]:
        if isinstance(event, Notice):
            return [event]  # may overtake text, because it describes the present
        if isinstance(event, Reset):
            self._filter = self._make_filter()
            return [event]
        if isinstance(event, TextDelta) or (isinstance(event, ReasoningDelta) and not event.redacted):
            before = [] if isinstance(event, self._kind) else self.flush()
            self._kind = type(event)
            text = self._filter.feed(event.text)
            return [*before, self._kind(text)] if text else before
        return [*self.flush(), event]

    def flush(self) -> list[ProviderEvent]:
        text, self._filter = self._filter.flush(), self._make_filter()
        return [self._kind(text)] if text else []
