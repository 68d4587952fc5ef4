"""From a response's bytes to provider events: server-sent events, JSON, and a decoder for each wire format.

A decoder is pure: bytes in, events out, no input or output of its own. `read_stream` drives one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import aiohttp
import httpx2
import orjson

from chat.providers import failures
from chat.providers.errors import MalformedStreamError
from chat.providers.events import Finished, ProviderEvent, ReasoningDelta, TextDelta
from chat.providers.halves import HalvesJoiner
from chat.translatable import translatable as _

# A whole reply of the greatest length fits in one event, and is read in about 10 ms; nothing else runs then.
MAX_EVENT_BYTES = 4 * 1024 * 1024
MAX_PIECE = 32 * 1024  # characters of one text event; a longer one is cut, so that no later step is long
LINGER_SECONDS = 3.0

# An idle connection is closed before its server closes it (uvicorn and Node: after 5 s). A request that is
# sent at that moment fails, may have been read, and is not sent again.
LIMITS = httpx2.Limits(max_connections=1000, max_keepalive_connections=100, keepalive_expiry=4.0)

# What a broken transport raises, in whichever layer it is noticed.
TRANSPORT_ERRORS = (httpx2.HTTPError, httpx2.StreamError, aiohttp.ClientError, OSError)
# And what making a request of an odd address or key raises.
REQUEST_ERRORS = (*TRANSPORT_ERRORS, httpx2.InvalidURL, ValueError)

_NOTHING: tuple[ProviderEvent, ...] = ()
_TOO_LARGE = _(
    "The provider sent too much at once, so the rest of its answer was not read. "
    "Retry, or choose another model."
)


class SSEDecoder:
    """Cuts a byte stream, split anywhere, into the `data` of its server-sent events.

    As the HTML standard says (section 9.2.6): lines end with LF, CRLF or CR; several data lines are one
    event; comments and unknown fields are skipped. Event names are not kept: each wire format repeats
    them inside its JSON. Raises `MalformedStreamError` for an event larger than `MAX_EVENT_BYTES`.
    """

    def __init__(self) -> None:
        self._tail: list[bytes] = []  # an unfinished line, in pieces: a long one stays linear
        self._data: list[bytes] = []
        self._size = 0
        self._first = True

    def feed(self, chunk: bytes) -> list[bytes]:
        self._size += len(chunk)
        if self._size > MAX_EVENT_BYTES:
            raise too_large()
        if b"\n" not in chunk and b"\r" not in chunk and not (self._tail and self._tail[-1].endswith(b"\r")):
            self._tail.append(chunk)
            return []
        lines = b"".join((*self._tail, chunk)).splitlines(keepends=True)
        # A CR at the very end may be half of a CRLF: wait for the next byte.
        self._tail = [lines.pop()] if not lines[-1].endswith(b"\n") else []
        return self._take(lines)

    def flush(self) -> list[bytes]:
        """The event that a stream without a last blank line left behind, if any."""
        lines, self._tail = [b"".join(self._tail), b"\n"], []
        return self._take(lines)

    def _take(self, lines: Sequence[bytes]) -> list[bytes]:
        events = []
        if self._first and lines:
            self._first = False
            lines = [lines[0].removeprefix(b"\xef\xbb\xbf"), *lines[1:]]
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[5:].rstrip(b"\r\n").removeprefix(b" "))
            elif not line.rstrip(b"\r\n"):
                self._size = 0
                if self._data:
                    events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                    self._data = []
        return events


def string(value: object) -> str:
    """`value`, which wire formats promise to be a text. Raises `TypeError` when it is not."""
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} where a text should be")
    return value


class Decoder:
    """What the decoders of all wire formats share. A subclass gives `events`, and `rest` if it holds back."""

    def __init__(self, secret: str = "") -> None:
        self.secret = secret  # kept out of errors
        self.finished: Finished | None = None  # the end marker came; the stream may still tell usage
        self.done = False  # nothing more is to come
        self._joiner: HalvesJoiner | None = None  # from the first half of a character on

    def events(self, payload: Any) -> Sequence[ProviderEvent]:
        """What one JSON value of the stream means. Raises `ProviderError` for an error object. May raise
        what indexing and calling wrongly shaped JSON raises: that is a malformed stream."""
        raise NotImplementedError

    def decode(self, data: bytes) -> Sequence[ProviderEvent]:
        """The events of one event's data. Raises `ProviderError`, no other."""
        if data == b"[DONE]":
            self.done = True
            return _NOTHING
        try:
            events = self.events(self._read(data))
            return events if self._joiner is None else tuple(self._joiner.join(events))
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
            detail = f"{type(error).__name__}: {error}, in an event of {len(data)} bytes."
            raise MalformedStreamError(detail=failures.redact(detail, self.secret)) from None

    def rest(self) -> Sequence[ProviderEvent]:
        """What was held back when the stream ended."""
        return _NOTHING

    def close(self) -> Sequence[ProviderEvent]:
        """What is left to say when the stream ended, and `Finished`, if the end marker came."""
        rest = self.rest()
        if self._joiner is not None:
            rest = (*self._joiner.join(rest), *self._joiner.rest())
        return (*rest, self.finished) if self.finished else rest

    def _read(self, data: bytes) -> Any:
        try:
            return orjson.loads(data)
        except orjson.JSONDecodeError:
            if rb"\u" not in data:
                raise
            value = json.loads(data)  # takes half a character, which orjson does not
            self._joiner = self._joiner or HalvesJoiner()
            return value


def read_json(body: bytes) -> Any:
    """A body that is one JSON value. Raises `ConfigurationError` for a web page, else ValueError."""
    if body.lstrip()[:1] == b"<":
        raise failures.web_page()
    return orjson.loads(body)


def too_large() -> MalformedStreamError:
    """The error for an event or a body that is not read, because it is larger than `MAX_EVENT_BYTES`."""
    return MalformedStreamError(_TOO_LARGE, detail=f"An event is larger than {MAX_EVENT_BYTES} bytes.")


def in_pieces(events: Iterable[ProviderEvent]) -> Iterator[ProviderEvent]:
    """The events, with long texts cut into pieces of `MAX_PIECE` characters."""
    for event in events:
        if isinstance(event, TextDelta | ReasoningDelta) and len(event.text) > MAX_PIECE:
            for begin in range(0, len(event.text), MAX_PIECE):
                yield replace(event, text=event.text[begin : begin + MAX_PIECE])
        else:
            yield event


async def read_whole(chunks: AsyncIterator[bytes], decoder: Decoder) -> AsyncGenerator[ProviderEvent]:
    """The events of a body that is one JSON value, from servers that do not stream."""
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > MAX_EVENT_BYTES:
            raise too_large()
    for event in in_pieces((*decoder.decode(bytes(body)), *decoder.close())):
        yield event


async def read_stream(chunks: AsyncIterator[bytes], decoder: Decoder) -> AsyncGenerator[ProviderEvent]:
    """The events of a response's body, `Finished` last if the provider sent its end marker.

    Some servers keep the connection open after the end marker, others cut it: after the marker nothing
    but usage can come, so it is waited for `LINGER_SECONDS` at most, and a broken transport is no error.
    Raises what `chunks` raises, and `ProviderError`.
    """
    sse = SSEDecoder()
    is_first = True
    while not decoder.done:
        try:
            if decoder.finished is None:
                chunk = await anext(chunks)
            else:
                async with asyncio.timeout(LINGER_SECONDS):
                    chunk = await anext(chunks)
        except StopAsyncIteration:
            break
        except TRANSPORT_ERRORS:
            if decoder.finished is None:
                raise
            break
        if is_first and chunk.lstrip()[:1] == b"<":  # no line of an event stream begins so
            raise failures.web_page()
        is_first = is_first and not chunk.strip()
        for data in sse.feed(chunk):
            for event in in_pieces(decoder.decode(data)):
                yield event
    else:
        for event in in_pieces(decoder.close()):
            yield event
        return
    for data in sse.flush():
        try:
            events = decoder.decode(data)
        except MalformedStreamError:
            continue  # half an event: the stream was cut here
        for event in in_pieces(events):
            yield event
    for event in in_pieces(decoder.close()):
        yield event
