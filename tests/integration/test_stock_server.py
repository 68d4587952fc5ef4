"""The adapter for compatible servers against an independent one: llama.cpp's.

Skipped if its environment is not available (no `uv`, no package index); in CI that is a failure.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
import pytest_asyncio

from chat.pipeline.compose import compose
from chat.pipeline.policy import StreamPolicy
from chat.providers import errors
from chat.providers.base import ChatRequest, Provider, Turn
from chat.providers.events import Finished, Outcome, TextDelta, Usage
from chat.providers.registry import close_all, provider_for
from tests.integration.stock import endpoint, stock_server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address() -> AsyncIterator[str]:
    async with stock_server() as address:
        yield address


@pytest_asyncio.fixture(loop_scope="module")
async def provider(address: str) -> AsyncIterator[Provider]:
    yield provider_for(endpoint(address))
    await close_all()


def ask(text: str, *, tokens: int = 20) -> ChatRequest:
    turns = [Turn("user", "Hello"), Turn("assistant", "a b c"), Turn("user", text)]
    return ChatRequest("letters", turns, system="Say letters.", max_output_tokens=tokens)


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_an_answer_streams_from_end_to_end(provider: Provider) -> None:
    events, meter = compose(provider, ask("Go on"), StreamPolicy())
    seen = [event async for event in events]
    text = "".join(event.text for event in seen if isinstance(event, TextDelta))
    assert len(text.split()) > 10
    assert seen[-1] == Finished(Outcome.LENGTH, "length")
    usage = next(event for event in seen if isinstance(event, Usage))
    assert usage.output_tokens == 20 and usage.input_tokens and not usage.estimated
    assert meter.usage == usage


async def test_its_models_are_listed(provider: Provider) -> None:
    (model,) = await provider.list_models()
    assert model.name.endswith("letters.gguf")
    assert model.context_window == 512
    assert not model.takes_images


async def test_a_wrong_key_is_refused(address: str) -> None:
    with pytest.raises(errors.AuthenticationError) as raised:
        async for _ in provider_for(endpoint(address, "sk-wrong-canary-000000")).stream(ask("Hi")):
            pass
    assert "canary" not in raised.value.detail
    await close_all()


async def test_a_conversation_that_is_too_long_is_reported(provider: Provider) -> None:
    with pytest.raises(errors.ContextLengthError):
        async for _ in provider.stream(ask("word " * 400)):
            pass


async def test_closing_frees_its_only_slot(provider: Provider) -> None:
    async with aclosing(provider.stream(ask("Talk", tokens=400))) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                break
    answer = [event async for event in provider.stream(ask("And now", tokens=5))]
    assert isinstance(answer[-1], Finished)


async def test_answers_at_the_same_time_are_whole(provider: Provider) -> None:
    async def answer(number: int) -> int:
        events = [event async for event in provider.stream(ask(f"Number {number}", tokens=10 + number))]
        assert isinstance(events[-1], Finished)
        return next(event.output_tokens for event in events if isinstance(event, Usage)) or 0

    assert await asyncio.gather(*map(answer, range(4))) == [10, 11, 12, 13]
