"""OpenAI's Responses API through the gateway, by its own SDK, against every kind of provider."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import openai
import pytest

from chat.models import Status, UsageEntry
from tests.api.gateway.conftest import Gateway, all_formats
from tests.providers.wire import SIGNATURE

WORDS = "word0 word1 word2 Grüße word4 "
TOOL: Any = {"type": "function", "name": "tool0", "parameters": {"type": "object"}, "strict": False}


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key=gateway.key, base_url=f"{gateway.url}/v1", max_retries=0) as sdk:
        yield sdk


@all_formats
async def test_an_answer_and_its_stream_equal_a_direct_call(
    client: openai.AsyncOpenAI, gateway: Gateway, name: str
) -> None:
    asked: Any = {"model": f"wire-{name}", "input": "/wire tokens=5", "instructions": "Be brief."}
    answer = await client.responses.create(**asked)
    assert (answer.output_text, answer.status) == (WORDS, "completed")
    assert answer.usage and (answer.usage.input_tokens, answer.usage.output_tokens) == (11, 5)
    assert "Be brief." in str(gateway.wire.log[-1].body)
    async with client.responses.stream(**asked) as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()
    assert final.output_text == WORDS and final.usage == answer.usage
    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == WORDS
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    if name == "openai":
        async with openai.AsyncOpenAI(api_key="none", base_url=f"{gateway.wire.origin}/v1") as sdk:
            direct = ""
            async for event in await sdk.responses.create(**asked, stream=True):
                direct += event.delta if event.type == "response.output_text.delta" else ""
            assert direct == WORDS


@all_formats
async def test_tools_are_called_and_their_results_are_sent_back(
    client: openai.AsyncOpenAI, gateway: Gateway, name: str
) -> None:
    asked: Any = {"model": f"wire-{name}", "tools": [TOOL], "tool_choice": "required"}
    async with client.responses.stream(**asked, input="/wire tokens=1 tools=2") as stream:
        async for _event in stream:
            pass
        streamed = await stream.get_final_response()
    whole = await client.responses.create(**asked, input="/wire tokens=1 tools=2")
    for answer in (streamed, whole):
        assert [item.type for item in answer.output] == ["message", "function_call", "function_call"]
        calls = [item for item in answer.output if item.type == "function_call"]
        assert [call.name for call in calls] == ["tool0", "tool1"]
        assert all(json.loads(call.arguments) == {"city": "Zürich"} for call in calls)
    items: list[Any] = [{"role": "user", "content": "/wire tokens=1"}]
    items += [item.model_dump(exclude_none=True, by_alias=True) for item in whole.output]
    items += [
        {"type": "function_call_output", "call_id": call.call_id, "output": f"Sun {call.call_id}"}
        for call in calls
    ]
    await client.responses.create(**asked, input=items)
    body = json.dumps(gateway.wire.log[-1].body)
    assert all(f"Sun {call.call_id}" in body for call in calls)


@all_formats
async def test_images_reach_the_model(client: openai.AsyncOpenAI, gateway: Gateway, name: str) -> None:
    data = base64.b64encode(b"a picture").decode()
    content = [
        {"type": "input_text", "text": "/wire tokens=1"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{data}", "detail": "auto"},
    ]
    items: Any = [{"role": "user", "content": content}]
    await client.responses.create(model=f"wire-{name}", input=items)
    assert data in json.dumps(gateway.wire.log[-1].body)


async def test_reasoning_is_summarized_and_sent_back_encrypted(
    client: openai.AsyncOpenAI, gateway: Gateway
) -> None:
    asked: Any = {"model": "wire-openai", "include": ["reasoning.encrypted_content"]}
    asked |= {"reasoning": {"effort": "low", "summary": "auto"}}
    script = "/wire tokens=1 reasoning=2 signature=1"
    async with client.responses.stream(**asked, input=script) as stream:
        async for _event in stream:
            pass
        streamed = await stream.get_final_response()
    whole = await client.responses.create(**asked, input=script)
    for answer in (streamed, whole):
        thought = answer.output[0]
        assert thought.type == "reasoning" and thought.summary[0].text == "thought0 thought1 "
    items: list[Any] = [{"role": "user", "content": "/wire tokens=1"}]
    items += [item.model_dump(exclude_none=True) for item in streamed.output]
    await client.responses.create(**asked, input=[*items, {"role": "user", "content": "/wire tokens=1"}])
    sent = gateway.wire.log[-1].body
    assert sent["reasoning"]["effort"] == "low"
    (back,) = [item for item in sent["input"] if item.get("type") == "reasoning"]
    assert (back["id"], back["encrypted_content"]) == ("rs_1", SIGNATURE)
    plain = await client.responses.create(model="wire-openai", input=script)
    assert [item.type for item in plain.output] == ["message"]


async def test_json_is_passed_on(client: openai.AsyncOpenAI, gateway: Gateway) -> None:
    schema = {"type": "object", "properties": {}}
    form: Any = {"type": "json_schema", "name": "x", "schema": schema, "strict": True}
    await client.responses.create(model="wire-gemini", input="/wire tokens=1", text={"format": form})
    assert gateway.wire.log[-1].body["generationConfig"]["responseJsonSchema"] == schema


@all_formats
async def test_an_error_in_the_middle_fails_the_response(client: openai.AsyncOpenAI, name: str) -> None:
    stream = await client.responses.create(model=f"wire-{name}", input="/wire cut=2", stream=True)
    events = [event async for event in stream]
    last = events[-1]
    assert last.type == "response.failed" and last.response.error
    assert last.response.error.code == "server_error"
    assert last.response.output_text == "word0 word1 "


async def test_an_answer_at_its_limit_is_incomplete(client: openai.AsyncOpenAI) -> None:
    answer = await client.responses.create(model="wire-gemini", input="/wire tokens=2 length=1")
    assert answer.status == "incomplete" and answer.incomplete_details
    assert answer.incomplete_details.reason == "max_output_tokens"


async def test_a_program_that_disconnects_closes_the_provider(
    client: openai.AsyncOpenAI, gateway: Gateway, settled: Callable[[], Any]
) -> None:
    stream = await client.responses.create(model="wire-anthropic", input="/wire hang=3", stream=True)
    async for event in stream:
        if event.type == "response.output_text.delta" and event.delta.endswith("word2 "):
            break
    await stream.close()
    await gateway.wire.settled()
    assert gateway.wire.log[-1].end == "closed by client"
    await settled()
    entry = await UsageEntry.objects.aget()
    assert (entry.status, entry.api) == (Status.STOPPED, "responses")


async def test_what_is_wrong_is_refused_by_its_name(gateway: Gateway) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"input": None}, "input"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
        ({"input": [{"role": "king", "content": "x"}]}, "input[0].role"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"store": True}, "store"),
        ({"background": True}, "background"),
        ({"include": ["file_search_call.results"]}, "include"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"text": {"verbosity": "low"}}, "text.verbosity"),
        ({"reasoning": {"effort": "extreme"}}, "reasoning.effort"),
        ({"novelty": 1}, "novelty"),
    ]
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {gateway.key}"}) as http:
        for more, param in wrong:
            body = {"model": "wire-openai", "input": "Hi", **more}
            async with http.post(f"{gateway.url}/v1/responses", json=body) as answer:
                error = (await answer.json())["error"]
                assert (answer.status, error["param"]) == (400, param), more
    assert gateway.wire.log == []
