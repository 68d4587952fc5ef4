"""The options of a request: each provider gets those it has, and no other is dropped in silence."""

from typing import Any

import pytest

from chat.providers import errors
from chat.providers.base import ChatRequest, File, OutputFormat, Tool, Turn
from tests.providers.conftest import Connect, ask, collect
from tests.providers.test_requests import PICTURE, WEATHER
from tests.providers.wire import FORMATS, Wire

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
JSON = OutputFormat()
CITY = OutputFormat(SCHEMA, "city", "A city", strict=True)
CHAT = ("openai_chat", "openai_compatible")


async def sent(connect: Connect, wire: Wire, name: str, request: ChatRequest) -> dict[str, Any]:
    await collect(connect(name), request)
    body: dict[str, Any] = wire.log[-1].body
    return body


def at(body: Any, path: str) -> Any:
    for key in path.split("."):
        body = body[int(key) if key.isdigit() else key]
    return body


WHERE: list[tuple[tuple[str, ...], dict[str, Any], str, Any]] = [
    ((*CHAT, "openai", "anthropic"), {"top_p": 0.5}, "top_p", 0.5),
    (("gemini",), {"top_p": 0.5}, "generationConfig.topP", 0.5),
    (("anthropic", "openai_compatible"), {"top_k": 9}, "top_k", 9),
    (("gemini",), {"top_k": 9}, "generationConfig.topK", 9),
    (CHAT, {"seed": 7}, "seed", 7),
    (("gemini",), {"seed": 7}, "generationConfig.seed", 7),
    (CHAT, {"frequency_penalty": 0.2}, "frequency_penalty", 0.2),
    (("gemini",), {"presence_penalty": 0.2}, "generationConfig.presencePenalty", 0.2),
    (CHAT, {"stop": ["END"]}, "stop", ["END"]),
    (("anthropic",), {"stop": ["END"]}, "stop_sequences", ["END"]),
    (("gemini",), {"stop": ["END"]}, "generationConfig.stopSequences", ["END"]),
    (("anthropic",), {"temperature": 0.0}, "temperature", 0.0),
    (CHAT, {"output_format": JSON}, "response_format", {"type": "json_object"}),
    (CHAT, {"output_format": CITY}, "response_format.json_schema.schema", SCHEMA),
    (CHAT, {"output_format": CITY}, "response_format.json_schema.strict", True),
    (("openai",), {"output_format": JSON}, "text.format", {"type": "json_object"}),
    (("openai",), {"output_format": CITY}, "text.format.schema", SCHEMA),
    (("anthropic",), {"output_format": CITY}, "output_config.format.schema", SCHEMA),
    (("gemini",), {"output_format": CITY}, "generationConfig.responseJsonSchema", SCHEMA),
    (("gemini",), {"output_format": JSON}, "generationConfig.responseMimeType", "application/json"),
    ((*CHAT, "openai"), {"tool_choice": "required"}, "tool_choice", "required"),
    (("anthropic",), {"tool_choice": "required"}, "tool_choice", {"type": "any"}),
    (("gemini",), {"tool_choice": "none"}, "toolConfig.functionCallingConfig", {"mode": "NONE"}),
    (CHAT, {"forced_tool": "weather"}, "tool_choice.function.name", "weather"),
    (("openai", "anthropic"), {"forced_tool": "weather"}, "tool_choice.name", "weather"),
    (
        ("gemini",),
        {"forced_tool": "weather"},
        "toolConfig.functionCallingConfig.allowedFunctionNames",
        ["weather"],
    ),
    ((*CHAT, "openai"), {"parallel_tool_calls": False}, "parallel_tool_calls", False),
    (("anthropic",), {"parallel_tool_calls": False}, "tool_choice.disable_parallel_tool_use", True),
    (("anthropic",), {"caches": True}, "cache_control", {"type": "ephemeral"}),
]


@pytest.mark.parametrize(
    ("name", "options", "path", "value"),
    [(name, options, path, value) for names, options, path, value in WHERE for name in names],
)
async def test_an_option_is_sent_in_the_providers_words(
    connect: Connect, wire: Wire, name: str, options: dict[str, Any], path: str, value: Any
) -> None:
    request = ask("Hi", tools=[WEATHER], exact=True, **options)
    assert at(await sent(connect, wire, name, request), path) == value


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *(("openai", options) for options in ({"stop": ["x"]}, {"seed": 1}, {"top_k": 1})),
        ("openai", {"frequency_penalty": 0.1}),
        ("openai_chat", {"top_k": 1}),
        *(("anthropic", options) for options in ({"seed": 0}, {"output_format": JSON})),
        ("gemini", {"parallel_tool_calls": False}),
    ],
)
async def test_an_option_that_the_provider_does_not_have_is_refused(
    connect: Connect, wire: Wire, name: str, options: dict[str, Any]
) -> None:
    with pytest.raises(errors.UnsupportedOptionError):
        await collect(connect(name), ask("Hi", **options))
    assert wire.log == []


@pytest.mark.parametrize(("name", "option"), [("openai", "temperature"), ("anthropic", "temperature")])
async def test_an_exact_request_omits_no_option(connect: Connect, wire: Wire, name: str, option: str) -> None:
    script = f"/wire refuses={option} tokens=1"
    provider = connect(name)
    for _ in range(2):
        with pytest.raises(errors.InvalidRequestError):
            await collect(provider, ask(script, exact=True, temperature=0.5))
    assert len(wire.log) == 2
    assert await collect(provider, ask(script, temperature=0.5))  # which a chat does give up
    with pytest.raises(errors.InvalidRequestError):
        await collect(provider, ask(script, exact=True, temperature=0.5))


@pytest.mark.parametrize("name", FORMATS)
async def test_pictures_keep_their_place_in_the_text(connect: Connect, wire: Wire, name: str) -> None:
    other = File("image/png", b"other", after=7)
    turn = Turn("user", "Before.After.", files=[other, PICTURE])
    body = str(await sent(connect, wire, name, ChatRequest("wire", [turn])))
    order = ["iVBORw0KGgo", "'Before.'", "b3RoZXI=", "'After.'"]
    assert sorted(order, key=body.index) == order


@pytest.mark.parametrize("name", FORMATS)
async def test_only_large_providers_load_a_picture_from_an_address(
    connect: Connect, wire: Wire, name: str
) -> None:
    picture = File("image/*", url="https://example.org/dot.png")
    request = ChatRequest("wire", [Turn("user", "What is this?", files=[picture])])
    if name in {"gemini", "openai_compatible"}:
        with pytest.raises(errors.UnsupportedOptionError):
            await collect(connect(name), request)
        assert wire.log == []
    else:
        assert "'https://example.org/dot.png'" in str(await sent(connect, wire, name, request))


@pytest.mark.parametrize("name", FORMATS)
async def test_an_instruction_in_the_middle_is_sent_or_refused(
    connect: Connect, wire: Wire, name: str
) -> None:
    turns = [Turn("user", "Hi"), Turn("system", "Be brief."), Turn("user", "How are you?")]
    if name in {"gemini", "anthropic"}:
        with pytest.raises(errors.UnsupportedOptionError):
            await collect(connect(name), ChatRequest("wire", turns))
    else:
        body = await sent(connect, wire, name, ChatRequest("wire", turns))
        messages = body.get("input") or body["messages"]
        assert messages[1] == {"role": "system", "content": "Be brief."}


async def test_strict_tools_are_strict(connect: Connect, wire: Wire) -> None:
    tool = Tool("weather", "", SCHEMA, strict=True)
    for name in ("openai", "openai_chat", "anthropic"):
        body = await sent(connect, wire, name, ask("Hi", tools=[tool]))
        assert (body["tools"][0].get("function") or body["tools"][0])["strict"] is True
