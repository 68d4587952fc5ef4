"""Reads provider events from a response's bytes: server-sent events, JSON, and a decoder for each wire
format.

A decoder does no I/O: it takes bytes and returns events. `read_stream` calls it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import aiohttp
import httpx2
import orjson

from chat.providers import failures
from chat.providers.errors import MalformedStreamError, ProviderError
from chat.providers.events import VISIBLE, Finished, ProviderEvent, ReasoningDelta, TextDelta
from chat.providers.failures import Secrets
from chat.providers.flow import Flow
from chat.providers.halves import HalvesJoiner
from chat.providers.paced_reading import PacedReader, streams
from chat.translatable import translatable as _

logger = logging.getLogger(__name__)

# A picture of 9 MB fits in one event. Nothing else runs while one is read.
MAX_EVENT_BYTES = 12 * 1024 * 1024
# The longest reply fits in one event of text. More than that is read only if it is a picture, whose base64
# has none of these marks: a JSON of as many small values takes longer, and many times its size in memory.
MAX_TEXT_BYTES = 4 * 1024 * 1024
MOST_MARKS = 200_000
_MARKS = (b" ", b",", b"\\")
MAX_ERROR_BYTES = 64 * 1024  # of the body of a failed request; the rest is not read
MAX_PIECE = 32 * 1024  # characters of one text event; a longer text is split, so that no later step is slow
JOINED = 1_000  # characters of one text event of joined pieces, about what costs as much as a piece
SLICE = 100  # events that are parsed without a break, in about 3 ms
LINGER_SECONDS = 3.0

# An idle connection is closed before its server closes it (uvicorn and Node: after 5 s). A request sent at
# that moment would fail, and could not be repeated, because the server may have read it.
LIMITS = httpx2.Limits(max_connections=1000, max_keepalive_connections=100, keepalive_expiry=4.0)

# The exceptions of a lost connection, in any layer.
TRANSPORT_ERRORS = (httpx2.HTTPError, httpx2.StreamError, aiohttp.ClientError, OSError)
# And those of a request with an invalid address or key.
REQUEST_ERRORS = (*TRANSPORT_ERRORS, httpx2.InvalidURL, ValueError)

_NOTHING: tuple[ProviderEvent, ...] = ()
_TOO_LARGE = _(
    "The provider sent too much at once, so the rest of its answer was not read. "
    "Retry, or choose another model."
)


class SSEDecoder:
    """Splits a byte stream, cut at any byte, into the `data` of its server-sent events.

    Follows the HTML standard (section 9.2.6): lines end with LF, CRLF or CR; several data lines are one
    event; comments and unknown fields are skipped. Event names are not kept: each wire format repeats
    them inside its JSON. Raises `MalformedStreamError` for an event larger than `MAX_EVENT_BYTES`.
    """

    def __init__(self) -> None:
        self._tail: list[bytes] = []  # an unfinished line, in pieces: a long line takes linear time
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
        """Returns the last event of a stream without a final blank line, if any."""
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
    """Returns `value` if it is a text, as the wire format requires. Raises `TypeError` if not."""
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} instead of a text")
    return value


class Decoder:
    """The base of the decoders of all wire formats. A subclass implements `events`, and `rest` if it holds
    text back."""

    def __init__(self, secret: Secrets = "") -> None:
        self.secret = secret  # kept out of errors
        self.finished: Finished | None = None  # the end marker arrived; usage may follow
        self.done = False  # nothing more will follow
        self._joiner: HalvesJoiner | None = None  # created at the first half of a character

    def events(self, payload: Any) -> Sequence[ProviderEvent]:
        """Returns the events of one JSON value. Raises `ProviderError` for an error object. May raise
        TypeError, LookupError, AttributeError or ValueError for JSON of an unexpected shape: the stream is
        malformed."""
        raise NotImplementedError

    def decode(self, data: bytes) -> Sequence[ProviderEvent]:
        """Returns the events of one server-sent event's data. Raises only `ProviderError`."""
        if data == b"[DONE]":
            self.done = True
            return _NOTHING
        if len(data) > MAX_TEXT_BYTES and sum(map(data.count, _MARKS)) > MOST_MARKS:
            raise too_large(MAX_TEXT_BYTES)
        try:
            events = self.events(self._read(data))
            return events if self._joiner is None else tuple(self._joiner.join(events))
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
            detail = f"{type(error).__name__}: {error}, in an event of {len(data)} bytes."
            raise MalformedStreamError(detail=failures.redact(detail, self.secret)) from None

    def rest(self) -> Sequence[ProviderEvent]:
        """Returns the events held back until the end of the stream."""
        return _NOTHING

    def close(self) -> Sequence[ProviderEvent]:
        """Returns the remaining events at the end of the stream, with `Finished` if the end marker
        arrived."""
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
            value = json.loads(data)  # accepts half a character, unlike orjson
            self._joiner = self._joiner or HalvesJoiner()
            return value


def read_json(body: bytes) -> Any:
    """Returns the JSON value of a body. Raises `ConfigurationError` for a web page, else ValueError."""
    if body.lstrip()[:1] == b"<":
        raise failures.web_page()
    return orjson.loads(body)


def too_large(most: int = MAX_EVENT_BYTES) -> MalformedStreamError:
    """Returns the error for an event or a body of more than so many bytes."""
    return MalformedStreamError(_TOO_LARGE, detail=f"An event is larger than {most} bytes.")


def in_pieces(events: Iterable[ProviderEvent]) -> Iterator[ProviderEvent]:
    """Returns the events, with long texts split into pieces of `MAX_PIECE` characters."""
    for event in events:
        if isinstance(event, TextDelta | ReasoningDelta) and len(event.text) > MAX_PIECE:
            for begin in range(0, len(event.text), MAX_PIECE):
                yield replace(event, text=event.text[begin : begin + MAX_PIECE])
        else:
            yield event


def joined(events: Sequence[ProviderEvent]) -> Sequence[ProviderEvent]:
    """Returns the events, with neighbouring pieces of text joined up to `JOINED` characters."""
    if len(events) < 2:
        return events
    if all(event.__class__ is TextDelta for event in events):  # as in most reads
        text = "".join([event.text for event in events if isinstance(event, TextDelta)])
        if len(text) <= JOINED:
            return [TextDelta(text)]
    found: list[ProviderEvent] = []
    for event in events:
        match found[-1:], event:
            case [TextDelta(before)], TextDelta(text) if len(before) + len(text) <= JOINED:
                found[-1] = TextDelta(before + text)
            case [ReasoningDelta(before, False)], ReasoningDelta(text, False) if (
                len(before) + len(text) <= JOINED
            ):
                found[-1] = ReasoningDelta(before + text)
            case _:
                found.append(event)
    return found


async def read_body(chunks: AsyncIterable[bytes], error: ProviderError | None = None) -> bytes:
    """Returns a whole body. Raises `error` if it is larger than `MAX_EVENT_BYTES`."""
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > MAX_EVENT_BYTES:
            detail = f"The answer is larger than {MAX_EVENT_BYTES} bytes."
            raise error or MalformedStreamError(detail=detail)
    return bytes(body)


async def read_error(chunks: AsyncIterable[bytes]) -> str:
    """Returns the beginning of the body of a failed request, up to `MAX_ERROR_BYTES`."""
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) >= MAX_ERROR_BYTES:
            break
    return body[:MAX_ERROR_BYTES].decode(errors="replace")


async def limit_error(response: httpx2.Response) -> None:
    """A hook for the SDKs, which read the body of a failed request whole: ends it at `MAX_ERROR_BYTES`."""
    if response.status_code != httpx2.codes.OK:
        response.stream = _Beginning(response.stream)


class _Beginning(httpx2.AsyncByteStream):
    """The first bytes of a stream."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            yield chunk
            size += len(chunk)
            if size >= MAX_ERROR_BYTES:
                return

    async def aclose(self) -> None:
        await self._stream.aclose()


async def read_whole(chunks: AsyncIterator[bytes], decoder: Decoder) -> AsyncGenerator[ProviderEvent]:
    """Yields the events of a body with one JSON value, from servers that do not stream."""
    body = await read_body(chunks, too_large())
    for event in in_pieces((*decoder.decode(body), *decoder.close())):
        yield event


async def read_stream(
    chunks: AsyncIterator[bytes], decoder: Decoder, reader: PacedReader | None = None
) -> AsyncGenerator[ProviderEvent]:
    """Yields the events of a response's body, `Finished` last if the provider sent its end marker. The pieces
    of text in one chunk are joined. After the first output, chunks are read at intervals (`paced_reading`).

    Some servers keep the connection open after the end marker, others reset it. Only usage can follow the
    marker, so the stream is read for `LINGER_SECONDS` more at most, and a lost connection is no error then.
    Raises the exceptions of `chunks`, and `ProviderError`.
    """
    sse, flow = SSEDecoder(), Flow(streams)
    is_first, has_output, is_over = True, False, False
    with reader or nullcontext():
        chunk = b""
        while not decoder.done and not is_over:
            if reader is not None and has_output:
                if decoder.finished is None:
                    reader.pause(len(chunk))
                else:
                    reader.read_on()
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
                    # The end marker may be there without the empty line after it.
                    events, _error = _decoded(decoder, sse.flush())
                    for event in in_pieces(joined(events)):
                        yield event
                if decoder.finished is None:
                    raise
                break
            if is_first and chunk.lstrip()[:1] == b"<":  # no line of an event stream begins with it
                raise failures.web_page()
            is_first = is_first and not chunk.strip()
            datas = sse.feed(chunk)
            for start in range(0, len(datas), SLICE):
                part = datas[start : start + SLICE]
                events, error = _decoded(decoder, part)
                has_output = has_output or any(isinstance(event, VISIBLE) for event in events)
                for event in in_pieces(joined(events)):
                    yield event
                if error is not None:
                    if decoder.finished is None:
                        raise error
                    logger.warning("The provider sent an error after the end of its answer: %s", error.code)
                    is_over = True
                if is_over or decoder.done:
                    break
                await flow.piece(count=len(part))
    if not decoder.done:
        for data in sse.flush():
            try:
                last = decoder.decode(data)
            except MalformedStreamError:
                continue  # half an event: the stream ended here
            for event in in_pieces(last):
                yield event
    for event in in_pieces(decoder.close()):
        yield event


def _decoded(decoder: Decoder, datas: Iterable[bytes]) -> tuple[list[ProviderEvent], ProviderError | None]:
    """Returns the events, and the error that ended them."""
    events: list[ProviderEvent] = []
    try:
        for data in datas:
            events += decoder.decode(data)
    except ProviderError as error:
        return events, error
    return events, None
