"""The number of calls for one answer: the whole chain and the real SDKs, with a counting server.

A call may be paid after the provider has accepted it. So there is another one only if the provider refused
the first, or if the first was never sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from chat.pipeline.compose import compose
from chat.pipeline.policy import StreamPolicy
from chat.providers import errors
from chat.providers.base import Provider
from chat.providers.events import Notice, ProviderEvent, TextDelta
from tests.providers.conftest import Connect, ask
from tests.providers.wire import FORMATS, Wire

pytestmark = pytest.mark.parametrize("name", FORMATS)

POLICY = StreamPolicy(max_attempts=3, base_delay=0.01)


async def answer(provider: Provider, script: str, policy: StreamPolicy = POLICY) -> list[ProviderEvent]:
    events, _ = compose(provider, ask(script), policy)
    return [event async for event in events]


def text_of(events: list[ProviderEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


@asynccontextmanager
async def silent() -> AsyncIterator[tuple[str, list[asyncio.StreamWriter]]]:
    """A server that accepts connections and sends nothing: its address, and the connections."""
    connections: list[asyncio.StreamWriter] = []

    async def keep(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)

    async with await asyncio.start_server(keep, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", connections
        for writer in connections:
            writer.transport.abort()


async def test_headers_that_arrive_with_the_first_token_are_awaited_in_one_call(
    connect: Connect, wire: Wire, name: str
) -> None:
    provider = connect(name, connect_seconds=1)
    assert text_of(await answer(provider, "/wire first=1.5 tokens=2")) == "word0 word1 "
    assert len(wire.log) == 1


async def test_headers_that_never_arrive_end_at_the_limit_of_the_first_token_in_one_call(
    connect: Connect, wire: Wire, name: str
) -> None:
    policy = StreamPolicy(max_attempts=3, base_delay=0.01, first_token_seconds=1)
    with pytest.raises(errors.TimeoutExceededError) as raised:
        await answer(connect(name, connect_seconds=0.5), "/wire hang=-1", policy)
    assert raised.value.phase == "first_token"
    assert len(wire.log) == 1


@pytest.mark.parametrize(
    "script", ["fail=408", "fail=409", "fail=500", "fail=502", "fail=504", "cut=0", "drop=0", "hang=0"]
)
async def test_a_request_that_the_provider_may_have_accepted_is_not_sent_again(
    connect: Connect, wire: Wire, name: str, script: str
) -> None:
    policy = StreamPolicy(max_attempts=3, base_delay=0.01, first_token_seconds=1)
    with pytest.raises(errors.ProviderError):
        await answer(connect(name), f"/wire {script}", policy)
    assert len(wire.log) == 1


@pytest.mark.parametrize("status", [425, 429, 503, 529])
async def test_a_request_that_the_provider_did_not_accept_is_sent_again(
    connect: Connect, wire: Wire, name: str, status: int
) -> None:
    assert text_of(await answer(connect(name), f"/wire fail={status} fails=2 tokens=1")) == "word0 "
    assert len(wire.log) == 3


async def test_a_server_that_refuses_connections_is_retried(connect: Connect, wire: Wire, name: str) -> None:
    wire.origin = "http://127.0.0.1:9"
    events, _ = compose(connect(name), ask("hello"), POLICY)
    seen = []
    with pytest.raises(errors.ConnectionFailedError) as raised:
        async for event in events:
            seen.append(event)
    assert [event.attempt for event in seen if isinstance(event, Notice) and event.kind == "retrying"] == [
        2,
        3,
    ]
    assert "Connect call failed" in raised.value.detail and "timed out" not in raised.value.detail


async def test_a_handshake_that_hangs_ends_at_the_limit_for_connecting_and_is_retried(
    connect: Connect, wire: Wire, name: str
) -> None:
    async with silent() as (address, connections):
        wire.origin = f"https://{address}"
        with pytest.raises(errors.TimeoutExceededError) as raised:
            await answer(connect(name, connect_seconds=0.2), "hello")
        assert raised.value.phase == "connect"
        assert len(connections) == 3
