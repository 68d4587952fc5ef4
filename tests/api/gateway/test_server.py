"""The gateway of a real server: programs that disconnect or read nothing, and the stop of the server."""

from __future__ import annotations

import asyncio
import json
import socket
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import aiohttp
import pytest

from tests.providers.wire import Wire, serve
from tests.servers import ServerProcess

SECRET = "sty_" + "k" * 43
HEADERS = {"Authorization": f"Bearer {SECRET}"}


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with serve() as server:
        yield server


@pytest.fixture
async def server(wire: Wire, tmp_path: Path) -> AsyncIterator[ServerProcess]:
    env = {"OPENAI_COMPATIBLE_URL": wire.base_url("openai"), "CHAT_DRAIN_SECONDS": "0"}
    process = ServerProcess(tmp_path / "data", env)
    await asyncio.to_thread(process.start)
    with closing(sqlite3.connect(process.data_dir / "steady.sqlite3", timeout=60)) as database, database:
        row = (SECRET[:12], sha256(SECRET.encode()).hexdigest(), '["gateway"]', "2026-01-01 00:00:00")
        database.execute(
            "INSERT INTO chat_apitoken (user_id, name, prefix, digest, scopes, created_at) "
            "SELECT id, 'x', ?, ?, ?, ? FROM chat_user",
            row,
        )
    yield process
    await asyncio.to_thread(process.kill)


def body(script: str) -> bytes:
    messages = [{"role": "user", "content": f"/wire {script}"}]
    return json.dumps({"model": "wire", "stream": True, "messages": messages}).encode()


async def is_listed(http: aiohttp.ClientSession, server: ServerProcess) -> None:
    """Returns when the server has read the provider's list of models."""
    async with asyncio.timeout(120):
        while True:
            async with http.get(f"{server.url}/v1/models/wire", headers=HEADERS) as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(0.2)


async def test_programs_that_disconnect_or_read_nothing_and_the_stop_of_the_server(
    wire: Wire, server: ServerProcess
) -> None:
    url = f"{server.url}/v1/chat/completions"
    async with aiohttp.ClientSession() as http:
        await is_listed(http, server)

        # One that leaves: the connection to the provider is closed.
        async with http.post(url, data=body("hang=2"), headers=HEADERS) as answer:
            assert answer.status == 200
            await answer.content.readuntil(b"word1")
            answer.close()
        async with asyncio.timeout(60):
            await wire.settled()
        assert wire.log[-1].end == "closed by client"

        # One that reads nothing: the provider waits, and the server's memory does not grow.
        loop = asyncio.get_running_loop()
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect(("127.0.0.1", server.port))
            slow.setblocking(False)
            sent = body("tokens=40000 wide=1000")
            head = (
                f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
                f"Authorization: Bearer {SECRET}\r\nContent-Length: {len(sent)}\r\n\r\n"
            )
            await loop.sock_sendall(slow, head.encode() + sent)
            async with asyncio.timeout(60), wire.changed:
                await wire.changed.wait_for(lambda: len(wire.log) == 2)
            stalled = wire.log[-1]
            unchanged, before = 0, -1
            while unchanged < 5:  # requests that are answered meanwhile
                await is_listed(http, server)
                unchanged = unchanged + 1 if stalled.bytes == before else 0
                before = stalled.bytes
            assert stalled.end == "open" and stalled.bytes < 20_000_000
        async with asyncio.timeout(60):
            await wire.settled()

        # The end of the server: the stream ends with an error, and the usage is booked.
        async with http.post(url, data=body("hang=2"), headers=HEADERS) as answer:
            await answer.content.readuntil(b"word1")
            server.terminate()
            rest = await answer.content.read()
        assert b'"code":"restart"' in rest.split(b"\n\n")[-2]
    assert await asyncio.to_thread(server.wait) == 0
    with closing(sqlite3.connect(server.data_dir / "steady.sqlite3", timeout=60)) as database:
        booked = database.execute("SELECT status, output_tokens FROM chat_usageentry ORDER BY at").fetchall()
    assert [status for status, _ in booked] == ["stopped", "stopped", "interrupted"]
    assert all(tokens for _, tokens in booked)
    assert "Traceback" not in server.log()
