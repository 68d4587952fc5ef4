"""A character beyond the first plane is two halves in JSON, and some servers put them into two deltas."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chat.providers.events import Finished, ProviderEvent, ReasoningDelta, TextDelta, ToolCallDelta
from chat.providers.openai_chat import ChatDecoder
from chat.providers.openai_compatible import CompatibleDecoder
from tests.providers.conftest import Connect, ask, collect
from tests.providers.wire import FORMATS


def decode(decoder: ChatDecoder, *deltas: dict[str, Any]) -> list[ProviderEvent]:
    events: list[ProviderEvent] = []
    for delta in deltas:
        events.extend(decoder.decode(json.dumps({"choices": [{"delta": delta}]}).encode()))
    events.extend(decoder.decode(b'{"choices": [{"delta": {}, "finish_reason": "stop"}]}'))
    return [*events, *decoder.close()]


def texts(events: list[ProviderEvent]) -> list[str]:
    return [event.text for event in events if isinstance(event, TextDelta)]


@pytest.mark.parametrize("name", FORMATS)
async def test_an_emoji_split_over_two_deltas_is_one(connect: Connect, name: str) -> None:
    events = await collect(connect(name), ask("/wire halves=1"))
    assert "".join(texts(events)) == "Hi \U0001f600 there"
    assert isinstance(events[-1], Finished)


@pytest.mark.parametrize("make", [ChatDecoder, CompatibleDecoder])
@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (["\ud83d", "\ude00"], "\U0001f600"),
        (["a\ud83d", "", "\ude00b", "c"], "a\U0001f600bc"),
        (["\ud83d", "b"], "\ufffdb"),
        (["a", "\ude00b"], "a\ufffdb"),
        (["a\ud83d"], "a\ufffd"),
        (["\ud83d", "\ude00\ud83d", "\ude00"], "\U0001f600\U0001f600"),
        (["a\ud83db"], "a\ufffdb"),
    ],
)
def test_halves_are_joined_and_a_lost_one_is_marked(
    make: type[ChatDecoder], pieces: list[str], text: str
) -> None:
    events = decode(make(), *({"content": piece} for piece in pieces))
    assert "".join(texts(events)) == text
    assert isinstance(events[-1], Finished)
    "".join(texts(events)).encode()


def test_halves_of_the_reasoning_of_a_call_and_of_the_text_are_kept_apart() -> None:
    def call(arguments: str, **more: str) -> dict[str, Any]:
        return {"tool_calls": [{"index": 0, **more, "function": {"name": "f", "arguments": arguments}}]}

    events = decode(
        ChatDecoder(),
        {"reasoning_content": "\ud83d"},
        call("\ud83d", id="c"),
        {"content": "\ud83d"},
        {"reasoning_content": "\ude00"},
        call("\ude01"),
        {"content": "\ude02"},
    )
    assert events[:-1] == [
        ToolCallDelta(0, "", id="c", name="f"),
        ReasoningDelta("\U0001f600"),
        ToolCallDelta(0, "\U0001f601"),
        TextDelta("\U0001f602"),
    ]
