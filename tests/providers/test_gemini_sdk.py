"""The Gemini adapter against Google's SDK: the same request, and the same reading of the same stream.

The SDK is no dependency of Steady (see `chat/providers/gemini.py`); here it is the reference.
"""

from typing import Any

import pytest
from google import genai
from google.genai import types

from chat.providers.base import ChatRequest, File, Tool, ToolCall, ToolResult, Turn
from chat.providers.events import ReasoningDelta, TextDelta, Usage
from tests.providers.conftest import KEY, Connect, collect
from tests.providers.wire import Wire

# The SDK subclasses what aiohttp does not want subclassed.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def sdk(wire: Wire) -> genai.Client:
    options = types.HttpOptions(base_url=wire.origin, retry_options=types.HttpRetryOptions(attempts=1))
    return genai.Client(api_key=KEY, http_options=options)


def canonical(value: Any) -> Any:
    """The SDK writes base64 for URLs, and one name with underscores: both are the same to protobuf's JSON."""
    if isinstance(value, dict):
        renamed = {_camel(name): canonical(inner) for name, inner in value.items()}
        if "mimeType" in renamed:
            renamed["data"] = renamed["data"].replace("-", "+").replace("_", "/")
        return renamed
    return [canonical(inner) for inner in value] if isinstance(value, list) else value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


async def test_the_request_is_what_the_sdk_sends(connect: Connect, wire: Wire) -> None:
    picture = b"\x89PNG\xff\x00\xfe"
    await collect(
        connect("gemini"),
        ChatRequest(
            "gemini-2.5-pro",
            [
                Turn("user", "Hello", files=[File("image/png", picture)]),
                Turn("assistant", "I look.", tool_calls=[ToolCall("id-1", "weather", '{"city": "Zürich"}')]),
                Turn("user", "And now?", tool_results=[ToolResult("id-1", "Sunny.")]),
            ],
            system="Be brief.",
            max_output_tokens=99,
            temperature=0.5,
            reasoning_effort="low",
            tools=[Tool("weather", "The weather", SCHEMA)],
        ),
    )
    client = sdk(wire)
    call = types.FunctionCall(id="id-1", name="weather", args={"city": "Zürich"})
    answer = types.FunctionResponse(id="id-1", name="weather", response={"result": "Sunny."})
    contents: list[Any] = [
        types.Content(
            role="user",
            parts=[types.Part.from_bytes(data=picture, mime_type="image/png"), types.Part(text="Hello")],
        ),
        types.Content(role="model", parts=[types.Part(text="I look."), types.Part(function_call=call)]),
        types.Content(role="user", parts=[types.Part(function_response=answer), types.Part(text="And now?")]),
    ]
    declaration = types.FunctionDeclaration(
        name="weather", description="The weather", parameters_json_schema=SCHEMA
    )
    config = types.GenerateContentConfig(
        system_instruction=types.Content(parts=[types.Part(text="Be brief.")]),
        max_output_tokens=99,
        temperature=0.5,
        thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=1024),
        tools=[types.Tool(function_declarations=[declaration])],
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    stream = await client.aio.models.generate_content_stream(
        model="gemini-2.5-pro", contents=contents, config=config
    )
    async for _ in stream:
        pass
    await client.aio.aclose()
    ours, theirs = wire.log
    assert ours.path == theirs.path
    assert ours.body == canonical(theirs.body)
    assert ours.headers["x-goog-api-key"] == theirs.headers["x-goog-api-key"]


async def test_the_stream_is_read_as_the_sdk_reads_it(connect: Connect, wire: Wire) -> None:
    script = "/wire reasoning=2 tokens=5 split=5"
    events = await collect(connect("gemini"), ChatRequest("wire", [Turn("user", script)]))
    client = sdk(wire)
    text = thought = ""
    usage: types.GenerateContentResponseUsageMetadata | None = None
    async for chunk in await client.aio.models.generate_content_stream(model="wire", contents=script):
        for candidate in chunk.candidates or ():
            for part in (candidate.content and candidate.content.parts) or ():
                if part.thought:
                    thought += part.text or ""
                else:
                    text += part.text or ""
        usage = chunk.usage_metadata or usage
    await client.aio.aclose()
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == text
    assert "".join(event.text for event in events if isinstance(event, ReasoningDelta)) == thought
    counted = next(event for event in events if isinstance(event, Usage))
    assert usage is not None
    assert counted.input_tokens == usage.prompt_token_count
    assert counted.reasoning_tokens == usage.thoughts_token_count
