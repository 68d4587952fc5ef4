"""How the server sets the interpreter up, so that no work of one person stops the others."""

from __future__ import annotations

import asyncio
import gc
import sys
from types import SimpleNamespace

import pytest

from chat.management import server as server_module
from chat.management.server import LOADED_SECONDS, Server
from chat.management.watchdog import Watchdog


def test_threads_take_short_turns_while_the_server_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    before, during = sys.getswitchinterval(), []
    server = Server.__new__(Server)
    monkeypatch.setattr("daphne.server.Server.run", lambda _: during.append(sys.getswitchinterval()))
    monkeypatch.setattr(server_module, "_leave_soon", lambda: None)
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
    server._watchdog, server._beside = Watchdog(), nothing
    monkeypatch.setattr(server._watchdog, "start", lambda: None)
    server._runtime = SimpleNamespace(start=lambda: None)
    monkeypatch.setattr(server_module, "install", lambda _: None)
    loop, later = asyncio.get_running_loop(), []
    monkeypatch.setattr(loop, "call_later", lambda seconds, work: later.append((seconds, work)))
    assert len(gc.get_objects()) > 50_000
    try:
        await server._start()
        assert len(gc.get_objects()) < 5_000
        assert later == [(LOADED_SECONDS, gc.freeze)]
    finally:
        gc.unfreeze()
