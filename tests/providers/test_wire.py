"""The scripted server as a process of its own, as other tests start it."""

import asyncio
import sys

import aiohttp

from chat.providers.base import EndpointConfig
from chat.providers.events import Finished
from chat.providers.registry import close_all, provider_for
from tests.providers.conftest import ask, collect


async def test_the_scripted_server_runs_as_a_process_and_tells_its_log() -> None:
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.providers.wire", "--port", "0", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert server.stdout is not None
        origin = f"http://127.0.0.1:{int(await server.stdout.readline())}"
        endpoint = EndpointConfig("wire", "openai_compatible", "Wire", base_url=f"{origin}/v1")
        assert isinstance((await collect(provider_for(endpoint), ask("/wire tokens=3")))[-1], Finished)
        async with aiohttp.ClientSession() as session, session.get(f"{origin}/_log?settled=1") as response:
            (entry,) = await response.json()
        assert (entry["words"], entry["end"]) == (3, "complete")
    finally:
        await close_all()
        server.terminate()
        await server.wait()
