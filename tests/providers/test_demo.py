"""The demo model without a key, and the registry of adapters."""

import asyncio
import gc

import pytest

from chat.parts import ToolResult
from chat.providers import errors, registry
from chat.providers.base import ChatRequest, EndpointConfig, Provider, Tool, Turn
from chat.providers.demo import MODELS
from chat.providers.events import Finished, Notice, Outcome, ReasoningDelta, TextDelta, ToolCallDelta, Usage
from chat.providers.registry import close_all, provider_for
from tests.pipeline.virtual_time import in_virtual_time
from tests.providers.conftest import ask, collect

DEMO = EndpointConfig("demo", "demo", "Demo")


def demo() -> Provider:
    return provider_for(DEMO)


def text_of(events: list[object]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


@in_virtual_time
async def test_the_demo_streams_markdown_at_a_readable_pace() -> None:
    events = await collect(demo(), ask("What is *this*?", model="demo"))
    text = text_of(events)
    assert isinstance(events[0], Notice) and isinstance(events[1], ReasoningDelta)
    for mark in ("## ", "1. ", "- [x]", "| Part |", "```python", "$$", "> ", "**Stop**", "](https://"):
        assert mark in text
    assert r"What is \*this\*?" in text
    assert isinstance(events[-2], Usage) and events[-2].output_tokens == len(events) - 3
    assert events[-1] == Finished(Outcome.COMPLETE, "stop")
    assert len(events) / asyncio.get_running_loop().time() == pytest.approx(30, rel=0.2)


@pytest.mark.parametrize(
    ("prompt", "quoted"),
    [
        ("/demo A question with a marker", "/demo A question with a marker"),
        ("/demo instant Why? /demo long", "Why?"),
        ("/demo fail_not instant", r"/demo fail\_not instant"),
        ("/demo instant", "nothing at all"),
    ],
)
@in_virtual_time
async def test_the_answer_quotes_all_but_commands(prompt: str, quoted: str) -> None:
    assert f"You wrote: *{quoted}*." in text_of(await collect(demo(), ask(prompt, model="demo")))


@in_virtual_time
async def test_the_fast_demo_is_long_and_fast() -> None:
    events = await collect(demo(), ask("Hi", model="demo-fast"))
    assert 1_300 < len(text_of(events).split()) < 2_000
    assert len(events) / asyncio.get_running_loop().time() == pytest.approx(200, rel=0.2)


@pytest.mark.parametrize(
    ("command", "outcome"),
    [
        ("/demo refuse", Outcome.REFUSED),
        ("/demo length", Outcome.LENGTH),
        ("/demo long", Outcome.COMPLETE),
        ("/demo think", Outcome.COMPLETE),
    ],
)
async def test_a_command_chooses_the_end(command: str, outcome: Outcome) -> None:
    events = await collect(demo(), ask(f"/demo instant {command}", model="demo"))
    assert isinstance(events[-1], Finished) and events[-1].outcome is outcome


async def test_a_cut_demo_has_no_end() -> None:
    events = await collect(demo(), ask("/demo instant /demo cut", model="demo"))
    assert text_of(events) and not isinstance(events[-1], Finished)


async def test_a_broken_demo_fails_in_the_middle() -> None:
    seen = []
    with pytest.raises(errors.ConnectionFailedError):
        async for event in demo().stream(ask("/demo instant /demo break", model="demo")):
            seen.append(event)
    assert len(text_of(seen)) > 100


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("/demo fail", errors.UnavailableError),
        ("/demo fail rate_limited", errors.RateLimitError),
        ("/demo fail context_length", errors.ContextLengthError),
        ("please /demo fail now", errors.UnavailableError),
    ],
)
async def test_a_failing_demo_fails_as_asked(command: str, kind: type[errors.ProviderError]) -> None:
    with pytest.raises(kind):
        await collect(demo(), ask(command, model="demo"))


async def test_a_flaky_demo_works_at_the_second_attempt() -> None:
    request = ask("/demo instant /demo flaky", model="demo")
    with pytest.raises(errors.OverloadedError):
        await collect(demo(), request)
    assert isinstance((await collect(demo(), request))[-1], Finished)


@pytest.mark.parametrize("command", ["hang", "stall"])
@in_virtual_time
async def test_a_silent_demo_never_answers(command: str) -> None:
    reader = asyncio.create_task(collect(demo(), ask(f"/demo instant /demo {command}", model="demo")))
    await asyncio.sleep(3_600)
    assert not reader.done()
    reader.cancel()


async def test_an_echo_is_verbatim() -> None:
    said = "<b onclick=x>\n\n```py\n  1\n```\r\n\u202e"
    events = await collect(demo(), ask(f"/demo instant /demo echo {said}", model="demo"))
    assert text_of(events) == said


@in_virtual_time
async def test_the_demo_calls_a_tool_and_reads_its_result() -> None:
    tools = [Tool("clock", "The time", {"type": "object"})]
    prompt = Turn("user", "/demo tool")
    first = await collect(demo(), ChatRequest("demo", [prompt], tools=tools))
    assert next(event.name for event in first if isinstance(event, ToolCallDelta)) == "clock"
    result = Turn("user", "/demo tool", tool_results=[ToolResult("call_demo", "12")])
    second = await collect(demo(), ChatRequest("demo", [prompt, result], tools=tools))
    assert text_of(second) and not any(isinstance(event, ToolCallDelta) for event in second)


async def test_the_demo_keeps_the_output_limit() -> None:
    events = await collect(demo(), ask("/demo instant", model="demo", max_output_tokens=5))
    assert sum(isinstance(event, TextDelta) for event in events) == 5
    assert events[-1] == Finished(Outcome.LENGTH, "length")


async def test_an_unknown_model_is_not_found() -> None:
    with pytest.raises(errors.ModelNotFoundError):
        await collect(demo(), ask("Hi", model="gpt-9"))
    assert [model.name for model in await demo().list_models()] == [model.name for model in MODELS]


async def test_an_endpoint_has_one_adapter() -> None:
    assert demo() is demo()
    assert demo() is not provider_for(EndpointConfig("demo-2", "demo", "Demo"))
    assert demo() is not provider_for(EndpointConfig("demo", "demo", "Demo", api_key="new"))


async def test_closed_adapters_are_replaced() -> None:
    first = demo()
    await close_all()
    assert demo() is not first


def test_each_event_loop_has_its_own_adapters_until_it_ends() -> None:
    async def get() -> Provider:
        return demo()

    assert asyncio.run(get()) is not asyncio.run(get())
    gc.collect()
    assert all(not loop.is_closed() for loop in registry._instances)


async def test_an_unknown_kind_is_a_configuration_error() -> None:
    with pytest.raises(errors.ConfigurationError):
        provider_for(EndpointConfig("x", "telepathy", "X"))


@pytest.mark.parametrize("kind", ["openai", "anthropic", "gemini"])
async def test_an_endpoint_without_its_key_is_a_configuration_error(kind: str) -> None:
    with pytest.raises(errors.ConfigurationError):
        provider_for(EndpointConfig("x", kind, "X"))


def test_an_endpoint_does_not_show_its_key() -> None:
    assert "secret" not in repr(EndpointConfig("x", "openai", "X", api_key="secret"))


async def test_a_continuation_begins_where_the_answer_stopped() -> None:
    asked = "/demo instant Tell me"
    whole = "".join(
        [e.text async for e in demo().stream(ask(asked, model="demo")) if isinstance(e, TextDelta)]
    )
    words = "Your last answer was cut off. Continue it exactly where it stopped. Do not repeat any of it."
    turns = [Turn("user", asked), Turn("assistant", whole[:200]), Turn("user", f"/demo instant {words}")]
    rest = [e.text async for e in demo().stream(ChatRequest("demo", turns)) if isinstance(e, TextDelta)]
    assert whole[:200] + "".join(rest) == whole
