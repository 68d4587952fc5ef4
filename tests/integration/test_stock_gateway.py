"""All adapters against an independent gateway: LiteLLM's proxy, which sends its headers with the first token.
Behind it is our scripted provider.

Skipped if it is not available (no `uv`, no package index); in CI that is a failure.
"""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from chat.pipeline.compose import compose
from chat.pipeline.policy import StreamPolicy
from chat.providers.base import EndpointConfig
from chat.providers.events import Finished, TextDelta
from chat.providers.registry import close_all, provider_for
from tests.faults.stack import free_port
from tests.providers.conftest import ask
from tests.providers.wire import Wire, serve
from tests.services import is_missing

KEY = "sk-stock-canary-1234567890"
# An environment of its own: its dependencies conflict with those of Steady.
COMMAND = ["uv", "tool", "run", "--from", "litellm[proxy]==1.106.2", "litellm"]
QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MASTER_KEY": KEY}
START_SECONDS = 300  # the first time it is downloaded

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def upstream() -> AsyncIterator[Wire]:
    async with serve() as wire:
        yield wire


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address(upstream: Wire, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    if shutil.which("uv") is None:
        is_missing("uv is not installed.")
    config: Path = tmp_path_factory.mktemp("litellm") / "config.yaml"
    own = {"model": "openai/wire", "api_base": f"{upstream.origin}/v1", "api_key": "sk-upstream"}
    window = {"mode": "chat", "max_input_tokens": 8192, "max_output_tokens": 1024}
    models = [
        {"model_name": "late", "litellm_params": own, "model_info": window},
        {"model_name": "embedder", "litellm_params": own, "model_info": {"mode": "embedding"}},
    ]
    # JSON is YAML.
    config.write_text(  # noqa: ASYNC240
        json.dumps({"model_list": models, "litellm_settings": {"num_retries": 0}})
    )
    port = free_port()
    with (config.parent / "log").open("w+b") as log:
        server = await asyncio.create_subprocess_exec(
            *(*COMMAND, "--config", str(config), "--host", "127.0.0.1", "--port", str(port)),
            env={**os.environ, **QUIET},
            stdout=log,
            stderr=log,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            if not await answers(f"{url}/health/liveliness", server):
                log.seek(0)
                said = log.read().decode(errors="replace")[-500:]
                is_missing(f"LiteLLM could not be had: {said}")
            yield url
        finally:
            if server.returncode is None:
                server.terminate()
            await server.wait()


async def answers(url: str, server: asyncio.subprocess.Process) -> bool:
    """Returns whether the server answers before the process ends or the time is over."""
    loop = asyncio.get_running_loop()
    until = loop.time() + START_SECONDS
    async with aiohttp.ClientSession() as http:
        while loop.time() < until and server.returncode is None:
            try:
                async with http.get(url) as answer:
                    if answer.status == 200:
                        return True
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.2)
    return False


def endpoint(address: str, kind: str) -> EndpointConfig:
    base_url = f"{address}/v1" if kind.startswith("openai") else address
    return EndpointConfig("stock", kind, "LiteLLM", base_url, KEY, connect_seconds=1.5)


@pytest.mark.parametrize("kind", ["openai", "openai_compatible", "anthropic", "gemini"])
async def test_a_first_token_later_than_the_limit_for_connecting_is_one_call(
    address: str, upstream: Wire, kind: str
) -> None:
    before = len(upstream.log)
    events, _ = compose(
        provider_for(endpoint(address, kind)), ask("/wire first=3 tokens=3", model="late"), StreamPolicy()
    )
    seen = [event async for event in events]
    await close_all()
    assert "".join(event.text for event in seen if isinstance(event, TextDelta)) == "word0 word1 word2 "
    assert isinstance(seen[-1], Finished)
    assert len(upstream.log) == before + 1


async def test_its_list_has_windows_and_no_models_that_do_not_chat(address: str) -> None:
    for kind in ("openai", "openai_compatible"):
        (model,) = await provider_for(endpoint(address, kind)).list_models()
        assert (model.name, model.context_window, model.max_output_tokens) == ("late", 8192, 1024)
    await close_all()
