"""The network between the servers and their database: a TCP relay that can be slow, and that can silently
stop forwarding, as a firewall does that forgot its connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


class Network:
    """`delay` is the one-way delay of each byte in seconds. `url` is the database's address through this
    relay."""

    def __init__(self, url: str, delay: float = 0.0) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 5432
        self.delay, self.url, self._parts = delay, "", parts
        self.swallows_new = False
        self._flows: set[Flow] = set()

    def drop(self) -> None:
        """Silently drops the data of existing connections; new connections work."""
        for flow in self._flows:
            flow.is_dropped = True

    def vanish(self) -> None:
        """The same, and new connections get no answer either."""
        self.swallows_new = True
        self.drop()

    def listens_on(self, port: int) -> None:
        user, at, _ = self._parts.netloc.rpartition("@")
        self.url = self._parts._replace(netloc=f"{user}{at}127.0.0.1:{port}").geturl()

    async def enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(self._host, self._port)
        flow = Flow(self)
        flow.is_dropped = self.swallows_new
        self._flows.add(flow)
        try:
            await asyncio.gather(flow.relay(reader, inner_writer), flow.relay(inner_reader, writer))
        finally:
            self._flows.discard(flow)
            writer.transport.abort()
            inner_writer.transport.abort()


class Flow:
    def __init__(self, network: Network) -> None:
        self._network = network
        self.is_dropped = False

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        forwarding = asyncio.create_task(self._forward(queue, writer))
        try:
            with suppress(OSError):
                while data := await reader.read(65536):
                    queue.put_nowait((asyncio.get_running_loop().time() + self._network.delay, data))
            queue.put_nowait((0.0, b""))
            await forwarding
        finally:
            forwarding.cancel()

    async def _forward(self, queue: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while True:
                due, data = await queue.get()
                await asyncio.sleep(due - asyncio.get_running_loop().time())
                if self.is_dropped:
                    continue  # the end of a stream is not forwarded either
                if not data:
                    writer.close()
                    return
                writer.write(data)
                await writer.drain()


@asynccontextmanager
async def network(url: str, delay: float = 0.0) -> AsyncIterator[Network]:
    """A relay to the database at `url` while the block runs."""
    it = Network(url, delay)
    tasks: set[asyncio.Task[None]] = set()

    def enter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(it.enter(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(enter, "127.0.0.1", 0)
    it.listens_on(server.sockets[0].getsockname()[1])
    try:
        yield it
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
