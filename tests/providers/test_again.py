"""The SDK of OpenAI makes the first request to a path; further ones differ from it in their body only."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chat.providers.errors import ProviderError
from tests.providers.conftest import Connect, ask, collect
from tests.providers.wire import Entry, Wire

names = pytest.mark.parametrize("name", ["openai", "openai_chat", "openai_compatible"])


@names
async def test_a_further_request_differs_in_its_body_only(connect: Connect, wire: Wire, name: str) -> None:
    provider = connect(name, headers=(("X-Team", "a"), ("Cookie", "of=proxy")), query=(("version", "1"),))
    events = [await collect(provider, ask(text)) for text in ("Grüße", "and \U0001f600 more", "and ß")]
    assert events[0] == events[1] == events[2]
    first, *further = wire.log
    own = _headers(first)
    assert own["x-team"] == "a" and own["cookie"] == "of=proxy" and "authorization" in own
    for entry in further:
        assert {**_headers(entry), "content-length": ""} == {**own, "content-length": ""}
        assert entry.path == first.path and set(entry.body) == set(first.body)
    assert "and \U0001f600 more" in str(further[0].body) and "and ß" in str(further[1].body)


@names
@pytest.mark.parametrize(
    "script",
    [
        "fail=429 retry_after=7 code=rate_limit_exceeded",
        "fail=400 code=context_length_exceeded",
        "fail=401 leak=1",
        "fail=503",
        "page=1",
        "hang=-1",
    ],
)
async def test_a_further_request_fails_as_the_first(
    connect: Connect, wire: Wire, name: str, script: str
) -> None:
    failed = []
    for has_template in (False, True):
        provider = connect(name, connect_seconds=5.0 + has_template)
        if has_template:
            await collect(provider, ask("hello"))
        if script == "hang=-1":  # the connection is lost before any header
            task = asyncio.create_task(collect(provider, ask("/wire hang=-1")))
            await wire.asked()
            while wire.log[-1].end != "open" or "hang" not in str(wire.log[-1].body):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await wire.settled()
            assert wire.log[-1].end == "closed by client"
            continue
        with pytest.raises(ProviderError) as raised:
            await collect(provider, ask(f"/wire {script}"))
        failed.append(_facts(raised.value))
    assert failed[:1] == failed[1:]


def _headers(entry: Entry) -> dict[str, str]:
    return {name.lower(): value for name, value in entry.headers.items()}


def _facts(error: ProviderError) -> tuple[Any, ...]:
    return type(error), str(error), error.code, error.detail, error.retry_after, error.retryable
