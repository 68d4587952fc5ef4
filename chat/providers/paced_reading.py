"""Reads responses at intervals.

A page gets a frame every 30 to 150 ms. Reading the socket for each token of a fast model would wake the event
loop and run all layers for each of them. So after a response's first output, its socket is read once in each
interval, and everything that has arrived is one piece.

Between two reads the kernel buffers the data of the socket. A full buffer makes the provider wait. A lost
connection is noticed at the next read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import httpx2

# The interval grows with the number of streams, which load the event loop: 0.1 s with 50 of them. With the
# longest interval and the 0.25 s between two commits of the journal, output is stored within 0.5 s of its
# arrival.
LEAST_SECONDS, SECONDS_PER_STREAM, MOST_SECONDS = 0.033, 0.0012, 0.15
# Sockets that are due at about the same time are read in one iteration of the event loop, because waking an
# idle process costs as much as a frame. With many streams there are fewer and longer iterations.
GRID_SECONDS, COARSE_GRID_SECONDS = 0.01, 0.025
FULL_BYTES = 16 * 1024  # after a read of this size, more data waits: the socket is read without a pause

# The responses that this process reads at intervals. State of the module, because all of them load the one
# event loop of the process.
_streams = 0


class PacedReader:
    """Reads the socket of one response. It is a context manager, whose exit ends the pause."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._transport: asyncio.Transport | None = None  # while it is paused
        self._timer: asyncio.TimerHandle | None = None
        self._resume_timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> PacedReader:
        global _streams
        _streams += 1
        return self

    def __exit__(self, *_: object) -> None:
        global _streams
        _streams -= 1
        self.resume()

    def pause(self, size: int) -> None:
        """Stops reading until the interval has passed. `size` is the number of bytes of the last read. Does
        nothing at the end of the response, when the connection may already serve another request."""
        if self._timer is not None:
            return
        if size >= FULL_BYTES:
            self.resume()
            return
        if self._resume_timer is not None:
            self._resume_timer.cancel()
            self._resume_timer = None
        if self._transport is None:
            connection = self._response.connection
            transport = None if connection is None else _socket_of(connection.transport)
            if transport is None or not transport.is_reading():
                return  # closed, or paused because a buffer is full: `_read` would end that pause
            self._transport = transport
        self._transport.pause_reading()  # does nothing if it is paused
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(next_read(loop.time()), self._read)

    def resume(self) -> None:
        """Ends the pause: the event loop reads the socket as soon as data arrives."""
        for timer in (self._timer, self._resume_timer):
            if timer is not None:
                timer.cancel()
        transport, self._transport, self._timer, self._resume_timer = self._transport, None, None, None
        if transport is not None and not transport.is_closing():
            transport.resume_reading()

    def _read(self) -> None:
        """Reads what arrived since the last read, as the event loop would. The socket stays paused, because
        the end and the beginning of a pause cost two system calls and an iteration of the event loop."""
        self._timer = None
        content = self._response.content
        before = content.total_bytes
        # asyncio has no public name for it. Without it, the event loop reads the socket.
        read: Callable[[], None] | None = getattr(self._transport, "_read_ready", None)
        if read is not None and self._transport is not None and not self._transport.is_closing():
            read()
        if content.total_bytes == before or self._response.connection is None:
            self.resume()  # the provider is slow, or the response ended
        else:  # Part of a compressed piece or of a binary frame yields no event, so nothing calls `pause`.
            loop = asyncio.get_running_loop()
            self._resume_timer = loop.call_at(next_read(loop.time()), self.resume)


def _socket_of(transport: asyncio.Transport | None) -> asyncio.Transport | None:
    """Returns the transport that reads the socket, or None if it cannot be found. It is the one below a TLS
    transport of asyncio, which reads on while it is paused, and drops its data when the connection is
    reset."""
    if transport is None or transport.get_extra_info("sslcontext") is None:
        return transport
    return getattr(getattr(transport, "_ssl_protocol", None), "_transport", None)


def streams() -> int:
    """Returns the number of responses that this process reads at intervals."""
    return _streams


def interval_seconds() -> float:
    """Returns the current interval between two reads of a socket, in seconds."""
    return min(MOST_SECONDS, LEAST_SECONDS + SECONDS_PER_STREAM * _streams)


def next_read(now: float) -> float:
    """Returns the time of the next read after one at `now`, on the clock of the event loop."""
    interval = interval_seconds()
    grid = COARSE_GRID_SECONDS if interval > 2 * COARSE_GRID_SECONDS else GRID_SECONDS
    return round((now + interval) / grid) * grid


def chunks_of(response: httpx2.Response) -> tuple[AsyncIterator[bytes], PacedReader | None]:
    """Returns the bytes of an SDK's response, and the reader of its socket. The reader is None if the socket
    cannot be found; each chunk is then read as it arrives."""
    wrapped = _aiohttp_response(response)
    if wrapped is None:
        return response.aiter_bytes(), None
    if response.headers.get("content-encoding", "identity") != "identity":
        return response.aiter_bytes(), PacedReader(wrapped)
    # Without the layers of the SDK's transport, which cost as much as all stages of the pipeline.
    return pieces_of(wrapped), PacedReader(wrapped)


def pieces_of(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Returns the body of a response, in the pieces in which it is read."""
    content = response.content
    return _Pieces(content) if _HAS_PRIVATE_NAMES else content.iter_any().__aiter__()


class _Pieces:
    """Like `StreamReader.iter_any`, but each item is the whole buffer. aiohttp returns one HTTP chunk,
    usually a token, after the other, and after each of them runs the parser and ends the pause of the
    socket."""

    def __init__(self, content: Any) -> None:
        self._content = content

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        content = self._content
        while not content._buffer and not content._eof and content._exception is None:
            await content._wait("readany")
        if not content._buffer:  # The data that arrived before a lost connection is returned first.
            if content._exception is not None:
                raise content._exception
            raise StopAsyncIteration
        if content._buffer_offset:
            return bytes(content.read_nowait())
        data = b"".join(content._buffer)
        content._buffer.clear()
        content._size -= len(data)
        content._cursor += len(data)
        if content._http_chunk_splits:
            content._http_chunk_splits.clear()
        if content._protocol._reading_paused:  # because the buffer was full
            content._protocol.resume_reading()
        return data


# The private names of aiohttp that are used above. Without them, `iter_any` is used.
_HAS_PRIVATE_NAMES = {
    "_buffer",
    "_buffer_offset",
    "_cursor",
    "_eof",
    "_exception",
    "_http_chunk_splits",
    "_protocol",
    "_size",
    "_waiter",
} <= set(aiohttp.StreamReader.__slots__)


def _aiohttp_response(response: httpx2.Response) -> aiohttp.ClientResponse | None:
    """Returns the response of aiohttp inside an SDK's response. There is no public name for it."""
    stream = getattr(response.stream, "_stream", response.stream)
    found = getattr(stream, "_aiohttp_response", None)
    return found if isinstance(found, aiohttp.ClientResponse) else None
