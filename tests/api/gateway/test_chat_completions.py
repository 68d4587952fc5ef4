"""Chat Completions through the gateway, by OpenAI's own SDK, against every kind of provider."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import openai
import pytest
from asgiref.sync import sync_to_async

from chat.models import Conversation, Status, UsageEntry
from tests.api.gateway.conftest import Gateway, all_formats, without_pauses

WORDS = "word0 word1 word2 Grüße word4 "
TOOL = {
    "type": "function",
    "function": {"name": "tool0", "description": "A tool", "parameters": {"type": "object"}},
}


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key=gateway.key, base_url=f"{gateway.url}/v1", max_retries=0) as sdk:
        yield sdk


def ask(text: str) -> Any:
    return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]


async def entries() -> list[UsageEntry]:
    return await sync_to_async(
        lambda: list(UsageEntry.objects.select_related("user", "token", "generation"))
    )()


@all_formats
async def test_an_answer_equals_the_one_of_a_direct_call(
    client: openai.AsyncOpenAI, gateway: Gateway, name: str
) -> None:
    answer = await client.chat.completions.create(
        model=f"wire-{name}", messages=ask("/wire tokens=5 reasoning=2"), max_completion_tokens=50
    )
    choice = answer.choices[0]
    assert choice.message.content == WORDS
    assert choice.finish_reason == "stop"
    assert (
        choice.message.model_extra and choice.message.model_extra["reasoning_content"] == "thought0 thought1 "
    )
    assert answer.usage and answer.usage.prompt_tokens == 11 and answer.usage.completion_tokens == 7
    assert answer.usage.prompt_tokens_details and answer.usage.prompt_tokens_details.cached_tokens == 4
    assert "Be brief." in str(gateway.wire.log[-1].body)
    if name == "openai_chat":
        direct = openai.AsyncOpenAI(api_key="none", base_url=f"{gateway.wire.origin}/v1")
        said = ""
        async for chunk in await direct.chat.completions.create(
            model="wire", messages=ask("/wire tokens=5"), stream=True
        ):
            said += (chunk.choices and chunk.choices[0].delta.content) or ""
        await direct.close()
        assert said == choice.message.content


@all_formats
async def test_a_stream_equals_the_answer(client: openai.AsyncOpenAI, name: str) -> None:
    chunks = [
        chunk
        async for chunk in await client.chat.completions.create(
            model=f"wire-{name}",
            messages=ask("/wire tokens=5"),
            stream=True,
            stream_options={"include_usage": True},
        )
    ]
    assert "".join((chunk.choices and chunk.choices[0].delta.content) or "" for chunk in chunks) == WORDS
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage and chunks[-1].usage.completion_tokens == 5
    assert len({chunk.id for chunk in chunks}) == 1


@all_formats
async def test_tool_calls_stream_and_their_results_are_sent_back(
    client: openai.AsyncOpenAI, gateway: Gateway, name: str
) -> None:
    async with client.chat.completions.stream(
        model=f"wire-{name}", messages=ask("/wire tokens=1 tools=2"), tools=[TOOL], tool_choice="required"
    ) as stream:
        async for _event in stream:
            pass
        message = (await stream.get_final_completion()).choices[0].message
    assert message.tool_calls and [call.function.name for call in message.tool_calls] == ["tool0", "tool1"]
    assert all(json.loads(call.function.arguments) == {"city": "Zürich"} for call in message.tool_calls)
    whole = await client.chat.completions.create(
        model=f"wire-{name}", messages=ask("/wire tokens=1 tools=2"), tools=[TOOL]
    )
    assert whole.choices[0].finish_reason == "tool_calls"
    calls = whole.choices[0].message.tool_calls
    assert calls and json.loads(calls[1].function.arguments) == {"city": "Zürich"}  # type: ignore[union-attr]
    turns = [*ask("/wire tokens=1"), whole.choices[0].message.model_dump(exclude_none=True)]
    turns += [{"role": "tool", "tool_call_id": call.id, "content": f"Sunny {call.id}"} for call in calls]
    await client.chat.completions.create(model=f"wire-{name}", messages=turns, tools=[TOOL])
    body = json.dumps(gateway.wire.log[-1].body)
    assert all(f"Sunny {call.id}" in body for call in calls)


@all_formats
async def test_images_reach_the_model(client: openai.AsyncOpenAI, gateway: Gateway, name: str) -> None:
    data = base64.b64encode(b"a picture").decode()
    content = [
        {"type": "text", "text": "What is this? /wire tokens=1"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}},
    ]
    await client.chat.completions.create(
        model=f"wire-{name}",
        messages=[{"role": "user", "content": content}],  # type: ignore[list-item, misc]
    )
    assert data in json.dumps(gateway.wire.log[-1].body)


async def test_json_mode_and_sampling_are_passed_on(client: openai.AsyncOpenAI, gateway: Gateway) -> None:
    await client.chat.completions.create(
        model="wire-openai_compatible",
        messages=ask("/wire tokens=1"),
        response_format={"type": "json_object"},
        temperature=0.25,
        top_p=0.5,
        seed=7,
        stop=["END"],
        max_tokens=9,
        n=1,
    )
    body = gateway.wire.log[-1].body
    assert body["response_format"] == {"type": "json_object"}
    sent = {name: body[name] for name in ("temperature", "top_p", "seed", "stop", "max_tokens")}
    assert sent == {"temperature": 0.25, "top_p": 0.5, "seed": 7, "stop": ["END"], "max_tokens": 9}


async def test_the_demo_answers_in_the_middle_of_its_stream(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="demo", messages=ask("/demo instant /demo echo Hi!"))
    assert answer.choices[0].message.content == "Hi!"


async def test_an_error_before_the_answer_has_its_status(client: openai.AsyncOpenAI) -> None:
    cases: dict[str, type[openai.APIStatusError]] = {
        "fail=400": openai.BadRequestError,
        "fail=404 code=model_not_found": openai.NotFoundError,
        "fail=429 retry_after=100": openai.RateLimitError,
        "fail=401": openai.InternalServerError,  # Steady's key, not the program's
        "fail=500": openai.InternalServerError,
        "cut=0": openai.InternalServerError,
    }
    for script, kind in cases.items():
        for stream in (False, True):
            await without_pauses()
            with pytest.raises(kind) as raised:
                await client.chat.completions.create(
                    model="wire-openai_chat", messages=ask(f"/wire {script}"), stream=stream
                )
            assert isinstance(raised.value.body, dict) and raised.value.body["message"]
            assert (
                raised.value.response.headers["X-Should-Retry"]
                == str(script == "fail=429 retry_after=100").lower()
            )
    last = (await entries())[0]
    assert (last.status, last.output_tokens) == (Status.FAILED, None)


@all_formats
async def test_an_error_in_the_middle_ends_the_stream(client: openai.AsyncOpenAI, name: str) -> None:
    for script in ("error=2", "cut=2", "drop=2"):
        said = ""
        with pytest.raises(openai.APIError) as raised:
            async for chunk in await client.chat.completions.create(
                model=f"wire-{name}", messages=ask(f"/wire {script}"), stream=True
            ):
                said += (chunk.choices and chunk.choices[0].delta.content) or ""
        assert not isinstance(raised.value, openai.APIStatusError)
        assert said == "word0 word1 "
        last = (await entries())[0]
        assert last.status == Status.INTERRUPTED and last.output_tokens and last.estimated


@all_formats
async def test_a_program_that_disconnects_closes_the_provider_and_has_a_usage_entry(
    client: openai.AsyncOpenAI, gateway: Gateway, settled: Callable[[], Any], name: str
) -> None:
    stream = await client.chat.completions.create(
        model=f"wire-{name}", messages=ask("/wire tokens=100 hang=3"), stream=True
    )
    said = ""
    async for chunk in stream:
        said += (chunk.choices and chunk.choices[0].delta.content) or ""
        if said.endswith("word2 "):
            break
    await stream.close()
    await gateway.wire.settled()
    assert gateway.wire.log[-1].end == "closed by client"
    await settled()
    entry = (await entries())[0]
    assert entry.status == Status.STOPPED and entry.output_tokens and entry.estimated


async def test_the_usage_entry_exists_when_the_answer_is_complete(
    client: openai.AsyncOpenAI, gateway: Gateway
) -> None:
    await client.chat.completions.create(model="wire-openai_chat", messages=ask("/wire tokens=5"))
    (entry,) = await entries()
    assert (entry.user, entry.status, entry.api) == (gateway.person, Status.COMPLETE, "chat_completions")
    assert (entry.input_tokens, entry.cached_input_tokens, entry.output_tokens) == (11, 4, 5)
    assert entry.cost == Decimal("0.000021") and not entry.estimated
    assert entry.token and entry.token.name == "A program"
    assert entry.seconds and entry.seconds_to_first_token
    assert entry.generation is None and not await Conversation.objects.aexists()


async def test_a_header_keeps_the_call_as_a_chat(client: openai.AsyncOpenAI) -> None:
    turns = [*ask("What is up?"), {"role": "assistant", "content": "Not much."}]
    turns.append({"role": "user", "content": "/wire tokens=5"})
    async for _chunk in await client.chat.completions.create(
        model="wire-openai_chat", messages=turns, extra_headers={"X-Steady-Keep": "true"}, stream=True
    ):
        pass

    def kept() -> tuple[str, list[tuple[str, str]], int | None]:
        conversation = Conversation.objects.filter(generations__usage_entry__status=Status.COMPLETE).get()
        messages = list(conversation.messages.order_by("position"))
        return (
            conversation.title,
            [(message.role, message.text) for message in messages],
            messages[-1].generation.output_tokens,
        )

    title, messages, tokens = await sync_to_async(kept)()
    assert title == "What is up?"
    assert messages[0] == ("user", "What is up?")
    assert messages[1:] == [("assistant", "Not much."), ("user", "/wire tokens=5"), ("assistant", WORDS)]
    assert tokens == 5


async def test_the_metrics_count_calls_their_tokens_and_their_errors(
    client: openai.AsyncOpenAI, gateway: Gateway
) -> None:
    metrics = gateway.runtime.metrics.registry
    model = {"provider": "openai", "model": "wire-openai_chat"}
    await client.chat.completions.create(model=model["model"], messages=ask("/wire tokens=5"))
    with pytest.raises(openai.APIStatusError):
        await client.chat.completions.create(model=model["model"], messages=ask("/wire fail=401"))
    for outcome in ("complete", "failed"):
        assert metrics.get_sample_value("steady_calls_total", {"outcome": outcome, **model}) == 1
    for direction, tokens in (("input", 11), ("cached_input", 4), ("output", 5)):
        labels = {"direction": direction, **model}
        assert metrics.get_sample_value("steady_tokens_total", labels) == tokens
    labels = {"provider": "openai", "code": "authentication"}
    assert metrics.get_sample_value("steady_provider_errors_total", labels) == 1
    assert metrics.get_sample_value("steady_running_calls") == 0


async def test_texts_that_no_database_stores_are_kept_as_far_as_possible(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="wire-openai_chat",
        messages=ask("/wire text=a\x00b"),
        extra_headers={"X-Steady-Keep": "true"},
    )
    assert answer.choices[0].message.content == "a\x00b"

    def kept() -> list[str]:
        return list(Conversation.objects.get().messages.order_by("position").values_list("text", flat=True))

    assert await sync_to_async(kept)() == ["/wire text=a\ufffdb", "a\ufffdb"]
