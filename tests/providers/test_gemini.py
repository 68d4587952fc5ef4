"""The Gemini adapter compared with Google's SDK: the same request, and the same reading of the same stream.

The SDK also shows that the scripted server speaks the real format.
"""

import base64
from typing import Any

import pytest
from google import genai
from google.genai import types
from google.genai.errors import APIError

from chat.parts import Opaque, ToolCall, ToolResult
from chat.providers import errors
from chat.providers.base import ChatRequest, File, Tool, Turn
from chat.providers.errors import ConfigurationError
from chat.providers.events import Finished, Outcome, ReasoningDelta, TextDelta, ToolCallDelta, Usage
from chat.providers.gemini_content import ContentDecoder, content_body
from tests.providers.conftest import KEY, Connect, ask, collect
from tests.providers.test_contract import answering
from tests.providers.wire import Wire

# The SDK subclasses what aiohttp does not want subclassed.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def sdk(wire: Wire) -> genai.Client:
    retries = types.HttpRetryOptions(attempts=1)
    options = types.HttpOptions(base_url=wire.origin, api_version="v1beta", retry_options=retries)
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
    for name in ("x-goog-api-key", "Content-Type"):
        assert ours.headers[name] == theirs.headers[name]


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


async def test_the_model_list_is_read_as_the_sdk_reads_it(connect: Connect, wire: Wire) -> None:
    ours = await connect("gemini").list_models()
    client = sdk(wire)
    theirs = {model.name: model async for model in await client.aio.models.list()}
    await client.aio.aclose()
    assert ours
    for info in ours:
        model = theirs[f"models/{info.name}"]
        assert info.display_name == model.display_name
        assert info.context_window == model.input_token_limit
        assert info.max_output_tokens == model.output_token_limit


async def test_an_error_is_read_as_the_sdk_reads_it(connect: Connect, wire: Wire) -> None:
    with pytest.raises(errors.RateLimitError) as ours:
        await collect(connect("gemini"), ask("/wire fail=429"))
    client = sdk(wire)
    stream = await client.aio.models.generate_content_stream(model="wire", contents="/wire fail=429")
    with pytest.raises(APIError) as theirs:
        _ = [chunk async for chunk in stream]
    await client.aio.aclose()
    assert theirs.value.code == 429
    assert theirs.value.message is not None and theirs.value.message in ours.value.detail


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": {"message": "Too fast.", "details": [{"retryDelay": "37s"}]}}', "Too fast."),
        (b"not JSON", "not JSON"),
        (b"", "no reason is given."),
    ],
)
async def test_an_error_may_have_any_body(connect: Connect, wire: Wire, body: bytes, words: str) -> None:
    head = b"HTTP/1.1 429 No\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with answering(head + body) as (wire.origin, _):
        with pytest.raises(errors.RateLimitError) as raised:
            await collect(connect("gemini"), ask("hello"))
    assert words in raised.value.detail
    assert raised.value.retry_after == (37 if b"37s" in body else None)


async def test_the_body_is_sent_unchanged(connect: Connect, wire: Wire) -> None:
    arguments = {"generation_config": {"top_k": 1}, "thought_signature": "a+/=", "nothing": None}
    signature = base64.b64encode(b"\xfb\xff\xfe").decode()
    data = {"kind": "gemini", "model": "gemini-3-pro", "after_calls": 0, "signature": signature, "on": "call"}
    call = ToolCall("id-1", "look", str(arguments).replace("'", '"').replace("None", "null"))
    turns = [
        Turn("user", "Look.", files=[File("image/png", b"\xfb\xff\xfe")]),
        Turn("assistant", tool_calls=[call], opaque=[Opaque("gemini", data)]),
        Turn("user", "/wire tokens=1", tool_results=[ToolResult("id-1", "Nothing.")]),
    ]
    request = ChatRequest("gemini-3-pro", turns, tools=[Tool("look", "Looks", {"$defs": {"a_b": SCHEMA}})])
    await collect(connect("gemini"), request)
    body = content_body(request)
    assert wire.log[0].body == body
    assert body["contents"][1]["parts"][0]["functionCall"]["args"] == arguments
    assert body["contents"][1]["parts"][0]["thoughtSignature"] == "+//+"


@pytest.mark.parametrize("model", ["tuned/one", "models/wire", "wire?alt=json&x", "w#ire", "wi re"])
async def test_a_models_name_stays_in_its_place(connect: Connect, wire: Wire, model: str) -> None:
    await collect(connect("gemini"), ask("/wire tokens=1", model=model))
    assert wire.log[0].path == f"/v1beta/models/{model.removeprefix('models/')}:streamGenerateContent"


@pytest.mark.parametrize("model", ["../secrets", "..", "models/..", "a/../b", "."])
async def test_a_name_that_leads_elsewhere_is_a_configuration_error(
    connect: Connect, wire: Wire, model: str
) -> None:
    with pytest.raises(ConfigurationError):
        await collect(connect("gemini"), ask("hello", model=model))
    assert wire.log == []


async def test_calls_of_functions_are_left_to_the_caller(connect: Connect, wire: Wire) -> None:
    request = ask("/wire tokens=0 tools=1", tools=[Tool("tool0", "The first", SCHEMA)])
    events = await collect(connect("gemini"), request)
    assert any(isinstance(event, ToolCallDelta) for event in events)
    assert len(wire.log) == 1


def test_an_answer_that_could_go_on_is_paused() -> None:
    decoder = ContentDecoder()
    decoder.decode(b'{"candidates": [{"finishReason": "CONTINUATION", "continuationToken": "eA=="}]}')
    assert decoder.finished == Finished(Outcome.PAUSED, "CONTINUATION")
