"""The deviations of servers with a Chat Completions API."""

import asyncio
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.providers import errors
from chat.providers.base import EndpointConfig
from chat.providers.events import Finished, Outcome, ProviderEvent, ReasoningDelta, TextDelta, ToolCallDelta
from chat.providers.openai_compatible import CompatibleDecoder, ThinkSplitter
from chat.providers.registry import provider_for
from tests.pipeline.test_transform import cut
from tests.providers.conftest import Connect, ask, collect
from tests.providers.wire import Wire


def decode(*payloads: Any) -> list[ProviderEvent]:
    decoder = CompatibleDecoder()
    events = [event for payload in payloads for event in decoder.decode(orjson.dumps(payload))]
    return [*events, *decoder.close()]


def delta(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"delta": delta, "finish_reason": finish}]}


async def test_a_server_without_a_key_gets_no_authorization(wire: Wire) -> None:
    endpoint = EndpointConfig("local", "openai_compatible", "Local", base_url=wire.base_url("openai"))
    assert await collect(provider_for(endpoint), ask("hello"))
    assert "Authorization" not in wire.log[-1].headers


async def test_think_tags_in_the_text_are_reasoning(connect: Connect) -> None:
    events = await collect(connect("openai_compatible"), ask("/wire think=1 reasoning=2 tokens=2 split=3"))
    reasoning = "".join(event.text for event in events if isinstance(event, ReasoningDelta))
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert (reasoning.strip(), text) == ("thought0 thought1", "word0 word1 ")


async def test_a_missing_done_is_fine(connect: Connect) -> None:
    events = await collect(connect("openai_compatible"), ask("/wire tokens=1 done=0 usage=0"))
    assert isinstance(events[-1], Finished)


async def test_a_server_that_keeps_the_connection_open_after_the_end_is_not_awaited(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat.providers.sse.LINGER_SECONDS", 0.05)
    provider = connect("openai_compatible")
    events = await asyncio.wait_for(collect(provider, ask("/wire tokens=1 done=0 linger=1")), 60)
    assert isinstance(events[-1], Finished)


async def test_a_whole_message_instead_of_a_stream_is_read(connect: Connect) -> None:
    events = await collect(connect("openai_compatible"), ask("/wire tokens=2 whole=1"))
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "word0 word1 "
    assert isinstance(events[-1], Finished)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_has_two_names(field: str) -> None:
    assert decode(delta(**{field: "hm"})) == [ReasoningDelta("hm")]


def test_content_may_come_in_typed_parts() -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "yes"},
    ]
    assert decode(delta(content=parts)) == [ReasoningDelta("hm"), TextDelta("yes")]


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        ("stop", Outcome.COMPLETE),
        ("eos", Outcome.COMPLETE),
        ("end_turn", Outcome.COMPLETE),
        ("something new", Outcome.COMPLETE),
        ("length", Outcome.LENGTH),
        ("MAX_TOKENS", Outcome.LENGTH),
        ("model_length", Outcome.LENGTH),
        ("content_filter", Outcome.REFUSED),
        ("SAFETY", Outcome.REFUSED),
    ],
)
def test_finish_reasons_of_all_sorts(reason: str, outcome: Outcome) -> None:
    assert decode(delta(finish=reason)) == [Finished(outcome, reason)]


def test_an_aborted_generation_has_no_end() -> None:
    assert decode(delta(content="a"), delta(finish="abort")) == [TextDelta("a")]


def test_a_finish_reason_of_error_is_an_error() -> None:
    with pytest.raises(errors.UnavailableError):
        decode(delta(finish="error"))


def test_calls_without_an_index_or_with_repeated_ids_are_told_apart() -> None:
    calls = [
        {"id": "a", "function": {"name": "f", "arguments": '{"x"'}},
        {"id": "a", "function": {"name": "f", "arguments": ":1}"}},
        {"id": "b", "function": {"name": "g", "arguments": "{}"}},
    ]
    assert decode(*(delta(tool_calls=[call]) for call in calls), delta(finish="stop")) == [
        ToolCallDelta(0, '{"x"', id="a", name="f"),
        ToolCallDelta(0, ":1}"),
        ToolCallDelta(1, "{}", id="b", name="g"),
        Finished(Outcome.TOOL_CALLS, "stop"),
    ]


@pytest.mark.parametrize(
    "payload",
    [
        {"error": {"message": "Overloaded", "code": 503}},
        {"error": "the model crashed"},
        {"object": "error", "message": "CUDA out of memory", "code": 500},
    ],
)
def test_errors_in_the_stream_come_in_many_shapes(payload: dict[str, Any]) -> None:
    with pytest.raises((errors.OverloadedError, errors.UnavailableError)):
        decode(delta(content="a"), payload)


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("<think>hm</think>yes", "hm", "yes"),
        ("  \n<think>\nhm\n</think>\n\nyes", "hm\n", "yes"),
        ("<think>\n\n</think>\n\nyes", "", "yes"),
        ("no tags", "", "no tags"),
        ("later <think>x</think>", "", "later <think>x</think>"),
        ("<thin", "", "<thin"),
        ("<think>never closed </thi", "never closed </thi", ""),
        ("<think>a < b </ c</think>d", "a < b </ c", "d"),
        (" leading space", "", " leading space"),
    ],
)
@given(sizes=st.lists(st.integers(0, 6), max_size=20))
def test_think_tags_are_found_wherever_the_text_is_cut(
    text: str, reasoning: str, answer: str, sizes: list[int]
) -> None:
    splitter = ThinkSplitter()
    events = [event for piece in cut(text, sizes) for event in splitter.feed(piece)] + splitter.flush()
    assert "".join(event.text for event in events if isinstance(event, ReasoningDelta)) == reasoning
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == answer
