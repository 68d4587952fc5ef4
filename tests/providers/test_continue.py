"""How the start of an answer is sent back for continuation."""

from __future__ import annotations

from typing import Any

import pytest

from chat.providers.base import CONTINUE_PROMPT, ChatRequest, Turn
from chat.providers.model_list import Entry
from chat.providers.parameter_fallback import CONTINUE_OPTIONS
from tests.providers.conftest import Connect, collect
from tests.providers.wire import FORMATS, Wire

BEGINNING = "It was a dark and"


def cut_off(prompt: str, *, model: str = "wire", beginning: str = BEGINNING, **more: Any) -> ChatRequest:
    turns = [Turn("user", prompt), Turn("assistant", beginning), Turn("user", CONTINUE_PROMPT)]
    return ChatRequest(model, turns, continues=True, **more)


def last(body: dict[str, Any]) -> tuple[str, str]:
    message = body["messages"][-1]
    content = message["content"]
    return message["role"], content if isinstance(content, str) else content[0]["text"]


@pytest.mark.parametrize("name", FORMATS)
async def test_a_provider_not_known_to_continue_is_asked_to(connect: Connect, wire: Wire, name: str) -> None:
    await collect(connect(name), cut_off("Tell"))
    sent = str(wire.log[-1].body)
    assert sent.index("Tell") < sent.index(BEGINNING) < sent.index(CONTINUE_PROMPT)


@pytest.mark.parametrize(("server", "options"), [("vllm", CONTINUE_OPTIONS), ("llamacpp", {})])
async def test_a_server_that_continues_text_is_sent_the_beginning_last(
    connect: Connect, wire: Wire, server: str, options: dict[str, bool]
) -> None:
    provider = connect("openai_compatible")
    provider.model_info(Entry({"id": "wire", "owned_by": server}))  # type: ignore[attr-defined]
    await collect(provider, cut_off("Tell"))
    body = wire.log[-1].body
    assert last(body) == ("assistant", BEGINNING)
    assert {name: body[name] for name in CONTINUE_OPTIONS if name in body} == options


async def test_a_server_that_refuses_that_is_asked_to_and_the_model_is_remembered(
    connect: Connect, wire: Wire
) -> None:
    provider = connect("openai_compatible")
    provider.model_info(Entry({"id": "wire", "owned_by": "vllm"}))  # type: ignore[attr-defined]
    for refused in (2, 3):
        await collect(provider, cut_off("/wire tokens=1 refuses=continue_final_message"))
        assert last(wire.log[-1].body) == ("user", CONTINUE_PROMPT)
        assert not CONTINUE_OPTIONS.keys() & wire.log[-1].body.keys()
        assert len(wire.log) == refused


@pytest.mark.parametrize(
    ("model", "goes_on"),
    [
        ("claude-3-haiku-20240307", True),
        ("claude-3-5-sonnet-20241022", True),
        ("claude-sonnet-4-20250514", True),
        ("claude-opus-4-1-20250805", True),
        ("claude-haiku-4-5", True),
        ("claude-opus-4-6", False),
        ("claude-sonnet-4-6", False),
        ("claude-opus-5", False),
        ("some-other-model", False),
    ],
)
async def test_models_of_anthropic_continue_text_up_to_4_5(
    connect: Connect, wire: Wire, model: str, goes_on: bool
) -> None:
    await collect(connect("anthropic"), cut_off("Tell", model=model))
    assert last(wire.log[-1].body) == (("assistant", BEGINNING) if goes_on else ("user", CONTINUE_PROMPT))


@pytest.mark.parametrize("more", [{"beginning": "It was "}, {"reasoning_effort": "low"}], ids=str)
async def test_a_beginning_that_anthropic_would_refuse_is_asked_for(
    connect: Connect, wire: Wire, more: dict[str, Any]
) -> None:
    await collect(connect("anthropic"), cut_off("Tell", model="claude-haiku-4-5", **more))
    assert last(wire.log[-1].body) == ("user", CONTINUE_PROMPT)
