"""Clients that read nothing, send too much or disappear: memory stays bounded and others are served."""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from uuid import UUID, uuid4

import aiohttp
import pytest

from tests.faults.calm import calm_time
from tests.faults.client import Person
from tests.faults.conftest import on_one
from tests.faults.installation import LONG, Installation, started
from tests.faults.stack import memory

QUICK = 3.0  # seconds

pytestmark = [pytest.mark.asyncio(loop_scope="session"), on_one("sqlite")]

GROUPS = 10 if LONG else 1
READERS = 20 if LONG else 6  # of one reply: a user may have at most 20 event streams
PACE = 8000 if LONG else 3000  # words per second
CHARACTERS = 40_000 * READERS // 2  # of one reply, due to each of them
MB = 1024 * 1024


async def health(steady: Installation, count: int = 20) -> float:
    """Returns the 95th percentile of the response time of `/healthz`, in seconds."""
    seconds = []
    async with aiohttp.ClientSession() as http:
        for _ in range(count):
            begun = calm_time()
            async with http.get(f"{steady.processes[0].url}/healthz") as answer:
                assert answer.status == 200
            seconds.append(calm_time() - begun)
    return statistics.quantiles(seconds, n=20)[-1]


async def deaf(person: Person, port: int, conversation_id: UUID, transport: str) -> socket.socket:
    """Opens a connection to a live page that reads nothing."""
    cookies = "; ".join(f"{cookie.key}={cookie.value}" for cookie in person.http.cookie_jar)
    path, more = f"/conversations/{conversation_id}/events/?revision=0", ""
    if transport == "ws":
        path = f"/ws/conversations/{conversation_id}/"
        more = (
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://127.0.0.1:{port}\r\n"
        )
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nCookie: {cookies}\r\n{more}\r\n".encode()
    loop = asyncio.get_running_loop()
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    await loop.sock_connect(connection, ("127.0.0.1", port))
    await loop.sock_sendall(connection, request)
    answer = await loop.sock_recv(connection, 1024)
    assert answer.split()[1] == (b"101" if transport == "ws" else b"200"), answer
    if transport == "ws":
        hello = json.dumps({"type": "hello", "revision": "0"}).encode()
        await loop.sock_sendall(connection, bytes([0x81, 0x80 | len(hello), 0, 0, 0, 0]) + hello)
    return connection


async def test_readers_that_read_nothing_cost_little_memory(steady: Installation, transport: str) -> None:
    process = steady.processes[0]
    async with AsyncExitStack() as stack:
        people = [await stack.enter_async_context(await steady.newcomer()) for _ in range(GROUPS)]
        pages = [await stack.enter_async_context(someone.page(url=process.url)) for someone in people]
        for page in pages:
            await started(page, f"tokens=400000 pace={PACE // GROUPS}")
        before = memory(process.pid)
        for someone, page in zip(people, pages, strict=True):
            for _ in range(READERS):
                stack.enter_context(await deaf(someone, process.port, page.id, transport))
        await asyncio.gather(
            *(page.until(lambda page=page: len(page.text) > CHARACTERS // GROUPS, 90) for page in pages)
        )
        grown = memory(process.pid) - before
        assert await health(steady) < QUICK
        for page in pages:
            assert await page.stop() == 204
            assert await page.ended() == "stopped"
            await page.equals_fresh()
    count = GROUPS * READERS
    print(f"{count} deaf readers over {transport}: {grown / MB:.1f} MB")
    assert grown < count * MB + GROUPS * 24 * MB  # replies, and pages that do read, need memory too


async def test_a_flood_of_large_frames_is_bounded(steady: Installation, person: Person) -> None:
    process = steady.processes[0]
    before = memory(process.pid)
    url = f"{process.url.replace('http', 'ws')}/ws/conversations/{uuid4()}/"
    frame = json.dumps({"type": "send", "client_id": str(uuid4()), "text": "x" * 1_000_000, "model": "1"})
    async with person.http.ws_connect(url, headers={"Origin": process.url}, max_msg_size=0) as flood:
        sending = asyncio.create_task(send_all(flood, frame, 200))
        assert await health(steady) < QUICK
        peak = memory(process.pid)
        while not sending.done():
            peak = max(peak, memory(process.pid))
            await asyncio.sleep(0.02)
        await flood.receive()
    assert (peak - before) / MB < 64


async def send_all(connection: aiohttp.ClientWebSocketResponse, frame: str, count: int) -> None:
    with suppress(aiohttp.ClientError, OSError):  # closed: too many
        for _ in range(count):
            await connection.send_str(frame)


async def test_a_connection_that_flaps_each_second_loses_nothing(
    steady: Installation, person: Person, transport: str
) -> None:
    async with person.page(transport=transport) as page:
        await started(page, "tokens=300 pace=50")
        for turn in range(5):
            connections = page.connections
            page.switch() if turn % 2 else page.cut()
            await page.until(lambda connections=connections: page.connections > connections)
            before = len(page.text)
            await page.until(lambda before=before: len(page.text) > before or page.status != "running")
        assert await page.ended() == "complete"
        await page.equals_fresh()


@pytest.mark.skipif(not LONG, reason="Waits for a minute (STEADY_LONG_FAULTS=1).")
async def test_a_half_open_socket_is_found_within_a_minute(steady: Installation, person: Person) -> None:
    """The network drops everything: no ping is answered, so the server closes the socket."""
    async with person.page() as page:
        await started(page, "tokens=10000 pace=50")
        process = steady.processes[0]
        connections = count_connections(steady)
        steady.proxy.freeze()
        begun = time.monotonic()
        while count_connections(steady) >= connections:
            assert time.monotonic() - begun < 65
            await asyncio.sleep(0.5)
        steady.proxy.thaw()
        steady.proxy.cut()
        assert process.is_running
        await page.until(lambda: page.connections > 1)
        await page.stop()


def count_connections(steady: Installation) -> int:
    """Returns the number of open TCP connections of the server processes."""
    count = 0
    for process in steady.processes:
        for file in Path(f"/proc/{process.pid}/fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                count += str(file.readlink()).startswith("socket:")
    return count
