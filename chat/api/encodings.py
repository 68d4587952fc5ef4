"""The events of a stream as bytes: server-sent events, lines of JSON, or plain text."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from uuid import UUID

import orjson

from chat.api.events import Event

SSE, NDJSON, TEXT = "text/event-stream", "application/x-ndjson", "text/plain"
MEDIA_TYPES = (SSE, NDJSON, TEXT)

# Prevents proxies from storing, buffering or compressing a stream.
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Content-Encoding": "identity"}


class Positions:
    """Where a client is in each of the replies of its stream. As text: numbers with a dot between them, in
    the order of the replies."""

    def __init__(self, replies: Sequence[UUID], after: Sequence[int]) -> None:
        self._at = dict(zip(replies, after, strict=True))

    def placed(self, event: Event) -> Event:
        """Takes the next event of the stream, and returns it with the positions after it."""
        if event.reply is not None:
            self._at[event.reply] = event.seq
        if len(self._at) > 1:
            return replace(event, after=str(self))
        return event if event.reply is not None else replace(event, seq=sum(self._at.values()))

    def __str__(self) -> str:
        return ".".join(map(str, self._at.values()))


def parsed_positions(text: str, count: int) -> list[int]:
    """Returns one position for each of `count` replies; zeros for an empty text. Raises `ValueError`."""
    if not text:
        return [0] * count
    numbers = text.split(".")
    valid = all(number.isascii() and number.isdigit() and len(number) < 10 for number in numbers)
    if len(numbers) != count or not valid:
        raise ValueError(text)
    return [int(number) for number in numbers]


async def encoded(events: AsyncGenerator[Event], media_type: str, *, skip: int = 0) -> AsyncGenerator[bytes]:
    """Yields the stream's bytes. A stream of server-sent events ends with `[DONE]` if all replies ended.
    Plain text begins after `skip` characters."""
    is_sse, is_text = media_type == SSE, media_type == TEXT
    if is_sse:
        yield b": connected\n\n"  # reveals a buffering proxy at once
    last: Event | None = None
    async with aclosing(events):
        async for event in events:
            last = event
            if is_text:
                text, skip = event.text[skip:], max(0, skip - len(event.text))
                if text:
                    yield text.encode()
            elif not is_sse:
                yield orjson.dumps(event.as_json()) + b"\n"
            elif event.is_heartbeat:
                yield b": heartbeat\n\n"
            else:
                position = event.after or str(event.seq)
                yield b"id: %s\ndata: %s\n\n" % (position.encode(), orjson.dumps(event.as_json()))
    if is_sse and last is not None and last.type == "done":
        yield b"data: [DONE]\n\n"
