"""Anthropic's Messages API through the gateway, by its own SDK, against every kind of provider."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import anthropic
import pytest
from asgiref.sync import sync_to_async

from chat.models import ChatModel, Status, UsageEntry
from tests.api.gateway.conftest import Gateway, all_formats, without_pauses
from tests.providers.wire import SIGNATURE

WORDS = "word0 word1 word2 Grüße word4 "
TOOL: Any = {"name": "tool0", "description": "A tool", "input_schema": {"type": "object"}}


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(api_key=gateway.key, base_url=gateway.url, max_retries=0) as sdk:
        yield sdk


def asking(name: str, script: str, **more: Any) -> Any:
    messages = [{"role": "user", "content": f"/wire {script}"}]
    return {"model": f"wire-{name}", "max_tokens": 50, "messages": messages, **more}


@all_formats
async def test_an_answer_and_its_stream_equal_a_direct_call(
    client: anthropic.AsyncAnthropic, gateway: Gateway, name: str
) -> None:
    asked = asking(name, "tokens=5", system=[{"type": "text", "text": "Be brief."}])
    answer = await client.messages.create(**asked)
    assert [block.type for block in answer.content] == ["text"]
    assert answer.content[0].text == WORDS  # type: ignore[union-attr]
    assert (answer.stop_reason, answer.model) == ("end_turn", f"wire-{name}")
    usage = answer.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (7, 4, 5)
    assert "Be brief." in str(gateway.wire.log[-1].body)
    async with client.messages.stream(**asked) as stream:
        assert "".join([text async for text in stream.text_stream]) == WORDS
        final = await stream.get_final_message()
    assert final.content[0].text == WORDS  # type: ignore[union-attr]
    assert (final.usage.input_tokens, final.usage.output_tokens) == (7, 5)
    assert final.stop_reason == "end_turn"
    if name == "anthropic":
        async with (
            anthropic.AsyncAnthropic(api_key="none", base_url=gateway.wire.origin) as sdk,
            sdk.messages.stream(**asked) as direct,
        ):
            assert (await direct.get_final_message()).content[0].text == WORDS  # type: ignore[union-attr]


@all_formats
async def test_tools_are_called_and_their_results_are_sent_back(
    client: anthropic.AsyncAnthropic, gateway: Gateway, name: str
) -> None:
    asked = asking(name, "tokens=1 tools=2", tools=[TOOL], tool_choice={"type": "any"})
    async with client.messages.stream(**asked) as stream:
        streamed = await stream.get_final_message()
    whole = await client.messages.create(**asked)
    for answer in (streamed, whole):
        assert [block.type for block in answer.content] == ["text", "tool_use", "tool_use"]
        calls = [block for block in answer.content if block.type == "tool_use"]
        assert [(call.name, call.input) for call in calls] == [
            ("tool0", {"city": "Zürich"}),
            ("tool1", {"city": "Zürich"}),
        ]
        assert answer.stop_reason == "tool_use"
    results = [
        {
            "type": "tool_result",
            "tool_use_id": call.id,
            "content": [{"type": "text", "text": f"Sun {call.id}"}],
        }
        for call in calls
    ]
    turns = [
        *asked["messages"],
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in whole.content]},
        {"role": "user", "content": results},
    ]
    await client.messages.create(**{**asked, "messages": turns})
    body = json.dumps(gateway.wire.log[-1].body)
    assert all(f"Sun {call.id}" in body for call in calls)


@all_formats
async def test_images_reach_the_model(client: anthropic.AsyncAnthropic, gateway: Gateway, name: str) -> None:
    data = base64.b64encode(b"a picture").decode()
    source = {"type": "base64", "media_type": "image/png", "data": data}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "/wire tokens=1"}]
    await client.messages.create(**asking(name, "", messages=[{"role": "user", "content": content}]))
    assert data in json.dumps(gateway.wire.log[-1].body)


async def test_reasoning_is_signed_and_sent_back(client: anthropic.AsyncAnthropic, gateway: Gateway) -> None:
    asked = asking("anthropic", "tokens=1 reasoning=2 signature=1")
    asked |= {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}
    async with client.messages.stream(**asked) as stream:
        streamed = await stream.get_final_message()
    whole = await client.messages.create(**asked)
    for answer in (streamed, whole):
        thought = answer.content[0]
        assert thought.type == "thinking"
        assert (thought.thinking, thought.signature) == ("thought0 thought1 ", SIGNATURE)
    content = [block.model_dump(exclude_none=True) for block in streamed.content]
    turns = [*asked["messages"], {"role": "assistant", "content": content}, *asked["messages"]]
    await client.messages.create(**{**asked, "messages": turns})
    body = gateway.wire.log[-1].body
    assert body["messages"][1]["content"][0]["signature"] == SIGNATURE
    assert (body["thinking"]["type"], body["output_config"]) == ("adaptive", {"effort": "low"})
    quiet = await client.messages.create(**asking("anthropic", "tokens=1 reasoning=2"))
    assert [block.type for block in quiet.content] == ["text"]


async def test_options_are_passed_on(client: anthropic.AsyncAnthropic, gateway: Gateway) -> None:
    asked = asking("anthropic", "tokens=1", stop_sequences=["END"])
    asked["messages"][0]["content"] = [
        {"type": "text", "text": "/wire tokens=1", "cache_control": {"type": "ephemeral"}}
    ]
    schema = {"type": "object", "properties": {}}
    asked["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    await client.messages.create(**asked, extra_body={"top_k": 5, "temperature": 0.5})
    body = gateway.wire.log[-1].body
    assert body["stop_sequences"] == ["END"] and body["cache_control"] == {"type": "ephemeral"}
    assert (body["top_k"], body["temperature"]) == (5, 0.5)
    assert body["output_config"]["format"]["schema"] == schema


async def test_errors_have_anthropics_form(client: anthropic.AsyncAnthropic) -> None:
    cases: dict[str, tuple[type[anthropic.APIStatusError], str]] = {
        "fail=400": (anthropic.BadRequestError, "invalid_request_error"),
        "fail=429 retry_after=100": (anthropic.RateLimitError, "rate_limit_error"),
        "fail=500": (anthropic.InternalServerError, "api_error"),
    }
    for script, (kind, name) in cases.items():
        for stream in (False, True):
            await without_pauses()
            with pytest.raises(kind) as raised:
                await client.messages.create(**asking("anthropic", script), stream=stream)
            assert isinstance(raised.value.body, dict) and raised.value.body["error"]["type"] == name


@all_formats
async def test_an_error_in_the_middle_ends_the_stream(client: anthropic.AsyncAnthropic, name: str) -> None:
    said = ""
    with pytest.raises(anthropic.APIStatusError) as raised:
        async with client.messages.stream(**asking(name, "cut=2")) as stream:
            async for text in stream.text_stream:
                said += text
    assert said == "word0 word1 "
    assert isinstance(raised.value.body, dict) and raised.value.body["error"]["type"] == "api_error"


async def test_a_program_that_disconnects_closes_the_provider(
    client: anthropic.AsyncAnthropic, gateway: Gateway, settled: Callable[[], Any]
) -> None:
    async with client.messages.stream(**asking("gemini", "hang=3")) as stream:
        async for text in stream.text_stream:
            if text.endswith("word2 "):
                break
    await gateway.wire.settled()
    assert gateway.wire.log[-1].end == "closed by client"
    await settled()
    entry = await UsageEntry.objects.aget()
    assert (entry.status, entry.api) == (Status.STOPPED, "messages")


async def test_the_list_of_models_has_anthropics_form(client: anthropic.AsyncAnthropic) -> None:
    await sync_to_async(ChatModel.objects.filter(name="demo").update)(display_name="The demo")
    listed = [model async for model in client.models.list()]
    assert next(model.display_name for model in listed if model.id == "demo") == "The demo"
    assert (await client.models.retrieve("wire-gemini")).id == "wire-gemini"
    with pytest.raises(anthropic.NotFoundError):
        await client.models.retrieve("nothing")


async def test_what_is_wrong_is_refused_by_its_name(gateway: Gateway) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"max_tokens": None}, "max_tokens"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "thinking"}]}]}, "messages[0].content[0].type"),
        ({"system": [{"type": "image"}]}, "system[0].type"),
        ({"tools": [{"type": "web_search_20250305", "name": "x"}]}, "tools[0].type"),
        ({"thinking": {"type": "perhaps"}}, "thinking.type"),
        ({"output_config": {"effort": "max"}}, "output_config.effort"),
        ({"top_k": "x"}, "top_k"),
        ({"novelty": 1}, "novelty"),
    ]
    async with aiohttp.ClientSession(headers={"x-api-key": gateway.key}) as http:
        for more, param in wrong:
            async with http.post(
                f"{gateway.url}/v1/messages", json=asking("anthropic", "", **more)
            ) as answer:
                body = await answer.json()
                assert (answer.status, body["type"]) == (400, "error"), more
                assert body["error"]["type"] == "invalid_request_error"
                assert body["error"]["message"].startswith(param), more
        asked = asking("gemini", "", tool_choice={"type": "auto", "disable_parallel_tool_use": True})
        async with http.post(f"{gateway.url}/v1/messages", json=asked) as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (400, "unsupported_option")
    async with aiohttp.ClientSession() as http, http.post(f"{gateway.url}/v1/messages", json={}) as answer:
        assert (answer.status, (await answer.json())["error"]["type"]) == (401, "authentication_error")
    assert gateway.wire.log == []


async def test_tokens_are_counted_by_estimate(client: anthropic.AsyncAnthropic, gateway: Gateway) -> None:
    messages: Any = [{"role": "user", "content": "How do tides work?"}]
    few = await client.messages.count_tokens(model="wire-gemini", messages=messages)
    assert 5 <= few.input_tokens <= 15
    more = await client.messages.count_tokens(
        model="wire-gemini", messages=messages, system="Be brief. " * 100, tools=[TOOL]
    )
    assert more.input_tokens > few.input_tokens + 200
    with pytest.raises(anthropic.NotFoundError):
        await client.messages.count_tokens(model="unknown", messages=messages)
    with pytest.raises(anthropic.BadRequestError):
        await client.messages.count_tokens(model="wire-gemini", messages=[])
    assert not gateway.wire.log and not await UsageEntry.objects.acount()
