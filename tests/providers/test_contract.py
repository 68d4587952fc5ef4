"""One contract for all adapters, tested with the real SDKs against a scripted server on a real socket. The
adapters of clouds use the official clients with an API key; `test_clouds` has their other credentials."""

import asyncio
import re
import traceback
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from chat.parts import Opaque
from chat.providers import errors
from chat.providers.base import ChatRequest, Tool, Turn
from chat.providers.events import (
    Finished,
    Notice,
    Outcome,
    ProviderEvent,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from tests.providers.conftest import KEY, Connect, ask, collect
from tests.providers.wire import CLOUDS, FORMATS, Wire

pytestmark = pytest.mark.parametrize("name", [*FORMATS, *CLOUDS])

UNLISTED = ("bedrock", "vertex")  # models are added by hand
WORDS = "word0 word1 word2 Grüße word4 "


def text_of(events: list[ProviderEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def last_usage(events: list[ProviderEvent]) -> Usage | None:
    return next((event for event in reversed(events) if isinstance(event, Usage)), None)


async def failure_of(connect: Connect, name: str, script: str) -> errors.ProviderError:
    with pytest.raises(errors.ProviderError) as raised:
        await collect(connect(name), ask(script))
    return raised.value


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that answers every request with these bytes and closes: its address, and the received
    requests."""
    asked = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        if length := re.search(rb"(?i)content-length: (\d+)", asked[-1]):
            await reader.readexactly(int(length[1]))
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


async def test_an_answer_is_text_usage_and_an_end(connect: Connect, name: str) -> None:
    events = await collect(connect(name), ask("/wire tokens=5"))
    assert events[0] == Notice("waiting")
    assert text_of(events) == WORDS
    assert isinstance(events[-1], Finished) and events[-1].outcome is Outcome.COMPLETE
    assert sum(isinstance(event, Finished) for event in events) == 1
    assert last_usage(events) == Usage(11, 5, 4, 3)


async def test_text_arrives_while_the_provider_still_writes(connect: Connect, wire: Wire, name: str) -> None:
    async with aclosing(connect(name).stream(ask("/wire tokens=5 hang=3"))) as events:
        text = ""
        async for event in events:
            text += event.text if isinstance(event, TextDelta) else ""
            if text == "word0 word1 word2 ":
                break
    assert wire.log[-1].words == 3


async def test_reasoning_is_separate_from_the_text(connect: Connect, name: str) -> None:
    events = await collect(connect(name), ask("/wire reasoning=2 tokens=2"))
    reasoning = [event.text for event in events if isinstance(event, ReasoningDelta)]
    assert "".join(reasoning) == "thought0 thought1 "
    assert text_of(events) == "word0 word1 "


async def test_tool_calls_arrive_in_pieces_that_join_to_json(connect: Connect, name: str) -> None:
    tools = [Tool("tool0", "The first", {"type": "object"}), Tool("tool1", "The second", {"type": "object"})]
    events = await collect(connect(name), ask("/wire tokens=1 tools=2", tools=tools))
    calls = [event for event in events if isinstance(event, ToolCallDelta)]
    for index in (0, 1):
        pieces = [call for call in calls if call.index == index]
        assert pieces[0].name == f"tool{index}" and pieces[0].id
        assert all(piece.id is piece.name is None for piece in pieces[1:])
        assert "".join(piece.arguments for piece in pieces).replace(" ", "") == '{"city":"Zürich"}'
    assert isinstance(events[-1], Finished) and events[-1].outcome is Outcome.TOOL_CALLS


async def test_a_missing_usage_is_not_invented(connect: Connect, name: str) -> None:
    events = await collect(connect(name), ask("/wire usage=0"))
    assert last_usage(events) is None
    assert isinstance(events[-1], Finished)


async def test_a_clean_cut_ends_without_an_end_marker(connect: Connect, name: str) -> None:
    events = await collect(connect(name), ask("/wire cut=2"))
    assert text_of(events) == "word0 word1 "
    assert not any(isinstance(event, Finished) for event in events)


async def test_no_end_marker_is_invented(connect: Connect, name: str) -> None:
    events = await collect(connect(name), ask("/wire tokens=2 finish=0"))
    assert not any(isinstance(event, Finished) for event in events)


async def test_a_reset_connection_is_an_error_after_the_text_so_far(connect: Connect, name: str) -> None:
    seen = []
    with pytest.raises(errors.ConnectionFailedError):
        async for event in connect(name).stream(ask("/wire drop=2")):
            seen.append(event)
    assert text_of(seen) == "word0 word1 "


async def test_an_error_in_the_middle_follows_the_text_so_far(connect: Connect, name: str) -> None:
    seen = []
    with pytest.raises(errors.OverloadedError):
        async for event in connect(name).stream(ask("/wire error=2")):
            seen.append(event)
    assert text_of(seen) == "word0 word1 "


async def test_broken_json_is_malformed(connect: Connect, name: str) -> None:
    assert isinstance(await failure_of(connect, name, "/wire malformed=1"), errors.MalformedStreamError)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.InvalidRequestError),
        (401, errors.AuthenticationError),
        (403, errors.PermissionDeniedError),
        (429, errors.RateLimitError),
        (500, errors.UnavailableError),
        (502, errors.UnavailableError),
        (503, errors.OverloadedError),
        (504, errors.TimeoutExceededError),
    ],
)
async def test_each_status_has_its_error(
    connect: Connect, wire: Wire, name: str, status: int, kind: type[errors.ProviderError]
) -> None:
    error = await failure_of(connect, name, f"/wire fail={status}")
    assert type(error) is kind
    assert str(error) == kind.words
    assert len(wire.log) == 1  # no SDK repeats the request by itself


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("0.5", 0.5)])
async def test_retry_after_is_part_of_the_error(
    connect: Connect, name: str, header: str, seconds: float
) -> None:
    error = await failure_of(connect, name, f"/wire fail=429 retry_after={header}")
    assert error.retry_after == seconds


async def test_a_server_that_is_not_there_is_a_failed_connection(
    connect: Connect, wire: Wire, name: str
) -> None:
    wire.origin = "http://127.0.0.1:9"
    assert isinstance(await failure_of(connect, name, "hello"), errors.ConnectionFailedError)


async def test_a_request_that_was_sent_is_not_sent_again(connect: Connect, wire: Wire, name: str) -> None:
    async with answering(b"") as (wire.origin, asked):
        assert isinstance(await failure_of(connect, name, "hello"), errors.ConnectionFailedError)
    assert len(asked) == 1


async def test_a_redirect_does_not_take_the_key_along(connect: Connect, wire: Wire, name: str) -> None:
    async with answering(b"") as (elsewhere, taken):
        moved = f"HTTP/1.1 307 Moved\r\nLocation: {elsewhere}/\r\nContent-Length: 0\r\n\r\n"
        async with answering(moved.encode()) as (wire.origin, asked):
            assert isinstance(await failure_of(connect, name, "hello"), errors.ConfigurationError)
    assert len(asked) == 1 and taken == []


async def test_the_page_of_a_proxy_in_any_encoding_is_reported_by_its_status(
    connect: Connect, wire: Wire, name: str
) -> None:
    page = b"HTTP/1.1 502 Bad\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\r\n<p>\xfcber\xff\x00"
    async with answering(page) as (wire.origin, _):
        assert isinstance(await failure_of(connect, name, "hello"), errors.UnavailableError)


@pytest.mark.parametrize("address", ["http://127.0.0.1:99999", "ftp://127.0.0.1", "nonsense"])
async def test_an_unusable_address_is_a_provider_error(
    connect: Connect, wire: Wire, name: str, address: str
) -> None:
    wire.origin = address
    await failure_of(connect, name, "hello")


async def test_an_address_without_the_api_is_a_configuration_error(
    connect: Connect, wire: Wire, name: str
) -> None:
    wire.origin += "/elsewhere"
    assert isinstance(await failure_of(connect, name, "hello"), errors.ConfigurationError)


async def test_a_refusal_is_an_outcome(connect: Connect, name: str) -> None:
    events = await collect(connect(name), ask("/wire tokens=1 refuse=1"))
    assert isinstance(events[-1], Finished) and events[-1].outcome is Outcome.REFUSED


async def test_a_content_filter_is_a_refusal(connect: Connect, name: str) -> None:
    events = await collect(connect(name), ask("/wire tokens=1 filter=1"))
    assert isinstance(events[-1], Finished) and events[-1].outcome is Outcome.REFUSED


async def test_the_output_limit_is_an_outcome(connect: Connect, name: str) -> None:
    events = await collect(connect(name), ask("/wire tokens=1 length=1"))
    assert isinstance(events[-1], Finished) and events[-1].outcome is Outcome.LENGTH


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("crlf", [0, 1])
async def test_bytes_may_be_cut_anywhere(connect: Connect, name: str, size: int, crlf: int) -> None:
    events = await collect(connect(name), ask(f"/wire split={size} crlf={crlf} tools=1 reasoning=1"))
    assert text_of(events) == WORDS
    assert isinstance(events[-1], Finished)


async def test_unknown_events_fields_and_comments_are_skipped(connect: Connect, name: str) -> None:
    events = await collect(connect(name), ask("/wire unknown=1"))
    assert text_of(events) == WORDS
    assert isinstance(events[-1], Finished)


async def test_an_empty_answer_is_complete(connect: Connect, name: str) -> None:
    events = await collect(connect(name), ask("/wire tokens=0"))
    assert text_of(events) == ""
    assert isinstance(events[-1], Finished) and events[-1].outcome is Outcome.COMPLETE


async def test_closing_the_stream_closes_the_connection(connect: Connect, wire: Wire, name: str) -> None:
    async with aclosing(connect(name).stream(ask("/wire tokens=5 hang=3"))) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                break
    await asyncio.wait_for(wire.settled(), 60)
    assert wire.log[-1].end == "closed by client"


@pytest.mark.parametrize("script", ["hang=-1", "hang=0", "hang=2"])
async def test_cancelling_closes_the_connection(connect: Connect, wire: Wire, name: str, script: str) -> None:
    reader = asyncio.create_task(collect(connect(name), ask(f"/wire {script}")))
    await asyncio.wait_for(wire.asked(), 60)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    await asyncio.wait_for(wire.settled(), 60)
    assert wire.log[-1].end == "closed by client"


async def test_streams_at_the_same_time_do_not_mix(connect: Connect, name: str) -> None:
    provider = connect(name)
    answers = await asyncio.gather(
        *(collect(provider, ask(f"/wire text=a{n}_b{n}_c{n} split=3")) for n in range(20)),
        collect(provider, ask("/wire cut=1")),
        collect(provider, ask("/wire fail=500")),
        return_exceptions=True,
    )
    texts = [text_of(answer) for answer in answers if isinstance(answer, list)]
    assert texts == [f"a{n} b{n} c{n}" for n in range(20)] + ["word0 "]
    assert isinstance(answers[-1], errors.UnavailableError)


async def test_the_key_is_in_no_error(connect: Connect, name: str) -> None:
    for script in ("fail=401", "fail=400", "fail=500", "error=1", "drop=1", "malformed=1"):
        error = await failure_of(connect, name, f"/wire {script} leak=1")
        trace = "".join(traceback.format_exception(error))
        for said in (str(error), error.detail, repr(error), trace):
            assert KEY not in said
            assert KEY[3:] not in said


async def test_messages_for_users_have_nothing_internal(connect: Connect, wire: Wire, name: str) -> None:
    for script in ("fail=401", "fail=404", "fail=500", "error=1", "drop=1", "malformed=1"):
        words = str(await failure_of(connect, name, f"/wire {script}"))
        assert "went wrong" not in words and "127.0.0.1" not in words and "HTTP" not in words


async def test_the_key_goes_to_the_provider_and_nothing_else_does(
    connect: Connect, wire: Wire, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in _VARIABLES:
        monkeypatch.setenv(variable, "from-the-environment")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "x-leak: from-the-environment")
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "x-leak: from-the-environment")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1:9")
    await collect(connect(name), ask("hello"))
    sent = wire.log[-1].headers
    assert any(KEY in value for value in sent.values())
    assert not any("from-the-environment" in value for value in sent.values())


async def test_the_model_list_names_chat_models_only(connect: Connect, name: str) -> None:
    if name in UNLISTED:
        assert await connect(name).list_models() == []
        return
    models = {model.name: model for model in await connect(name).list_models()}
    chat_models = {
        "openai": ["gpt-4o", "gpt-4o-2024-11-20", "gpt-5", "o3", "chatgpt-4o-latest", "gpt-audio"],
        "anthropic": ["claude-wire-1", "claude-old"],
        "gemini": ["gemini-wire"],
    }
    if name in {"openai_compatible", "openai_chat", "azure"}:
        assert "an-embedder" not in models
        wire_model = models["wire"]
        assert (wire_model.context_window, wire_model.display_name) == (4096, "The wire")
        assert (wire_model.input_price, wire_model.output_price) == (0.5, 2.0)
        unknown = [it for it in models.values() if it.name.startswith("priced-")]
        assert [(it.input_price, it.output_price) for it in unknown] == [(None, None)] * 5
    else:
        assert list(models) == chat_models[name]
        windows = {"openai": 128_000, "anthropic": 200_000, "gemini": 1_048_576}
        assert models[chat_models[name][0]].context_window == windows[name]


async def test_the_model_list_fails_like_a_stream(connect: Connect, wire: Wire, name: str) -> None:
    if name in UNLISTED:
        pytest.skip("The service has no list.")
    wire.models_fail = 401
    with pytest.raises(errors.AuthenticationError):
        await connect(name).list_models()
    wire.models_fail = 200
    with pytest.raises(errors.MalformedStreamError):
        await connect(name).list_models()


async def test_a_turn_that_says_nothing_does_not_break_the_request(connect: Connect, name: str) -> None:
    turns = [Turn("user", "Hi"), Turn("assistant", ""), Turn("user", "/wire tokens=1")]
    assert text_of(await collect(connect(name), ChatRequest("wire", turns))) == "word0 "


async def test_metadata_is_yielded_only_if_the_provider_sends_it(connect: Connect, name: str) -> None:
    events = await collect(connect(name), ask("/wire tokens=1 reasoning=1"))
    assert not any(isinstance(event, Opaque) for event in events)


_VARIABLES = [
    "OPENAI_API_KEY",
    "OPENAI_ADMIN_KEY",
    "OPENAI_ORG_ID",
    "OPENAI_PROJECT_ID",
    "OPENAI_WEBHOOK_SECRET",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_WEBHOOK_SIGNING_KEY",
    "GOOGLE_API_KEY",
    "GEMINI_API_KEY",
]
