"""What Daphne's connections lack: bounds in both directions. By itself Daphne takes 210 MB for a client that
reads nothing and 200 MB from one that sends faster than it is served (measured)."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from daphne.ws_protocol import WebSocketProtocol
from twisted.internet import interfaces
from zope.interface import implementer

WAITING_FRAMES = 8  # that a client may be ahead of the server
LOOK_SECONDS = 0.1
STALLED_SECONDS = 60.0  # that a response may wait for a client that reads nothing
UNACKNOWLEDGED_MS = 45_000


class Socket(WebSocketProtocol):  # type: ignore[misc]
    """Reads no more from a client that is ahead of the server; the client's own TCP then waits."""

    def onMessage(self, payload: bytes, isBinary: bool) -> None:  # noqa: N802, N803 - Autobahn's names
        super().onMessage(payload, isBinary)
        if self.application_queue.qsize() >= WAITING_FRAMES:
            self.transport.pauseProducing()
            asyncio.get_running_loop().call_later(LOOK_SECONDS, self._read_on)

    def _read_on(self) -> None:
        if self.application_queue.qsize() < WAITING_FRAMES:
            self.transport.resumeProducing()
        else:
            asyncio.get_running_loop().call_later(LOOK_SECONDS, self._read_on)

    def serverClose(self, code: int | None = None) -> None:  # noqa: N802 - Daphne's name
        """Autobahn lets a caller close with 1000 and 3000-4999 only and raises for the rest, though 1011
        ("internal error") and 1012 are a server's to send."""
        self.sendCloseFrame(code=1000 if code is None else code)


@implementer(interfaces.IPushProducer)
class Valve:
    """Closed while more than a transport's buffer (64 KiB) waits for the client of a streamed response."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self._open = asyncio.Event()
        self._open.set()
        request.registerProducer(self, True)

    async def pass_through(self) -> None:
        """Returns when there is room; cuts off a client that makes none for a minute."""
        try:
            async with asyncio.timeout(STALLED_SECONDS):
                await self._open.wait()
        except TimeoutError:
            self._request.transport.abortConnection()

    def remove(self) -> None:
        """The response ends."""
        self._request.unregisterProducer()

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        self._open.clear()

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        self._open.set()

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        self._open.set()


def notice_silence(listener: socket.socket) -> None:
    """Connections of this socket end when what was sent is not acknowledged for 45 s: the other end is gone
    without a word. (Linux; elsewhere the system's own, longer time holds.)"""
    if option := getattr(socket, "TCP_USER_TIMEOUT", None):
        listener.setsockopt(socket.IPPROTO_TCP, option, UNACKNOWLEDGED_MS)
