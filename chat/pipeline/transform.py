r"""Changes text while it streams, wherever the provider cuts it.

`CHAT_TRANSFORMERS` names transformers by dotted paths. A module such as `filters.py` in the Python path can
define one with `text_transformer`:

    from chat.pipeline.transform import RegexRedaction, text_transformer

    card_numbers = text_transformer(lambda: RegexRedaction(r"\b(?:\d[ -]?){12,15}\d\b", "[card number]"))

The setting is then `CHAT_TRANSFORMERS=filters.card_numbers`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import aclosing
from typing import Protocol

from chat.pipeline.policy import Events, StreamPolicy, Transformer
from chat.providers.errors import ProviderError
from chat.providers.events import Notice, ProviderEvent, ReasoningDelta, Reset, TextDelta


def transform(events: Events, policy: StreamPolicy) -> Events:
    """Returns `events` through the policy's transformers, in their order."""
    for transformer in policy.transformers:
        events = transformer(events)
    return events


class TextFilter(Protocol):
    """Changes text piece by piece. It may hold back a bounded part of the text."""

    def feed(self, text: str) -> str:
        """Returns the changed text that is final after this piece."""
        ...

    def flush(self) -> str:
        """Returns the changed text that was held back."""
        ...


def text_transformer(make_filter: Callable[[], TextFilter]) -> Transformer:
    """Returns a transformer with one filter for the answer and one for the reasoning.

    Text that a filter holds back is released before an event of another kind, at the end, and before an
    error. It is lost if the reader stops the stream.
    """

    async def transformed(events: Events) -> Events:
        filtered = _FilteredEvents(make_filter)
        async with aclosing(events):
            try:
                async for event in events:
                    for changed in filtered.feed(event):
                        yield changed
            except ProviderError:
                for changed in filtered.flush():
                    yield changed
                raise
            for changed in filtered.flush():
                yield changed

    return transformed


class RegexRedaction:
    """Replaces what matches `pattern`, as `pattern.sub(replacement, whole_text)` would.

    Holds `longest` characters back, because a match may begin in them. A match of more than `longest`
    characters is not found if a piece ends inside it. A match that may become longer (`sk-\\w+`) is held back
    until it ends, up to four times `longest`.
    """

    def __init__(self, pattern: str | re.Pattern[str], replacement: str = "█", *, longest: int = 64) -> None:
        self._pattern = re.compile(pattern)
        self._replacement = replacement
        self._longest = longest
        self._buffer = ""
        self._start = 0  # the text before it is returned, and stays for look-behind and word borders

    def feed(self, text: str) -> str:
        self._buffer += text
        return self._replace(len(self._buffer) - self._longest, final=False)

    def flush(self) -> str:
        out = self._replace(len(self._buffer), final=True)
        self._buffer, self._start = "", 0
        return out

    def _replace(self, limit: int, *, final: bool) -> str:
        """Returns the text up to `limit`, with all matches that start before it replaced."""
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


class _FilteredEvents:
    """Keeps the order of events while text is held back."""

    def __init__(self, make_filter: Callable[[], TextFilter]) -> None:
        self._make_filter = make_filter
        self._filter = make_filter()
        self._kind: type[TextDelta] | type[ReasoningDelta] = TextDelta

    def feed(self, event: ProviderEvent) -> list[ProviderEvent]:
        if isinstance(event, Notice):
            return [event]  # need not wait for text that is held back
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
