"""Only reads a provider: `python -m benchmarks.floor URL adapter|typed STREAMS`. Prints its CPU seconds."""

from __future__ import annotations

import asyncio
import sys
import time

from chat.providers.base import Account, ChatRequest, Turn
from chat.providers.registry import close_all, provider_for


async def adapter(url: str, number: int) -> None:
    """Our adapter."""
    provider = provider_for(Account("bench", "openai_compatible", "Bench", f"{url}/v1", "key"))
    async for _ in provider.stream(ChatRequest("bench", [Turn("user", f"floor {number}")])):
        pass


_clients: list[object] = []


async def typed(url: str, number: int) -> None:
    """The SDK's typed stream, on its default transport."""
    from openai import AsyncOpenAI

    if not _clients:
        _clients.append(AsyncOpenAI(api_key="key", base_url=f"{url}/v1"))
    client = _clients[0]
    assert isinstance(client, AsyncOpenAI)
    stream = await client.chat.completions.create(
        model="bench", messages=[{"role": "user", "content": f"floor {number}"}], stream=True
    )
    async for _ in stream:
        pass


async def main(url: str, path: str, streams: int) -> None:
    read = {"adapter": adapter, "typed": typed}[path]
    await read(url, -1)  # imports and connections
    before = time.process_time()
    await asyncio.gather(*(read(url, number) for number in range(streams)))
    print(time.process_time() - before)
    await close_all()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
