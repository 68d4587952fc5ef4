"""The requests: files, tools, reasoning effort, and metadata that is sent back unchanged."""

import base64
from itertools import product
from typing import Any

import pytest

from chat.parts import Opaque, ToolCall, ToolResult
from chat.providers import errors
from chat.providers.base import ChatRequest, File, Tool, Turn
from chat.providers.events import ToolCallDelta
from tests.providers.conftest import Connect, ask, collect
from tests.providers.wire import FORMATS, SIGNATURE, Wire

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
PICTURE = File("image/png", PNG, "dot.png")
REPORT = File("application/pdf", b"%PDF-1.7 \xff\x00", "report.pdf")
NOTES = File("text/markdown", "# Notizen für heute".encode(), "notes.md")
WEATHER = Tool(
    "weather", "The weather in a city", {"type": "object", "properties": {"city": {"type": "string"}}}
)

ENCRYPTED = ["reasoning.encrypted_content"]

all_formats = pytest.mark.parametrize("name", FORMATS)


async def sent(connect: Connect, wire: Wire, name: str, request: ChatRequest) -> dict[str, Any]:
    await collect(connect(name), request)
    body: dict[str, Any] = wire.log[-1].body
    return body


@all_formats
async def test_pictures_and_documents_are_sent_byte_by_byte(connect: Connect, wire: Wire, name: str) -> None:
    request = ChatRequest("wire", [Turn("user", "What is this?", files=[PICTURE, REPORT])])
    body = await sent(connect, wire, name, request)
    text = str(body)
    for file in (PICTURE, REPORT):
        assert base64.b64encode(file.data).decode() in text
        assert file.media_type in text
    assert "What is this?" in text


@pytest.mark.parametrize(("media_type", "sound"), [("audio/wav", "wav"), ("audio/mpeg", "mp3")])
@all_formats
async def test_audio_is_sent_byte_by_byte_if_the_api_has_it(
    connect: Connect, wire: Wire, name: str, media_type: str, sound: str
) -> None:
    data = bytes(range(256))
    request = ChatRequest("wire", [Turn("user", "Who sings?", files=[File(media_type, data, "song")])])
    if name == "anthropic":
        with pytest.raises(errors.InvalidRequestError):
            await collect(connect(name), request)
        assert wire.log == []
        return
    body = await sent(connect, wire, name, request)
    encoded = base64.b64encode(data).decode()
    if name == "gemini":
        part: dict[str, Any] = {"inlineData": {"mimeType": media_type, "data": encoded}}
        assert body["contents"][-1]["parts"] == [part, {"text": "Who sings?"}]
        return
    # OpenAI's Responses API has no audio.
    assert wire.log[-1].path.endswith("/chat/completions")
    part = {"type": "input_audio", "input_audio": {"data": encoded, "format": sound}}
    assert body["messages"][-1]["content"] == [part, {"type": "text", "text": "Who sings?"}]


@pytest.mark.parametrize("name", ["openai", "openai_chat", "openai_compatible"])
async def test_other_audio_is_refused_before_anything_is_sent(
    connect: Connect, wire: Wire, name: str
) -> None:
    request = ChatRequest("wire", [Turn("user", "Who sings?", files=[File("audio/ogg", b"OggS")])])
    with pytest.raises(errors.InvalidRequestError):
        await collect(connect(name), request)
    assert wire.log == []


@all_formats
async def test_text_files_are_read_as_text(connect: Connect, wire: Wire, name: str) -> None:
    request = ChatRequest("wire", [Turn("user", "Sum it up.", files=[NOTES])])
    text = str(await sent(connect, wire, name, request))
    assert "# Notizen für heute" in text and "notes.md" in text and "Sum it up." in text


@all_formats
async def test_a_file_that_no_model_reads_is_refused_before_anything_is_sent(
    connect: Connect, wire: Wire, name: str
) -> None:
    request = ChatRequest("wire", [Turn("user", "Run it.", files=[File("application/x-msdownload", b"MZ")])])
    with pytest.raises(errors.InvalidRequestError):
        await collect(connect(name), request)
    assert wire.log == []


@all_formats
async def test_a_system_prompt_limit_and_tools_are_sent(connect: Connect, wire: Wire, name: str) -> None:
    request = ask("Hi", system="Be brief.", max_output_tokens=77, tools=[WEATHER])
    body = await sent(connect, wire, name, request)
    limits = {
        "openai": body.get("max_output_tokens"),
        "openai_chat": body.get("max_completion_tokens"),
        "openai_compatible": body.get("max_tokens"),
        "anthropic": body.get("max_tokens"),
        "gemini": body.get("generationConfig", {}).get("maxOutputTokens"),
    }
    assert limits[name] == 77
    assert "Be brief." in str(body)
    assert "weather" in str(body["tools"]) and "city" in str(body["tools"])


@all_formats
async def test_tool_calls_and_results_are_sent_back(connect: Connect, wire: Wire, name: str) -> None:
    turns = [
        Turn("user", "How is it in Zürich?"),
        Turn("assistant", "I look.", tool_calls=[ToolCall("call_9", "weather", '{"city": "Zürich"}')]),
        Turn("user", tool_results=[ToolResult("call_9", "Sunny.")]),
    ]
    body = await sent(connect, wire, name, ChatRequest("wire", turns, tools=[WEATHER]))
    expected = {
        "openai": body.get("input"),
        "openai_chat": body.get("messages"),
        "openai_compatible": body.get("messages"),
        "anthropic": body.get("messages"),
        "gemini": body.get("contents"),
    }[name]
    assert expected == _TOOL_TURNS[name.replace("openai_compatible", "openai_chat")]


@pytest.mark.parametrize("name", ["anthropic", "gemini"])
async def test_broken_arguments_of_an_earlier_call_are_an_invalid_request(
    connect: Connect, wire: Wire, name: str
) -> None:
    turns = [Turn("assistant", tool_calls=[ToolCall("1", "weather", '{"city": ')]), Turn("user", "Go on.")]
    with pytest.raises(errors.InvalidRequestError):
        await collect(connect(name), ChatRequest("wire", turns))


@pytest.mark.parametrize(
    ("name", "model", "effort", "part"),
    [
        ("openai", "gpt-5", "low", {"reasoning": {"summary": "auto", "effort": "low"}}),
        (
            "openai",
            "gpt-5",
            None,
            {"reasoning": {"summary": "auto"}, "include": ["reasoning.encrypted_content"]},
        ),
        ("openai_chat", "gpt-5", "high", {"reasoning_effort": "high"}),
        ("openai_compatible", "qwen", "medium", {"reasoning_effort": "medium"}),
        ("anthropic", "claude", "none", {"thinking": {"type": "disabled"}}),
        ("anthropic", "claude", "high", {"output_config": {"effort": "high"}}),
        ("gemini", "gemini-2.5-pro", "low", {"includeThoughts": True, "thinkingBudget": 1024}),
        ("gemini", "gemini-3-pro", "low", {"includeThoughts": True, "thinkingLevel": "low"}),
        ("gemini", "gemini-3.1-flash", "none", {"includeThoughts": False, "thinkingLevel": "minimal"}),
    ],
)
async def test_effort_is_sent_in_the_providers_words(
    connect: Connect, wire: Wire, name: str, model: str, effort: Any, part: dict[str, Any]
) -> None:
    body = await sent(connect, wire, name, ask("Hi", model=model, reasoning_effort=effort))
    said = body["generationConfig"]["thinkingConfig"] if name == "gemini" else body
    assert {key: said.get(key) for key in part} == part


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4.1-mini", "chatgpt-4o-latest", "gpt-5.2-chat-latest"])
async def test_models_that_do_not_reason_are_not_asked_to(connect: Connect, wire: Wire, model: str) -> None:
    body = await sent(connect, wire, "openai", ask("Hi", model=model))
    assert "reasoning" not in body and "include" not in body


async def test_nothing_is_stored_at_openai(connect: Connect, wire: Wire) -> None:
    assert (await sent(connect, wire, "openai", ask("Hi")))["store"] is False


@pytest.mark.parametrize(
    ("name", "option", "more"),
    [
        ("openai", "temperature", {"temperature": 0.5}),
        ("openai", "summary", {"model": "gpt-5"}),
        ("openai", "encrypted", {"model": "gpt-5"}),
        ("openai_chat", "reasoning_effort", {"reasoning_effort": "low"}),
        ("openai_compatible", "stream_options", {}),
        ("anthropic", "thinking", {"reasoning_effort": "low"}),
        ("anthropic", "cache_control", {"caches": True}),
        ("gemini", "thinking", {"reasoning_effort": "low", "model": "gemini-2.5-pro"}),
    ],
)
async def test_a_refused_option_is_omitted_and_remembered(
    connect: Connect, wire: Wire, name: str, option: str, more: dict[str, Any]
) -> None:
    request = ask(f"/wire refuses={option} tokens=1", **more)
    provider = connect(name)
    assert await collect(provider, request)
    assert len(wire.log) == 2
    await collect(provider, request)
    assert len(wire.log) == 3  # not offered again


async def test_older_claude_models_think_with_a_budget(connect: Connect, wire: Wire) -> None:
    request = ask("/wire refuses=adaptive tokens=1", reasoning_effort="high")
    body = await sent(connect, wire, "anthropic", request)
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 16_000}
    assert "output_config" not in body


async def test_a_request_that_is_wrong_in_itself_is_not_sent_again(connect: Connect, wire: Wire) -> None:
    with pytest.raises(errors.InvalidRequestError):
        await collect(connect("openai"), ask("/wire fail=400", temperature=0.5))
    assert len(wire.log) == 1


KEEPING = ["openai", "anthropic", "gemini"]
OTHERS = [pair for pair in product(KEEPING, FORMATS) if pair[0] != pair[1]]


async def conversation_with_metadata(connect: Connect, name: str, model: str) -> list[Turn]:
    """A first answer with signed reasoning and a tool call, and the tool's result."""
    request = ask("/wire signature=1 reasoning=2 tokens=2 tools=1", model=model)
    events = await collect(connect(name), request)
    call = next(event for event in events if isinstance(event, ToolCallDelta))
    answer = Turn(
        "assistant",
        "word0 word1 ",
        tool_calls=[ToolCall(call.id or "", call.name or "", '{"city": "Zürich"}')],
        opaque=[event for event in events if isinstance(event, Opaque)],
    )
    assert answer.opaque
    result = Turn("user", "/wire tokens=1", tool_results=[ToolResult(call.id or "", "Sunny.")])
    return [*request.turns, answer, result]


@pytest.mark.parametrize("name", KEEPING)
async def test_metadata_is_sent_back_byte_by_byte_in_its_place(
    connect: Connect, wire: Wire, name: str
) -> None:
    turns = await conversation_with_metadata(connect, name, "wire")
    body = await sent(connect, wire, name, ChatRequest("wire", turns))
    assert str(body).count(SIGNATURE) == 1
    if name == "anthropic":
        thinking, text, call = body["messages"][1]["content"]
        assert thinking == {"type": "thinking", "thinking": "thought0 thought1 ", "signature": SIGNATURE}
        assert (text["type"], call["type"]) == ("text", "tool_use")
    elif name == "openai":
        assert [item.get("type") or item["role"] for item in body["input"]] == [
            "user",
            "reasoning",
            "assistant",
            "function_call",
            "function_call_output",
            "user",
        ]
        assert body["input"][1]["encrypted_content"] == SIGNATURE and body["input"][1]["id"] == "rs_1"
    else:
        _, call = body["contents"][1]["parts"]
        assert call["functionCall"]["name"] == "tool0" and call["thoughtSignature"] == SIGNATURE


@pytest.mark.parametrize("name", KEEPING)
async def test_metadata_is_sent_to_no_other_model(connect: Connect, wire: Wire, name: str) -> None:
    turns = await conversation_with_metadata(connect, name, "wire")
    body = await sent(connect, wire, name, ChatRequest("another", turns))
    assert SIGNATURE not in str(body)
    assert "word0 word1" in str(body)


@pytest.mark.parametrize(
    ("name", "other"), [pair for pair in product(KEEPING, FORMATS) if len(set(pair)) == 2]
)
async def test_metadata_is_sent_to_no_other_provider(
    connect: Connect, wire: Wire, name: str, other: str
) -> None:
    if other == name:
        return
    turns = await conversation_with_metadata(connect, name, "wire")
    assert SIGNATURE not in str(await sent(connect, wire, other, ChatRequest("wire", turns)))


async def test_a_gemini_signature_without_a_call_has_its_own_part(connect: Connect, wire: Wire) -> None:
    events = await collect(connect("gemini"), ask("/wire signature=1 tokens=2"))
    kept = [event for event in events if isinstance(event, Opaque)]
    turns = [
        Turn("user", "Hi"),
        Turn("assistant", "word0 word1 ", opaque=kept),
        Turn("user", "/wire tokens=1"),
    ]
    body = await sent(connect, wire, "gemini", ChatRequest("wire", turns))
    assert body["contents"][1]["parts"] == [
        {"text": "word0 word1 "},
        {"text": "", "thoughtSignature": SIGNATURE},
    ]


async def test_generated_gemini_call_ids_are_not_sent(connect: Connect, wire: Wire) -> None:
    turns = await conversation_with_metadata(connect, "gemini", "wire")
    body = await sent(connect, wire, "gemini", ChatRequest("wire", turns))
    assert "steady-" not in str(body)
    assert body["contents"][2]["parts"][0]["functionResponse"]["name"] == "tool0"


_TOOL_TURNS: dict[str, Any] = {
    "openai": [
        {"role": "user", "content": "How is it in Zürich?"},
        {"role": "assistant", "content": "I look."},
        {"type": "function_call", "call_id": "call_9", "name": "weather", "arguments": '{"city": "Zürich"}'},
        {"type": "function_call_output", "call_id": "call_9", "output": "Sunny."},
    ],
    "openai_chat": [
        {"role": "user", "content": "How is it in Zürich?"},
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {
                    "id": "call_9",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city": "Zürich"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_9", "content": "Sunny."},
    ],
    "anthropic": [
        {"role": "user", "content": [{"type": "text", "text": "How is it in Zürich?"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "call_9", "name": "weather", "input": {"city": "Zürich"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_9", "content": "Sunny.", "is_error": False}
            ],
        },
    ],
    "gemini": [
        {"role": "user", "parts": [{"text": "How is it in Zürich?"}]},
        {
            "role": "model",
            "parts": [
                {"text": "I look."},
                {"functionCall": {"id": "call_9", "name": "weather", "args": {"city": "Zürich"}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {
                    "functionResponse": {
                        "id": "call_9",
                        "name": "weather",
                        "response": {"result": "Sunny."},
                    }
                }
            ],
        },
    ],
}
