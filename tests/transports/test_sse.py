"""Server-sent events from outside: the cost of a client that reads nothing."""

from __future__ import annotations

import asyncio
import re
import socket
import sqlite3
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from chat.actor import SessionClaim
from chat.live.session_monitor import Viewer
from chat.runtime import Runtime
from chat.transports import sse
from chat.transports.feed import Frame
from tests.servers import ServerProcess
from tests.transports.test_socket import log_in, prompt, until
from tests.transports.test_socket import socket as open_socket


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("sse") / "data").start()
    yield process
    process.stop()


def peak_mb(server: ServerProcess) -> int:
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{server.pid}/status").read_text())
    assert found
    return int(found[1]) // 1024


async def answered(reader: socket.socket) -> bytes:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(120):
        return await loop.sock_recv(reader, 64)


async def test_sixty_readers_that_read_nothing_cost_a_bounded_memory(server: ServerProcess) -> None:
    cookies, conversation = await log_in(server), uuid.uuid4()
    async with open_socket(server, conversation, cookies) as connection:
        await connection.send('{"type": "hello", "revision": 0}')
        await connection.send(prompt(server, "/demo fail"))
        await until(connection, 'data-status="failed"')
    with closing(sqlite3.connect(server.data_dir / "steady.sqlite3", timeout=60)) as database, database:
        database.execute("UPDATE chat_message SET text = ? WHERE role = 'user'", ("word " * 400_000,))
    before = peak_mb(server)
    cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
    request = (
        f"GET /conversations/{conversation}/events/?revision=0 HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{server.port}\r\nCookie: {cookie}\r\n\r\n"
    )
    with ExitStack() as stack:
        answers: list[bytes] = []
        readers: list[socket.socket] = []
        for number in range(60):
            if number == 20:  # the maximum for one user; later ones find these open
                answers += await asyncio.gather(*map(answered, readers))
            reader = stack.enter_context(socket.socket())
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.connect(("127.0.0.1", server.port))
            reader.setblocking(False)
            await asyncio.get_running_loop().sock_sendall(reader, request.encode())
            readers.append(reader)
        answers += await asyncio.gather(*map(answered, readers[20:]))
        async with open_socket(server, uuid.uuid4(), cookies) as connection:  # after all requests
            await connection.send('{"type": "hello", "revision": 0}')
            await connection.send(prompt(server, "/demo fail"))
            await until(connection, 'data-status="failed"')
        growth = peak_mb(server) - before
    # Twenty at once, forty in a row: a stream that filled the buffers ends and frees its place.
    assert sum(b"429" in answer for answer in answers) >= 20
    assert growth < 110


async def test_a_response_ends_when_it_has_become_long(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def frames(*_: object) -> AsyncIterator[Frame]:
        for revision in range(1, 100):
            yield Frame(["x" * 1000], revision)

    monkeypatch.setattr(sse, "frames", frames)
    monkeypatch.setattr(sse, "RESPONSE_BYTES", 10_000)
    events = [
        event async for event in sse._stream(Viewer(SessionClaim(7, "key", "hash")), uuid.uuid4(), 0, "en")
    ]
    assert 10 <= len(events) <= 13
    assert events[-1].startswith(f"id: {len(events) - 1}\nretry: 200\n".encode())
    assert runtime.sse_limits.open.count(7) == 0
