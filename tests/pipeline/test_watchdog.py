"""The limits of each phase, and the connection closed at the end."""

import asyncio
from contextlib import aclosing

import pytest

from chat.pipeline.policy import Events, StreamPolicy
from chat.pipeline.retry import retry
from chat.pipeline.watchdog import watchdog
from chat.providers import errors
from chat.providers.events import Notice, ProviderEvent, TextDelta
from tests.pipeline.scripts import DONE, REQUEST, ScriptedProvider, play, text_of, words
from tests.pipeline.virtual_time import in_virtual_time


async def collect(provider: ScriptedProvider, policy: StreamPolicy) -> list[ProviderEvent]:
    return [event async for event in watchdog(provider.stream(REQUEST), policy)]


async def time_out(provider: ScriptedProvider, policy: StreamPolicy) -> tuple[str, float]:
    with pytest.raises(errors.TimeoutExceededError) as raised:
        await collect(provider, policy)
    assert provider.closed == 1
    return raised.value.phase, asyncio.get_running_loop().time()


@in_virtual_time
async def test_events_pass_unchanged_and_in_order() -> None:
    events: list[ProviderEvent] = [*words(*map(str, range(1_000))), DONE]
    assert await collect(ScriptedProvider(events), StreamPolicy()) == events


@in_virtual_time
async def test_a_provider_without_output_ends_in_the_phase_first_token() -> None:
    script = [Notice("waiting"), 10_000.0]
    policy = StreamPolicy(first_token_seconds=100)
    assert await time_out(ScriptedProvider(script), policy) == ("first_token", 100)


@in_virtual_time
async def test_a_provider_that_falls_silent_ends_in_the_phase_silence() -> None:
    script = [5.0, TextDelta("a"), 7.0, TextDelta("b"), 10_000.0]
    policy = StreamPolicy(first_token_seconds=100, silence_seconds=20)
    assert await time_out(ScriptedProvider(script), policy) == ("silence", 32)


@in_virtual_time
async def test_a_slow_drip_ends_in_the_phase_total() -> None:
    script = [step for _ in range(1_000) for step in (TextDelta("a"), 10.0)]
    assert await time_out(ScriptedProvider(script), StreamPolicy(total_seconds=95)) == ("total", 95)


@in_virtual_time
async def test_without_limits_nothing_ends_a_stream() -> None:
    policy = StreamPolicy(first_token_seconds=None, silence_seconds=None, total_seconds=None)
    provider = ScriptedProvider([1e5, TextDelta("a"), 1e5, DONE])
    assert await collect(provider, policy) == [TextDelta("a"), DONE]


@in_virtual_time
async def test_a_slow_reader_is_not_the_providers_silence() -> None:
    script = [step for number in range(600) for step in (TextDelta(f"{number} "), 0.01)]
    provider = ScriptedProvider([*script, DONE])
    text = ""
    policy = StreamPolicy(silence_seconds=5, total_seconds=None)
    async for event in watchdog(provider.stream(REQUEST), policy):
        if isinstance(event, TextDelta):
            text += event.text
            await asyncio.sleep(60 if event.text in {"3 ", "300 "} else 0)
    assert text == "".join(f"{number} " for number in range(600))


@in_virtual_time
async def test_a_reader_that_stops_reading_stops_the_provider() -> None:
    count = 0

    async def endless() -> Events:
        nonlocal count
        while True:
            count += 1
            yield TextDelta("a")

    async with aclosing(watchdog(endless(), StreamPolicy())) as events:
        await anext(events)
        await asyncio.sleep(100)
    assert count == 1


@in_virtual_time
async def test_the_wait_before_another_attempt_is_not_waiting_for_the_first_token() -> None:
    provider = ScriptedProvider([errors.RateLimitError(retry_after=50)], [5.0, TextDelta("a"), DONE])
    policy = StreamPolicy(first_token_seconds=30)
    events = [event async for event in watchdog(retry(lambda: provider.stream(REQUEST), policy), policy)]
    assert [event.kind for event in events if isinstance(event, Notice)] == ["retrying"]
    assert text_of(events) == "a"


@in_virtual_time
async def test_a_timeout_of_the_reader_is_its_own() -> None:
    with pytest.raises(TimeoutError) as raised:
        async with asyncio.timeout(5):
            await collect(ScriptedProvider([TextDelta("a"), 1e6]), StreamPolicy())
    assert not isinstance(raised.value, errors.ProviderError)


@in_virtual_time
async def test_a_reader_that_is_busy_past_the_limit_gets_the_error_with_its_next_read() -> None:
    policy = StreamPolicy(total_seconds=20)
    provider = ScriptedProvider([TextDelta("a"), 1e6])
    with pytest.raises(errors.TimeoutExceededError) as raised:
        async for _ in watchdog(provider.stream(REQUEST), policy):
            await asyncio.sleep(100)
    assert raised.value.phase == "total"
    assert asyncio.get_running_loop().time() <= 115


@in_virtual_time
async def test_an_error_follows_the_output_before_it() -> None:
    seen = []
    with pytest.raises(errors.ConnectionFailedError):
        async for event in watchdog(play(*words("a", "b"), errors.ConnectionFailedError()), StreamPolicy()):
            seen.append(event)
    assert seen == words("a", "b")


@in_virtual_time
async def test_closing_closes_the_provider() -> None:
    provider = ScriptedProvider([TextDelta("a"), 1e6])
    events = watchdog(provider.stream(REQUEST), StreamPolicy())
    await anext(events)
    await events.aclose()
    assert provider.closed == 1
    assert asyncio.get_running_loop().time() == 0


@in_virtual_time
async def test_cancelling_the_reader_closes_the_provider() -> None:
    provider = ScriptedProvider([TextDelta("a"), 1e6])
    reader = asyncio.create_task(collect(provider, StreamPolicy()))
    await asyncio.sleep(1)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert provider.closed == 1
