"""The transport of a connection: sends at once what the kernel takes."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.internet.tcp import Server


class Transport(Server):  # type: ignore[misc]
    """Twisted's transport keeps each piece until the event loop reports that the socket is writable. That is
    four system calls and a turn of the loop for each piece of a stream, and the first text waits for it too.
    A socket is almost always writable, so this one sends first. The rest of what the kernel does not take
    waits as usual, with the same limit on a slow client."""

    def write(self, data: bytes) -> None:
        if data and self._may_send_now:
            sent = self.writeSomeData(data)
            # A lost connection is an exception here. The event loop reports it.
            data = data[sent:] if isinstance(sent, int) else data
        if data:
            super().write(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:  # noqa: N802 - Twisted's name
        self.write(b"".join(iovec))

    @property
    def _may_send_now(self) -> bool:
        """Returns whether nothing else is to be sent before."""
        return (
            self.connected
            and not (self.dataBuffer or self._tempDataBuffer)
            and not (self.disconnecting or self._writeDisconnecting or self._writeDisconnected or self.TLS)
            # Another kind of producer is asked for more only by the event loop.
            and (self.producer is None or self.streamingProducer)
        )
