"""How the server sets the interpreter up, so that no work of one user blocks the others."""

from __future__ import annotations

import asyncio
import gc
import sys
from types import SimpleNamespace

import pytest
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from chat.management import server as server_module
from chat.management.server import LOADED_SECONDS, Server
from chat.management.watchdog import Watchdog
from tests.management.test_handshakes import Daphne, Transport


def test_threads_switch_often_while_the_server_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    before, during = sys.getswitchinterval(), []
    server = Server.__new__(Server)
    monkeypatch.setattr("daphne.server.Server.run", lambda _: during.append(sys.getswitchinterval()))
    monkeypatch.setattr(server_module, "_exit_soon", lambda: None)
    monkeypatch.setattr(server_module.signal, "signal", lambda *_: None)
    server._watchdog, server._failure = Watchdog(), None
    try:
        server.run()
    finally:
        sys.setswitchinterval(before)
    assert during[0] < 0.0015


async def test_a_collection_of_garbage_does_not_visit_what_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing() -> None: ...

    server = Server.__new__(Server)
    server._watchdog, server._background = Watchdog(), nothing
    monkeypatch.setattr(server._watchdog, "start", lambda: None)
    server._runtime = SimpleNamespace(start=lambda: None)
    monkeypatch.setattr(server_module, "install", lambda _: None)
    loop, later = asyncio.get_running_loop(), []
    monkeypatch.setattr(loop, "call_later", lambda seconds, work: later.append((seconds, work)))
    gc.unfreeze()  # the test run freezes what it has imported
    assert len(gc.get_objects()) > 50_000
    try:
        await server._start()
        assert len(gc.get_objects()) < 5_000
        assert later == [(LOADED_SECONDS, gc.freeze)]
    finally:
        gc.unfreeze()


class Kept(Transport):
    """A connection that a proxy keeps. `arriving` is what it has sent and nobody has read."""

    arriving = b""

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        if data := self.arriving:
            self.arriving = b""
            self.protocol.dataReceived(data)


async def test_at_the_end_kept_connections_are_closed_and_a_request_that_has_arrived_is_read() -> None:
    """A proxy does not repeat a POST that it has sent to a process that ended."""
    server, kept = Daphne(), []
    request = b"POST /messages/1/feedback/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
    for arriving in (b"", request, b"POST /mess"):
        transport = Kept()
        transport.protocol = server.http_factory.buildProtocol(transport.getPeer())
        transport.protocol.makeConnection(transport)
        transport.protocol.expect(None)  # as after a request
        transport.arriving = arriving
        kept.append(transport)
    server.http_factory.close_idle()
    assert [transport.disconnecting for transport in kept] == [True, False, False]
    assert [scope["path"] for scope in server.asked] == ["/messages/1/feedback/"]
    for transport in kept:
        transport.protocol.connectionLost(Failure(ConnectionDone()))
