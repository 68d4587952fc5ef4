"""CPU for each streamed chunk: our adapters, the SDKs' own typed streams, and plain aiohttp with orjson.

    uv run --group dev python -m benchmarks.providers [--streams 50] [--tokens 200] [--pace 50] [--rounds 3]
                                          [--only Gemini]

The scripted server runs in another process. All paths of a round run one after the other; the table shows the
median of the rounds. Compare ratios: milliseconds differ between machines and from minute to minute.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import anthropic
import openai
import orjson
from google import genai
from google.genai import types

from chat.pipeline.compose import compose
from chat.pipeline.policy import StreamPolicy
from chat.providers.base import ChatRequest, EndpointConfig, Turn
from chat.providers.events import TextDelta
from chat.providers.openai_responses import responses_body
from chat.providers.registry import close_all, provider_for

KEY = "sk-benchmark"

type Path = Callable[[str, str], Awaitable[int]]  # origin and prompt -> the number of text chunks


@asynccontextmanager
async def server() -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.providers.wire", "--port", "0", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}"
    finally:
        process.terminate()
        await process.wait()


def ours(kind: str, *, responses: bool = False, piped: bool = False) -> Path:
    async def run(origin: str, prompt: str) -> int:
        base = f"{origin}/v1" if kind.startswith("openai") else origin
        provider: Any = provider_for(EndpointConfig(kind + str(responses), kind, kind, base, KEY))
        if kind == "openai":
            provider._speaks_responses = responses
        request = ChatRequest("wire", [Turn("user", prompt)])
        events = compose(provider, request, StreamPolicy())[0] if piped else provider.stream(request)
        return sum([isinstance(event, TextDelta) async for event in events])

    return run


def bare(path: str, make_body: Callable[[str], Any]) -> Path:
    async def run(origin: str, prompt: str) -> int:
        if "bare" not in _clients:
            _clients["bare"] = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        session = _clients["bare"]
        chunks, buffer = 0, b""
        async with session.post(origin + path, json=make_body(prompt)) as response:
            async for data in response.content.iter_any():
                *lines, buffer = (buffer + data).split(b"\n")
                for line in lines:
                    if line.startswith(b"data: {"):
                        orjson.loads(line[6:])
                        chunks += b"word" in line or "Grüße".encode() in line
        return chunks

    return run


def chat_body(prompt: str) -> Any:
    return {"model": "wire", "messages": [{"role": "user", "content": prompt}], "stream": True}


async def openai_chat_sdk(origin: str, prompt: str) -> int:
    stream = await _openai(origin).chat.completions.create(**chat_body(prompt))
    return sum([bool(chunk.choices and chunk.choices[0].delta.content) async for chunk in stream])


async def openai_responses_sdk(origin: str, prompt: str) -> int:
    stream = await _openai(origin).responses.create(model="wire", input=prompt, stream=True)
    return sum([event.type == "response.output_text.delta" async for event in stream])


async def anthropic_sdk(origin: str, prompt: str) -> int:
    if "anthropic" not in _clients:
        http_client = anthropic.DefaultAioHttpClient()
        _clients["anthropic"] = anthropic.AsyncAnthropic(
            api_key=KEY, base_url=origin, http_client=http_client
        )
    stream = await _clients["anthropic"].messages.create(
        model="wire", max_tokens=9, messages=[{"role": "user", "content": prompt}], stream=True
    )
    return sum([event.type == "content_block_delta" async for event in stream])


async def gemini_sdk(origin: str, prompt: str) -> int:
    if "gemini" not in _clients:
        _clients["gemini"] = genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=origin))
    stream = await _clients["gemini"].aio.models.generate_content_stream(model="wire", contents=prompt)
    return sum([bool(chunk.candidates) async for chunk in stream])


_clients: dict[str, Any] = {}


def _openai(origin: str) -> openai.AsyncOpenAI:
    if "openai" not in _clients:
        http_client = openai.DefaultAioHttpClient()
        _clients["openai"] = openai.AsyncOpenAI(api_key=KEY, base_url=f"{origin}/v1", http_client=http_client)
    client: openai.AsyncOpenAI = _clients["openai"]
    return client


PATHS: dict[str, dict[str, Path]] = {
    "OpenAI Chat Completions": {
        "bare": bare("/v1/chat/completions", chat_body),
        "ours": ours("openai"),
        "in the pipeline": ours("openai", piped=True),
        "typed SDK": openai_chat_sdk,
    },
    "compatible servers": {
        "bare": bare("/v1/chat/completions", chat_body),
        "ours": ours("openai_compatible"),
        "in the pipeline": ours("openai_compatible", piped=True),
    },
    "OpenAI Responses": {
        "bare": bare(
            "/v1/responses", lambda prompt: responses_body(ChatRequest("wire", [Turn("user", prompt)]))
        ),
        "ours": ours("openai", responses=True),
        "in the pipeline": ours("openai", responses=True, piped=True),
        "typed SDK": openai_responses_sdk,
    },
    "Anthropic": {
        "bare": bare("/v1/messages", chat_body),
        "ours": ours("anthropic"),
        "in the pipeline": ours("anthropic", piped=True),
        "typed SDK": anthropic_sdk,
    },
    "Gemini": {
        "bare": bare(
            "/v1/models/wire:streamGenerateContent?alt=sse",
            lambda prompt: {"contents": [{"role": "user", "parts": [{"text": prompt}]}]},
        ),
        "ours": ours("gemini"),
        "in the pipeline": ours("gemini", piped=True),
        "typed SDK": gemini_sdk,
    },
}


KINDS = ("bare", "ours", "in the pipeline", "typed SDK")


async def measure(path: Path, origin: str, prompt: str, streams: int) -> float:
    """Returns microseconds of this process's CPU for each chunk."""
    before = time.process_time()
    chunks = sum(await asyncio.gather(*(path(origin, prompt) for _ in range(streams))))
    return (time.process_time() - before) / chunks * 1e6


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--pace", type=float, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=PATHS, metavar="ROW", help="one row of the table")
    options = parser.parse_args()
    rows = {name: paths for name, paths in PATHS.items() if options.only in {None, name}}
    prompt = f"/wire tokens={options.tokens} pace={options.pace}"
    results: dict[tuple[str, str], list[float]] = {}
    async with server() as origin:
        for each in (path for paths in rows.values() for path in paths.values()):
            await each(origin, "/wire tokens=1")  # imports, connections
        for _ in range(options.rounds):
            for name, paths in rows.items():
                for kind, path in paths.items():
                    cost = await measure(path, origin, prompt, options.streams)
                    results.setdefault((name, kind), []).append(cost)
        await close_all()
        for client in _clients.values():
            await (client.aio.aclose() if isinstance(client, genai.Client) else client.close())
    print(f"CPU per chunk in us, {options.streams} streams of {options.pace:g} chunks a second")
    print(f"{'':24}" + "".join(f"{kind:>17}" for kind in (*KINDS, "ours / bare")))
    for name, paths in rows.items():
        cost = {kind: statistics.median(results[name, kind]) for kind in paths}
        cells = "".join(f"{cost[kind]:17.0f}" if kind in cost else " " * 17 for kind in KINDS)
        print(f"{name:24}{cells}{cost['ours'] / cost['bare']:17.2f}")


if __name__ == "__main__":
    asyncio.run(main())
