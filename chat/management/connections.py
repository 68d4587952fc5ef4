"""Limits for Daphne's connections in both directions. Without them Daphne buffers 210 MB for a client that
reads nothing and 200 MB from one that sends too fast (measured)."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from functools import cache, partial
from http import HTTPStatus
from io import BytesIO
from typing import IO, Any
from weakref import WeakSet

import autobahn.twisted.websocket
import autobahn.websocket.protocol
import daphne.http_protocol
from autobahn.exception import Disconnected
from autobahn.websocket.protocol import WebSocketServerProtocol
from autobahn.websocket.types import ConnectionDeny
from daphne.ws_protocol import WebSocketProtocol
from django.db import DatabaseError
from twisted.internet import interfaces
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from zope.interface import implementer

from chat.management.handshakes import (
    RETRY_AFTER,
    Handshakes,
    bearer_in,
    client_network,
    is_handshake,
    session_key_in,
)
from chat.management.upgrade import Handshake, plain_handshake, upgrade

# Autobahn formats the values of its debug lines in colours, also if nobody reads them: a dozen for each
# connection, and three for each received frame.
for _module in (autobahn.twisted.websocket, autobahn.websocket.protocol):
    vars(_module).update(hltype=lambda _: "", hlval=lambda _: "")

WAITING_FRAMES = 8  # frames that a client may be ahead of the server
POLL_SECONDS = 0.1
STALLED_SECONDS = 60.0  # limit for a response to a client that reads nothing
UNACKNOWLEDGED_MS = 45_000
HEADERS_SECONDS = 20.0  # for a request's headers, from its first byte (or the start of the connection) on
BODY_SECONDS = 60.0  # for its body, after that
MOST_BODY_BYTES = 8 * 1024 * 1024
# A program sends a file in one request. The server reads it after the check of the token, and few at once.
UPLOADS = (b"/api/v1/files", b"/api/v1/imports")
UPLOAD_BYTES = 100 * 1024 * 1024
UPLOADS_AT_ONCE = 8
UPLOAD_SECONDS = 300.0
_TOO_LARGE = (
    b"HTTP/1.1 413 Content Too Large\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
    b"Content-Length: 27\r\n\r\nThis request is too large.\n"
)


def _problem(status: HTTPStatus, code: str, detail: str, header: str) -> bytes:
    """Returns the refusal of an upload in the form of the API."""
    problem = {"type": "about:blank", "title": status.phrase, "status": status.value}
    body = json.dumps({**problem, "detail": detail, "code": code}).encode()
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        header,
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


_NO_TOKEN = _problem(
    HTTPStatus.UNAUTHORIZED,
    "unauthenticated",
    "This needs a valid API token: Authorization: Bearer sty_...",
    'WWW-Authenticate: Bearer realm="Steady"',
)
_NO_PLACE = _problem(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "unavailable",
    "The server cannot take a large upload at the moment. Try again in a moment.",
    "Retry-After: 5",
)
_TOO_MANY = b"You have too many pages open. Close some, or wait a moment.\n"


class Request(daphne.http_protocol.WebRequest):  # type: ignore[misc]
    """Refuses a request as soon as it is known to be too large. Daphne writes a body of any size to the disk
    before the application receives its first byte, and then reads all of it into memory. The body of an
    upload stays on the disk, as `file`."""

    received = 0
    most_bytes = MOST_BODY_BYTES
    content: IO[bytes]
    file: IO[bytes] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Twisted would parse forms of any size on the event loop, before Django does.
        super().__init__(*args, **kwargs, parsePOSTFormSubmission=False)

    def gotLength(self, length: int | None) -> None:  # noqa: N802 - Twisted's name
        super().gotLength(length)
        self.channel.expect(BODY_SECONDS)
        if length is None or length <= MOST_BODY_BYTES:
            return
        if length <= UPLOAD_BYTES and self.channel.path.partition(b"?")[0] in UPLOADS:
            self.most_bytes = UPLOAD_BYTES
            self.channel.check_upload(self)
        else:
            self.channel.refuse()

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        self.received += len(data)
        if self.received > self.most_bytes:
            self.channel.refuse()
        else:
            super().handleContentChunk(data)

    def connectionLost(self, reason: Any) -> None:  # noqa: N802 - Twisted's name
        self.channel.factory.uploads.discard(self)
        super().connectionLost(reason)

    def process(self) -> Any:
        self.channel.expect(None)
        self.channel.factory.uploads.discard(self)
        if self.uri.partition(b"?")[0] in UPLOADS:
            self.file, self.content = self.content, BytesIO()
        if not is_handshake(self.requestHeaders):
            return super().process()
        handshakes = self.channel.factory.handshakes
        network = client_network(self.requestHeaders, str(getattr(self.client, "host", "")))
        session_key = session_key_in(self.requestHeaders)
        if not handshakes.allows(network, session_key):
            return handshakes.hold(self._refuse_handshake)
        # Counted while it waits for its turn, too.
        return handshakes.enqueue(partial(self._start_handshake, handshakes.begin(network)), session_key)

    def _start_handshake(self, end: Callable[[], None]) -> None:
        if self._disconnected:
            return end()
        transport = self.transport
        if handshake := plain_handshake(self):
            try:
                upgrade(self, handshake)
            except Exception:
                end()
                transport.abortConnection()
                raise
        else:
            super().process()
        protocol = transport.protocol
        if isinstance(protocol, Socket) and protocol.state == protocol.STATE_CONNECTING:
            protocol.end_handshake = end
            return None
        return end()

    def _refuse_handshake(self) -> None:
        headers = {"Content-Type": "text/plain; charset=utf-8", "Retry-After": str(RETRY_AFTER)}
        raw = [(name.encode(), value.encode()) for name, value in {**headers, "Connection": "close"}.items()]
        self.handle_reply({"type": "http.response.start", "status": 429, "headers": raw})
        self.handle_reply({"type": "http.response.body", "body": _TOO_MANY})


class Channel(HTTPChannel):  # type: ignore[misc]
    """A connection whose request must arrive in time. Twisted's own time-out starts again with each byte: one
    byte a minute holds a connection for days."""

    requestFactory = Request  # noqa: N815 - Twisted's name
    _due: asyncio.TimerHandle | None = None
    _check: asyncio.Task[None] | None = None
    _refused = False

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        # `expect` limits the time of the first request. Twisted's own timer starts after its response.
        self._savedTimeOut, self.timeOut = self.factory.timeOut, None
        super().connectionMade()
        self.factory.channels.add(self)
        self.expect(HEADERS_SECONDS)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        if self._refused:
            return
        if self._due is None and not self.requests:  # the next request of this connection
            self.expect(HEADERS_SECONDS)
        super().dataReceived(data)

    def connectionLost(self, reason: Any) -> None:  # noqa: N802 - Twisted's name
        self.expect(None)
        super().connectionLost(reason)

    @property
    def path(self) -> bytes:
        """Returns the address of the request whose headers have arrived."""
        return bytes(self._path)

    def expect(self, seconds: float | None) -> None:
        """Ends the connection if the rest of the request does not arrive within `seconds`. None: it has
        arrived."""
        if self._due is not None:
            self._due.cancel()
        wait = asyncio.get_running_loop().call_later
        self._due = None if seconds is None else wait(seconds, self.transport.abortConnection)

    def close_if_idle(self) -> None:
        """Closes the connection if no request is on its way. A proxy would send its next request on it, and a
        process that ends would not answer."""
        if getattr(self.transport, "protocol", None) is not self:  # lost, or a WebSocket by now
            return
        if not self.requests:
            self.transport.doRead()
        if not self.requests and self._due is None:
            self.loseConnection()

    def check_upload(self, request: Request) -> None:
        """Reads nothing of a large upload until its token is known to be valid: strangers get no place."""
        self.transport.pauseProducing()
        self._check = asyncio.get_running_loop().create_task(self._check_upload(request))

    async def _check_upload(self, request: Request) -> None:
        try:
            is_valid = await self.factory.server.may_upload(bearer_in(request.requestHeaders))
        except DatabaseError:
            refusal: bytes | None = _NO_PLACE
        else:
            has_place = len(self.factory.uploads) < UPLOADS_AT_ONCE
            refusal = _NO_TOKEN if not is_valid else None if has_place else _NO_PLACE
        if request._disconnected:
            return
        if refusal is not None:
            self.refuse(refusal)
            return
        self.factory.uploads.add(request)
        self.expect(UPLOAD_SECONDS)
        self.transport.resumeProducing()

    def refuse(self, response: bytes = _TOO_LARGE) -> None:
        """Sends the response, and reads no more of the request."""
        if not self._refused:
            self._refused = True
            self.transport.write(response)
            self.loseConnection()


class HTTPFactory(daphne.http_protocol.HTTPFactory):  # type: ignore[misc]
    def __init__(self, server: Any) -> None:
        super().__init__(server)
        self.handshakes = Handshakes()
        self.uploads: set[Request] = set()  # large ones, whose bodies arrive
        self.channels: WeakSet[Channel] = WeakSet()

    def close_idle(self) -> None:
        """Closes the connections that proxies keep for their next requests."""
        for channel in list(self.channels):
            channel.close_if_idle()

    def buildProtocol(self, addr: Any) -> Channel:  # noqa: N802 - Twisted's name
        channel = Channel()
        channel.factory, channel.timeOut = self, self.timeOut
        return channel

    def log(self, request: Any) -> None:
        """Does nothing: Twisted would format a line of an access log that nobody reads, a tenth of the time
        of a refused handshake."""


class Socket(WebSocketProtocol):  # type: ignore[misc]
    """Stops reading from a client that is ahead of the server, so that its TCP connection waits."""

    end_handshake: Callable[[], None] = staticmethod(lambda: None)
    CONFIG_ATTRS = ()  # Autobahn formats all options for a log line that nobody reads (1 ms per connection)

    def _connectionMade(self) -> None:  # noqa: N802 - Autobahn's name
        self.__dict__.update(_options_of(self.factory))
        super()._connectionMade()

    def begin(self, handshake: Handshake) -> None:
        """Asks the application, as Autobahn does after it has parsed and checked the request."""
        self._raw_query_string = handshake.query_string
        self._wskey, self.websocket_version = handshake.key, 13
        self.websocket_protocols: list[str] = []
        self.websocket_extensions: list[Any] = []
        try:
            asked = self.onConnect(handshake)
        except Exception as error:  # noqa: BLE001 - Daphne has logged it
            self._refuse(Failure(error))
        else:
            asked.addCallbacks(self.succeedHandshake, self._refuse)

    def _refuse(self, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, ConnectionDeny):
            self.failHandshake(error.reason, error.code)
        else:
            self.failHandshake("Internal server error", ConnectionDeny.INTERNAL_SERVER_ERROR)

    def onOpen(self) -> None:  # noqa: N802 - Autobahn's name
        self.end_handshake()
        super().onOpen()

    def connectionLost(self, reason: Any) -> None:  # noqa: N802 - Twisted's name
        self.end_handshake()
        super().connectionLost(reason)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:  # noqa: N802, N803 - Autobahn's names
        super().onMessage(payload, isBinary)
        if self.application_queue.qsize() >= WAITING_FRAMES:
            self.transport.pauseProducing()
            asyncio.get_running_loop().call_later(POLL_SECONDS, self._resume_reading)

    def _resume_reading(self) -> None:
        if self.application_queue.qsize() < WAITING_FRAMES:
            self.transport.resumeProducing()
        else:
            asyncio.get_running_loop().call_later(POLL_SECONDS, self._resume_reading)

    def serverSend(self, content: str | bytes, binary: bool = False) -> None:  # noqa: N802 - Daphne's name
        """Writes one frame of any length (RFC 6455 5.2). Autobahn takes five times as long, and applies the
        limit for received messages to sent ones, so a long reply would break its socket on every connect."""
        if self.state != self.STATE_OPEN:
            raise Disconnected
        payload = content.encode() if isinstance(content, str) else content
        self.transport.write(_frame_head(len(payload), binary=binary) + payload)

    def serverClose(self, code: int | None = None) -> None:  # noqa: N802 - Daphne's name
        """Autobahn allows closing with 1000 and 3000-4999 only and raises for other codes, although servers
        may send 1011 ("internal error") and 1012."""
        self.sendCloseFrame(code=1000 if code is None else code)


@cache
def _options_of(factory: Any) -> dict[str, Any]:
    """Returns the options that Autobahn copies to each connection one by one."""
    return {name: getattr(factory, name) for name in WebSocketServerProtocol.CONFIG_ATTRS}


def _frame_head(length: int, *, binary: bool) -> bytes:
    """Returns the head of a final, unmasked and uncompressed frame with `length` bytes."""
    kind = b"\x82" if binary else b"\x81"
    if length < 126:
        return kind + length.to_bytes()
    if length < 2**16:
        return kind + b"\x7e" + length.to_bytes(2)
    return kind + b"\x7f" + length.to_bytes(8)


@implementer(interfaces.IPushProducer)
class BackpressureProducer:
    """Closed while more than a transport's buffer (64 KiB) waits for the client of a streamed response."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self._open = asyncio.Event()
        self._open.set()
        request.registerProducer(self, True)

    async def wait_for_room(self) -> None:
        """Returns when there is space. Disconnects a client that reads nothing for a minute, or until the
        response is cancelled: what is left of it cannot be sent."""
        if self._open.is_set():
            return
        try:
            async with asyncio.timeout(STALLED_SECONDS):
                await self._open.wait()
        except TimeoutError:
            self._request.transport.abortConnection()
        except asyncio.CancelledError:
            self._request.transport.abortConnection()
            raise

    def remove(self) -> None:
        """Ends the limit with the response."""
        self._request.unregisterProducer()

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        self._open.clear()

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        self._open.set()

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        self._open.set()


def limit_unacknowledged_time(listener: socket.socket) -> None:
    """Ends connections of this socket if sent data is not acknowledged for 45 s, because the other end is
    gone silently. (Linux; elsewhere the system's own, longer time applies.)"""
    if option := getattr(socket, "TCP_USER_TIMEOUT", None):
        listener.setsockopt(socket.IPPROTO_TCP, option, UNACKNOWLEDGED_MS)
