"""Starts the stock llama.cpp server of `stock_server.py`.

Its tests are skipped if its environment is not available (no `uv`, no package index); in CI they fail.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chat.providers.base import EndpointConfig
from tests.services import is_missing

KEY = "sk-stock-canary-1234567890"
ENVIRONMENT = ["uv", "run", "--isolated", "--frozen", "--only-group", "stock"]
COMMAND = [*ENVIRONMENT, "python", "tests/integration/stock_server.py", KEY]


def endpoint(address: str, key: str = KEY) -> EndpointConfig:
    return EndpointConfig("stock", "openai_compatible", "llama.cpp", base_url=f"{address}/v1", api_key=key)


@asynccontextmanager
async def stock_server(template: str = "lenient") -> AsyncIterator[str]:
    """Yields its address. `template` is one of `stock_server.TEMPLATES`."""
    if shutil.which("uv") is None:
        is_missing("uv is not installed.")
    pipe = asyncio.subprocess.PIPE
    server = await asyncio.create_subprocess_exec(*COMMAND, template, stdin=pipe, stdout=pipe, stderr=pipe)
    assert server.stdin is not None and server.stdout is not None and server.stderr is not None
    noise = asyncio.create_task(server.stderr.read())
    try:
        line = (await asyncio.wait_for(server.stdout.readline(), 120)).decode().strip()
        if not line:
            said = (await noise).decode()[-500:]
            is_missing(f"llama.cpp's server could not be had: {said}")
        yield line
    finally:
        server.stdin.close()
        if server.returncode is None:
            server.terminate()
        await server.wait()
        await noise
