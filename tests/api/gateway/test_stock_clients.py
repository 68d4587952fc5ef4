"""Clients that we did not write, as they are: the `llm` command, and ShellGPT with a chat of its own.

They are downloaded, and their start takes more CPU than all other tests of the gateway. So they run only with
STEADY_LONG_FAULTS=1, and are skipped where they are not available (no `uv`, no package index).
"""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
from pathlib import Path

import pytest

from chat.models import UsageEntry
from tests.api.gateway.conftest import Gateway
from tests.services import LONG, is_missing

pytestmark = pytest.mark.skipif(not LONG, reason="Downloads programs (STEADY_LONG_FAULTS=1).")

# Environments of their own, as people install them.
LLM = ("--from", "llm==0.32.1", "llm")
# It imports `click` and does not name it among its dependencies.
SHELL_GPT = ("--with", "click==8.1.8", "--from", "shell-gpt==1.5.1", "sgpt")
WORDS = "word0 word1 word2 Grüße word4"
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Programs:
    def __init__(self, gateway: Gateway, home: Path) -> None:
        self._url = f"{gateway.url}/v1"
        own = {"OPENAI_API_KEY": gateway.key, "API_BASE_URL": self._url, "DEFAULT_MODEL": "wire-openai"}
        # The home stays that of the person who runs the tests: uv's cache is there.
        self._env = {**os.environ, **own, "LLM_USER_PATH": str(home), "XDG_CONFIG_HOME": str(home)}
        self._env |= {"CHAT_CACHE_PATH": str(home / "chats"), "CACHE_PATH": str(home / "cache")}

    async def llm(self, *arguments: str) -> str:
        key = self._env["OPENAI_API_KEY"]
        return await self._run(LLM, "openai", "endpoint", self._url, "--key", key, *arguments)

    async def sgpt(self, *arguments: str) -> str:
        return await self._run(SHELL_GPT, "--no-md", *arguments)

    async def _run(self, program: tuple[str, ...], *arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *("uv", "tool", "run", "--no-config", *program, *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._env,
        )
        out, error = await process.communicate()
        assert process.returncode == 0, out.decode() + error.decode()
        return out.decode().strip()


@pytest.fixture
async def programs(gateway: Gateway, tmp_path: Path) -> Programs:
    if shutil.which("uv") is None:
        is_missing("uv is not installed.")
    for *packages, command in (LLM, SHELL_GPT):
        asking = ("uv", "tool", "run", "--no-config", *packages, "python", "-c", "")
        process = await asyncio.create_subprocess_exec(*asking, stderr=asyncio.subprocess.PIPE)
        _out, error = await process.communicate()
        if process.returncode:
            is_missing(f"{command} could not be had: {error.decode()[-300:]}")
    return Programs(gateway, tmp_path)


async def test_stock_clients_work_as_they_are(gateway: Gateway, programs: Programs, tmp_path: Path) -> None:
    picture = tmp_path / "pixel.png"
    picture.write_bytes(PIXEL)
    said = await programs.llm("-m", "wire-openai_compatible", "-a", str(picture), "/wire tokens=5")
    assert said == WORDS and "image_url" in str(gateway.wire.log[-1].body)
    assert await programs.sgpt("--chat", "tides", "/wire tokens=5") == WORDS
    assert gateway.wire.log[-1].path.endswith("/responses")  # the provider has another API than the client
    entries = [entry async for entry in UsageEntry.objects.all()]
    assert [(it.user_id, it.status) for it in entries] == [(gateway.person.pk, "complete")] * 2
