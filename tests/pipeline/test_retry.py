"""Attempts: when there is another one, when not, and what is reported."""

import asyncio

import pytest

from chat.pipeline.policy import StreamPolicy
from chat.pipeline.retry import retry
from chat.providers import errors
from chat.providers.events import (
    Finished,
    Notice,
    ReasoningDelta,
    Reset,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from tests.pipeline.scripts import DONE, REQUEST, ScriptedProvider, text_of, words
from tests.pipeline.virtual_time import in_virtual_time

DEFAULT = StreamPolicy()
BUSY = errors.OverloadedError(detail="busy")


async def run(provider: ScriptedProvider, policy: StreamPolicy = DEFAULT) -> list[object]:
    return [event async for event in retry(lambda: provider.stream(REQUEST), policy)]


@in_virtual_time
async def test_a_retryable_failure_before_output_is_retried_and_announced() -> None:
    provider = ScriptedProvider([BUSY], [*words("Once"), DONE])
    notice, text, end = await run(provider)
    assert isinstance(notice, Notice) and notice.kind == "retrying" and notice.attempt == 2
    assert notice.message == str(BUSY)
    assert (text, end) == (TextDelta("Once"), DONE)
    assert provider.started[1] == pytest.approx(notice.delay)


@in_virtual_time
async def test_the_last_attempts_error_is_raised() -> None:
    provider = ScriptedProvider([BUSY], [BUSY], [errors.RateLimitError(detail="the last")])
    with pytest.raises(errors.RateLimitError):
        await run(provider, StreamPolicy(max_attempts=3))
    assert len(provider.started) == provider.closed == 3


@pytest.mark.parametrize(
    "kind",
    [
        errors.AuthenticationError,
        errors.BillingError,
        errors.ContextLengthError,
        errors.MalformedStreamError,
        errors.UnavailableError,
    ],
)
def test_a_final_failure_is_not_retried(kind: type[errors.ProviderError]) -> None:
    provider = ScriptedProvider([kind()], [DONE])
    with pytest.raises(kind):
        asyncio.run(run(provider))
    assert len(provider.started) == 1


@pytest.mark.parametrize(
    "visible", [TextDelta("a"), ReasoningDelta("a"), ReasoningDelta("", redacted=True), ToolCallDelta(0, "{")]
)
def test_nothing_is_retried_after_visible_output(visible: TextDelta) -> None:
    provider = ScriptedProvider([visible, BUSY], [DONE])
    with pytest.raises(errors.OverloadedError):
        asyncio.run(run(provider))
    assert len(provider.started) == 1


@in_virtual_time
async def test_output_of_a_failed_attempt_is_declared_void() -> None:
    provider = ScriptedProvider([Usage(7, 0), BUSY], [Usage(8, 1), *words("x"), DONE])
    kinds = [type(event) for event in await run(provider)]
    assert kinds == [Usage, Reset, Notice, Usage, TextDelta, Finished]


@in_virtual_time
async def test_the_wait_is_at_least_as_long_as_the_provider_requests() -> None:
    provider = ScriptedProvider([errors.RateLimitError(retry_after=42)], [*words("x"), DONE])
    await run(provider)
    assert 42 <= provider.started[1] <= 42 + StreamPolicy().base_delay


@in_virtual_time
async def test_a_provider_that_requests_too_long_a_wait_is_not_retried() -> None:
    provider = ScriptedProvider([errors.RateLimitError(retry_after=3_600)], [DONE])
    with pytest.raises(errors.RateLimitError) as raised:
        await run(provider)
    assert raised.value.retry_after == 3_600
    assert len(provider.started) == 1


@in_virtual_time
async def test_waits_grow_exponentially_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    bounds: list[float] = []
    monkeypatch.setattr("random.uniform", lambda low, high: bounds.append(high) or high)
    provider = ScriptedProvider(*[[BUSY]] * 6)
    with pytest.raises(errors.OverloadedError):
        await run(provider, StreamPolicy(max_attempts=6, base_delay=1, max_delay=5))
    assert bounds == [1, 2, 4, 5, 5]


@in_virtual_time
async def test_a_stream_that_ends_without_output_is_a_failure_that_may_be_paid() -> None:
    provider = ScriptedProvider([Notice("waiting"), Usage(1, 1)], [*words("x"), DONE])
    with pytest.raises(errors.ConnectionFailedError):
        await run(provider)
    assert len(provider.started) == 1


@in_virtual_time
async def test_an_empty_answer_with_an_end_marker_is_an_answer() -> None:
    provider = ScriptedProvider([Usage(1, 0), DONE], [*words("x"), DONE])
    assert await run(provider) == [Usage(1, 0), DONE]


@pytest.mark.parametrize("kind", [errors.ConnectionFailedError, errors.TimeoutExceededError])
@pytest.mark.parametrize("never_sent", [False, True])
@in_virtual_time
async def test_only_a_connection_that_was_never_established_is_retried(
    kind: type[errors.ProviderError], never_sent: bool
) -> None:
    provider = ScriptedProvider([kind(retryable=never_sent)], [*words("x"), DONE])
    if never_sent:
        assert text_of(await run(provider)) == "x"
    else:
        with pytest.raises(kind):
            await run(provider)
    assert len(provider.started) == 1 + never_sent
