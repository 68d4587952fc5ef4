"""The network between browsers and the server processes: a TCP relay without sticky sessions, whose
connections can be reset or become silent."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.servers import ServerProcess


class Proxy:
    """Each connection goes to a random listening process. `freeze` silently stops all forwarding, as a closed
    laptop does."""

    def __init__(self, processes: list[ServerProcess]) -> None:
        self.processes = processes
        self.url = ""
        self._open = asyncio.Event()
        self._open.set()
        self._writers: set[asyncio.StreamWriter] = set()

    def freeze(self) -> None:
        self._open.clear()

    def thaw(self) -> None:
        self._open.set()

    def cut(self) -> None:
        """Resets every connection."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for process in random.sample(self.processes, len(self.processes)):
            with suppress(OSError):
                inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", process.port)
                break
        else:
            writer.transport.abort()
            return
        self._writers |= {writer, inner_writer}
        try:
            await asyncio.gather(self._relay(reader, inner_writer), self._relay(inner_reader, writer))
        finally:
            self._writers -= {writer, inner_writer}
            writer.close()
            inner_writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.close()
        except OSError:
            writer.transport.abort()


@asynccontextmanager
async def proxied(processes: list[ServerProcess]) -> AsyncIterator[Proxy]:
    """Open while the block runs."""
    it = Proxy(processes)
    server = await asyncio.start_server(it._enter, "127.0.0.1", 0)
    it.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield it
    finally:
        server.close()
        it.thaw()
        it.cut()
