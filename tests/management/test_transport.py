"""The transport of connections sends at once, and keeps what the kernel does not take."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from twisted.internet.protocol import Protocol

from chat.management.transport import Transport


class Reactor:
    """Records who waits for the event loop to write."""

    def __init__(self) -> None:
        self.writers: set[Any] = set()

    def addReader(self, _reader: Any) -> None:  # noqa: N802 - Twisted's name
        pass

    removeReader = addReader  # noqa: N815 - Twisted's name

    def addWriter(self, writer: Any) -> None:  # noqa: N802 - Twisted's name
        self.writers.add(writer)

    def removeWriter(self, writer: Any) -> None:  # noqa: N802 - Twisted's name
        self.writers.discard(writer)


@pytest.fixture
def ends() -> Any:
    """Yields a transport and the client's end of its connection."""
    own, client = socket.socketpair()
    own.setblocking(False)
    client.settimeout(60)
    transport = Transport(own, Protocol(), ("127.0.0.1", 1), None, 1, Reactor())
    with own, client:
        yield transport, client


def test_a_piece_is_sent_without_the_event_loop(ends: Any) -> None:
    transport, client = ends
    transport.write(b"one ")
    transport.writeSequence([b"two ", b"three"])
    assert client.recv(100) == b"one two three"
    assert not transport.reactor.writers


def test_what_the_kernel_does_not_accept_waits_in_order(ends: Any) -> None:
    transport, client = ends
    parts = [bytes([number]) * 300_000 for number in range(10)]
    for part in parts:
        transport.write(part)
    assert transport.reactor.writers == {transport}
    received = b""
    while transport.reactor.writers or len(received) < 3_000_000:
        received += client.recv(1_000_000)
        if transport.reactor.writers:
            assert transport.doWrite() is None
    assert received == b"".join(parts)
    transport.write(b"after")
    assert client.recv(100) == b"after"


def test_a_lost_connection_is_left_to_the_event_loop(ends: Any) -> None:
    transport, client = ends
    client.close()
    transport.write(b"lost")
    assert transport.reactor.writers == {transport}
    assert transport.doWrite() is not None
