"""Reads provider events from the bytes of a response: server-sent events or JSON.

`Decoder` is the base of the decoders of all wire formats. A decoder does no I/O: it takes bytes and returns
events. `read_stream` calls it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import Any

import orjson

from chat.providers import failures
from chat.providers.connection import MAX_ERROR_BYTES, TRANSPORT_ERRORS
from chat.providers.errors import MalformedStreamError, ProviderError
from chat.providers.events import VISIBLE, Finished, ProviderEvent, ReasoningDelta, TextDelta
from chat.providers.paced_reading import PacedReader, streams
from chat.providers.surrogates import SurrogateJoiner
from chat.providers.throttle import Throttle
from chat.translatable import translatable as _

logger = logging.getLogger(__name__)

# An event may contain a picture of 9 MB. Parsing an event blocks the event loop.
MAX_EVENT_BYTES = 12 * 1024 * 1024
# The longest reply fits in one event of this size. A larger event is parsed only if it is a picture, whose
# base64 contains none of these characters. JSON of this size with many small values would take longer, and
# many times its size in memory.
MAX_TEXT_BYTES = 4 * 1024 * 1024
_NOT_IN_BASE64 = (b" ", b",", b"\\")
MAX_NOT_IN_BASE64 = 200_000
MAX_PIECE = 32 * 1024  # characters of one text event; a longer text is split, so that no later stage is slow
MAX_JOINED = 1_000  # characters of one text event of joined pieces; they cost as much as a piece
SLICE = 100  # events that are parsed without a break, in about 3 ms
LINGER_SECONDS = 3.0  # that a stream is read after its end marker

_NOTHING: tuple[ProviderEvent, ...] = ()
_TOO_LARGE = _(
    "The provider sent too much at once, so the rest of the reply was not read. Retry, or "
    "choose another model."
)


class SSEDecoder:
    """Splits a byte stream, cut at any byte, into the `data` of its server-sent events.

    Follows the HTML standard (section 9.2.6): lines end with LF, CRLF or CR; several data lines are one
    event; comments and unknown fields are skipped. Event names are skipped too, because each wire format
    repeats them in its JSON. Raises `MalformedStreamError` for an event larger than `MAX_EVENT_BYTES`.
    """

    def __init__(self) -> None:
        self._tail: list[bytes] = []  # an unfinished line, in pieces, so that a long line takes linear time
        self._data: list[bytes] = []
        self._size = 0
        self._first = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """Returns the data of the events that end in this chunk."""
        self._size += len(chunk)
        if self._size > MAX_EVENT_BYTES:
            raise too_large_error()
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
    """Returns `value` if it is a str, as the wire format requires. Raises `TypeError` otherwise."""
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} instead of a text")
    return value


class Decoder:
    """The base of the decoders of all wire formats. A subclass implements `events`, and `rest` if it holds
    events back."""

    def __init__(self, secrets: tuple[str, ...] = ()) -> None:
        self.secrets = secrets  # that no error may contain
        self.finished: Finished | None = None  # set by the end marker; usage may follow
        self.done = False  # nothing follows
        self._joiner: SurrogateJoiner | None = None  # created at the first lone surrogate

    def events(self, payload: Any) -> Sequence[ProviderEvent]:
        """Returns the events of one JSON value. Raises `ProviderError` for an error object, and TypeError,
        LookupError, AttributeError or ValueError for JSON of an unexpected shape."""
        raise NotImplementedError

    def decode(self, data: bytes) -> Sequence[ProviderEvent]:
        """Returns the events in the data of one server-sent event. Raises only `ProviderError`."""
        if data == b"[DONE]":
            self.done = True
            return _NOTHING
        if len(data) > MAX_TEXT_BYTES and sum(map(data.count, _NOT_IN_BASE64)) > MAX_NOT_IN_BASE64:
            raise too_large_error(MAX_TEXT_BYTES)
        try:
            events = self.events(self._read(data))
            return events if self._joiner is None else tuple(self._joiner.join(events))
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
            detail = f"{type(error).__name__}: {error}, in an event of {len(data)} bytes."
            raise MalformedStreamError(detail=failures.redact(detail, self.secrets)) from None

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
            value = json.loads(data)  # accepts lone surrogates, unlike orjson
            self._joiner = self._joiner or SurrogateJoiner()
            return value


def read_json(body: bytes) -> Any:
    """Returns the JSON value of a body. Raises `ConfigurationError` for a web page, and ValueError for
    anything else that is not JSON."""
    if body.lstrip()[:1] == b"<":
        raise failures.web_page_error()
    return orjson.loads(body)


def too_large_error(limit: int = MAX_EVENT_BYTES) -> MalformedStreamError:
    """Returns the error for an event or a body larger than `limit` bytes."""
    return MalformedStreamError(_TOO_LARGE, detail=f"An event is larger than {limit} bytes.")


def split_texts(events: Iterable[ProviderEvent]) -> Iterator[ProviderEvent]:
    """Yields the events, with long texts split into pieces of `MAX_PIECE` characters."""
    for event in events:
        if isinstance(event, TextDelta | ReasoningDelta) and len(event.text) > MAX_PIECE:
            for begin in range(0, len(event.text), MAX_PIECE):
                yield replace(event, text=event.text[begin : begin + MAX_PIECE])
        else:
            yield event


def join_texts(events: Sequence[ProviderEvent]) -> Sequence[ProviderEvent]:
    """Returns the events, with neighbouring pieces of text joined up to `MAX_JOINED` characters."""
    if len(events) < 2:
        return events
    if all(event.__class__ is TextDelta for event in events):  # as in most reads
        text = "".join([event.text for event in events if isinstance(event, TextDelta)])
        if len(text) <= MAX_JOINED:
            return [TextDelta(text)]
    found: list[ProviderEvent] = []
    for event in events:
        match found[-1:], event:
            case [TextDelta(before)], TextDelta(text) if len(before) + len(text) <= MAX_JOINED:
                found[-1] = TextDelta(before + text)
            case [ReasoningDelta(before, False)], ReasoningDelta(text, False) if (
                len(before) + len(text) <= MAX_JOINED
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


async def read_whole(chunks: AsyncIterator[bytes], decoder: Decoder) -> AsyncGenerator[ProviderEvent]:
    """Yields the events of a body with one JSON value, from servers that do not stream."""
    body = await read_body(chunks, too_large_error())
    for event in split_texts((*decoder.decode(body), *decoder.close())):
        yield event


async def read_stream(
    chunks: AsyncIterator[bytes], decoder: Decoder, reader: PacedReader | None = None
) -> AsyncGenerator[ProviderEvent]:
    """Yields the events of a response's body, `Finished` last if the provider sent its end marker. The pieces
    of text in one chunk are joined. After the first output, chunks are read at intervals (`paced_reading`).

    Some servers keep the connection open after the end marker, others reset it. Only usage can follow the
    marker, so the stream is read for at most `LINGER_SECONDS` more, and a lost connection is not an error.
    Raises the exceptions of `chunks`, and `ProviderError`.
    """
    sse, throttle = SSEDecoder(), Throttle(streams)
    is_first, has_output, is_over = True, False, False
    with reader or nullcontext():
        chunk = b""
        while not decoder.done and not is_over:
            if reader is not None and has_output:
                if decoder.finished is None:
                    reader.pause(len(chunk))
                else:
                    reader.resume()
            try:
                chunk = await _next_chunk(chunks, decoder)
            except StopAsyncIteration:
                break
            except TRANSPORT_ERRORS:
                if decoder.finished is None:
                    # The end marker may have arrived without the empty line after it.
                    events, _error = _decode_all(decoder, sse.flush())
                    for event in split_texts(join_texts(events)):
                        yield event
                if decoder.finished is None:
                    raise
                break
            if is_first and chunk.lstrip()[:1] == b"<":  # no event stream begins with it
                raise failures.web_page_error()
            is_first = is_first and not chunk.strip()
            payloads = sse.feed(chunk)
            for start in range(0, len(payloads), SLICE):
                part = payloads[start : start + SLICE]
                events, error = _decode_all(decoder, part)
                has_output = has_output or any(isinstance(event, VISIBLE) for event in events)
                for event in split_texts(join_texts(events)):
                    yield event
                if error is not None:
                    if decoder.finished is None:
                        raise error
                    logger.warning("The provider sent an error after the end of its answer: %s", error.code)
                    is_over = True
                if is_over or decoder.done:
                    break
                await throttle.consume(count=len(part))
    for event in split_texts(_last_events(sse, decoder)):
        yield event


async def _next_chunk(chunks: AsyncIterator[bytes], decoder: Decoder) -> bytes:
    """Returns the next chunk. Raises TimeoutError if none arrives in time after the end marker."""
    if decoder.finished is None:
        return await anext(chunks)
    async with asyncio.timeout(LINGER_SECONDS):
        return await anext(chunks)


def _last_events(sse: SSEDecoder, decoder: Decoder) -> Iterator[ProviderEvent]:
    """Yields the events of an unfinished server-sent event, and those that the decoder held back."""
    if not decoder.done:
        for data in sse.flush():
            with suppress(MalformedStreamError):  # the stream ended within an event
                yield from decoder.decode(data)
    yield from decoder.close()


def _decode_all(
    decoder: Decoder, payloads: Iterable[bytes]
) -> tuple[list[ProviderEvent], ProviderError | None]:
    """Returns the events before the first error, and this error."""
    events: list[ProviderEvent] = []
    try:
        for data in payloads:
            events += decoder.decode(data)
    except ProviderError as error:
        return events, error
    return events, None
