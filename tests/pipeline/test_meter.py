"""Counting, estimates and limits; and the whole chain composed."""

import asyncio
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.pipeline.compose import compose
from chat.pipeline.policy import StreamPolicy, Validator
from chat.pipeline.tokens import TokenCounter, estimate_tokens
from chat.pipeline.transform import RegexRedaction, text_transformer
from chat.providers import errors
from chat.providers.events import (
    Finished,
    Notice,
    Outcome,
    ProviderEvent,
    ReasoningDelta,
    TextDelta,
    Usage,
)
from tests.pipeline.scripts import DONE, REQUEST, ScriptedProvider, Step, text_of, words
from tests.pipeline.test_transform import cut
from tests.pipeline.virtual_time import in_virtual_time

DEFAULT = StreamPolicy()


async def run(*script: Step, policy: StreamPolicy = DEFAULT) -> tuple[list[ProviderEvent], object]:
    events, meter = compose(ScriptedProvider(script), REQUEST, policy)
    return [event async for event in events], meter


@in_virtual_time
async def test_a_provider_without_usage_gets_an_estimate_before_the_end() -> None:
    events, _ = await run(ReasoningDelta("Let me think."), *words("Once upon a time", " there was"), DONE)
    usage, end = events[-2:]
    assert isinstance(usage, Usage) and usage.estimated and end == DONE
    assert usage.output_tokens == estimate_tokens("Let me think.Once upon a time there was")
    assert usage.reasoning_tokens == estimate_tokens("Let me think.")
    assert usage.input_tokens == estimate_tokens("Tell me a story.") + 4


@in_virtual_time
async def test_reported_usage_is_not_touched() -> None:
    events, _ = await run(*words("a"), Usage(5, 900, 2, 800), DONE)
    assert [event for event in events if isinstance(event, Usage)] == [Usage(5, 900, 2, 800)]


@in_virtual_time
async def test_the_meter_is_right_after_an_error() -> None:
    events, meter = compose(
        ScriptedProvider([Usage(5, 1), *words("word " * 40), errors.ConnectionFailedError()]),
        REQUEST,
        DEFAULT,
    )
    with pytest.raises(errors.ConnectionFailedError):
        async for _ in events:
            pass
    assert meter.usage == Usage(5, estimate_tokens("word " * 40), estimated=True)


@in_virtual_time
async def test_an_abandoned_attempt_is_not_counted() -> None:
    provider = ScriptedProvider([Usage(5, 1), errors.OverloadedError()], [TextDelta("a"), Usage(6, 2), DONE])
    events, meter = compose(provider, REQUEST, DEFAULT)
    async for _ in events:
        pass
    assert meter.usage == Usage(6, 2)


@in_virtual_time
async def test_the_limit_of_steady_cuts_an_endless_answer_and_closes_the_connection() -> None:
    provider = ScriptedProvider([Usage(5, 1), *words("word ") * 10_000])
    events, meter = compose(provider, REQUEST, StreamPolicy(max_output_tokens=50))
    seen = [event async for event in events]
    assert seen[-1] == Finished(Outcome.LENGTH, "limit")
    assert 50 <= estimate_tokens(text_of(seen)) <= 52
    assert (
        isinstance(seen[-2], Usage) and seen[-2].estimated and seen[-2].output_tokens == meter.output_tokens
    )
    assert meter.usage == seen[-2]
    assert provider.closed == 1


@in_virtual_time
async def test_a_cost_limit_cuts() -> None:
    def over(usage: Usage) -> bool:
        return (usage.output_tokens or 0) > 10

    events, _ = await run(*words("word ") * 100, DONE, policy=StreamPolicy(over_budget=over))
    assert events[-1] == Finished(Outcome.LENGTH, "cost")
    assert len(text_of(events)) < 100


@in_virtual_time
async def test_a_validator_stops_with_a_reason_and_keeps_what_was_shown() -> None:
    def no_recipes() -> Validator:
        seen = ""

        def check(text: str) -> str | None:
            nonlocal seen
            seen += text
            return "No recipes here." if "flour" in seen else None

        return check

    provider = ScriptedProvider([*words("Take ", "flo", "ur and ", "milk"), DONE])
    events, meter = compose(provider, REQUEST, StreamPolicy(validators=(no_recipes,)))
    seen = [event async for event in events]
    assert text_of(seen) == "Take flo"
    assert Notice("rejected", "No recipes here.") in seen
    assert seen[-1] == Finished(Outcome.REFUSED, "validator")
    assert provider.closed == 1
    assert meter.usage.estimated


@in_virtual_time
async def test_validators_see_transformed_text() -> None:
    seen: list[str] = []
    policy = StreamPolicy(
        transformers=(text_transformer(lambda: RegexRedaction("secret", "#", longest=8)),),
        validators=(lambda: lambda text: seen.append(text),),
    )
    await run(*words("a sec", "ret b"), DONE, policy=policy)
    assert "".join(seen) == "a # b"


@in_virtual_time
async def test_a_stream_without_an_end_marker_ends_without_one() -> None:
    events, _ = await run(*words("a", "b"))
    assert events == words("a", "b")


@in_virtual_time
async def test_closing_the_chain_closes_the_provider() -> None:
    provider = ScriptedProvider([TextDelta("abc"), 1e6])
    events, _ = compose(provider, REQUEST, StreamPolicy(transformers=(text_transformer(RegexOfA),)))
    async with aclosing(events):
        await anext(events)
    assert provider.closed == 1
    assert asyncio.get_running_loop().time() == 0


def RegexOfA() -> RegexRedaction:  # noqa: N802
    return RegexRedaction("a", "b", longest=1)


@given(text=st.text(), sizes=st.lists(st.integers(0, 10), max_size=30))
def test_tokens_counted_piece_by_piece_are_tokens_counted_at_once(text: str, sizes: list[int]) -> None:
    counter = TokenCounter()
    for piece in cut(text, sizes):
        counter.feed(piece)
    assert counter.tokens == estimate_tokens(text)


@pytest.mark.parametrize(
    ("text", "low", "high"),  # tokens for each character
    [
        ("The quick brown fox jumps over the lazy dog, and then it sleeps for a while.", 0.19, 0.27),
        ("def add(a, b):\n    return a + b\n\n\nprint(add(1, 2))\n", 0.26, 0.45),
        ("今天天气很好，我们去公园散步吧。", 0.6, 1.1),
    ],
)
def test_the_estimate_follows_the_rules_of_thumb(text: str, low: float, high: float) -> None:
    assert low <= estimate_tokens(text) / len(text) <= high


def test_no_text_is_no_token_and_any_text_is_one() -> None:
    assert estimate_tokens("") == 0
    assert estimate_tokens(" ") == 1
