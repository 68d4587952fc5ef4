"""Server-sent events and the four decoders with invalid input."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.generation.output import MAX_REPLY_CHARS
from chat.providers.anthropic_messages import MessagesDecoder
from chat.providers.errors import MalformedStreamError, ProviderError
from chat.providers.events import Finished, GeneratedFile, TextDelta
from chat.providers.gemini_content import ContentDecoder
from chat.providers.openai_chat import ChatDecoder
from chat.providers.openai_compatible import CompatibleDecoder
from chat.providers.openai_responses import ResponsesDecoder
from chat.providers.sse import (
    MAX_EVENT_BYTES,
    MAX_PIECE,
    MAX_TEXT_BYTES,
    Decoder,
    SSEDecoder,
    read_stream,
    split_texts,
)
from tests.pipeline.test_transform import cut
from tests.providers.wire import (
    ChatFormat,
    Format,
    GeminiFormat,
    MessagesFormat,
    ResponsesFormat,
    Script,
)
from tests.services import LONG

DECODERS = [ChatDecoder, CompatibleDecoder, ResponsesDecoder, MessagesDecoder, ContentDecoder]
WIRES: list[tuple[type[Format], type[Decoder]]] = [
    (ChatFormat, CompatibleDecoder),
    (ResponsesFormat, ResponsesDecoder),
    (MessagesFormat, MessagesDecoder),
    (GeminiFormat, ContentDecoder),
]


def events_of(data: bytes, sizes: list[int] | None = None) -> list[bytes]:
    decoder = SSEDecoder()
    pieces = [data[: sizes[0]], *cut_bytes(data[sizes[0] :], sizes[1:])] if sizes else [data]
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.flush()


def cut_bytes(data: bytes, sizes: list[int]) -> list[bytes]:
    return [piece.encode("latin-1") for piece in cut(data.decode("latin-1"), sizes)]


@pytest.mark.parametrize(
    ("data", "events"),
    [
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
        (b"data:a\ndata: b\ndata:\n\n", [b"a\nb\n"]),
        (b"data:  two spaces\n\n", [b" two spaces"]),
        (b": comment\nevent: x\nid: 1\nretry: 5\ndata: a\n\n", [b"a"]),
        (b"event: nothing\n\n\n\n", []),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"data: no last blank line\n", [b"no last blank line"]),
        (b"data: no last line end", [b"no last line end"]),
        (b"database: x\n\n", []),
        (b"", []),
    ],
)
@given(sizes=st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_events_are_cut_as_the_standard_says_wherever_the_bytes_are_cut(
    data: bytes, events: list[bytes], sizes: list[int]
) -> None:
    assert events_of(data) == events
    assert events_of(data, sizes) == events


@given(data=st.binary(max_size=300), sizes=st.lists(st.integers(0, 9), min_size=1, max_size=40))
def test_any_bytes_give_the_same_events_wherever_they_are_cut(data: bytes, sizes: list[int]) -> None:
    data = data.replace(b"\x00", b"data: x\n\n").replace(b"\x01", b"\r").replace(b"\x02", b"\n")
    assert events_of(data, sizes) == events_of(data)


def test_an_endless_event_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.providers.sse.MAX_EVENT_BYTES", 1_000)
    decoder = SSEDecoder()
    with pytest.raises(MalformedStreamError):
        for _ in range(100):
            decoder.feed(b"data: " + b"x" * 100)


def test_a_whole_reply_of_the_greatest_length_is_read_in_short_pieces() -> None:
    text = "".join(chr(97 + n % 26) for n in range(MAX_REPLY_CHARS))
    chunk = {"choices": [{"delta": {"content": text}}]}
    [data] = SSEDecoder().feed(b"data: " + orjson.dumps(chunk) + b"\n\n")
    pieces = [event.text for event in split_texts(ChatDecoder().decode(data)) if isinstance(event, TextDelta)]
    assert "".join(pieces) == text
    assert max(map(len, pieces)) <= MAX_PIECE


def test_only_a_picture_may_be_larger_than_the_longest_text() -> None:
    url = "data:image/png;base64," + "A" * (MAX_TEXT_BYTES + 1_000_000 // 4 * 4)
    delta = {"images": [{"type": "image_url", "image_url": {"url": url}}]}
    [event] = ChatDecoder().decode(orjson.dumps({"choices": [{"index": 0, "delta": delta}]}))
    assert isinstance(event, GeneratedFile) and len(event.data) > MAX_TEXT_BYTES // 2
    for content in (
        "word " * (MAX_TEXT_BYTES // 5),
        [1] * (MAX_TEXT_BYTES // 2),
        "\n" * (MAX_TEXT_BYTES // 2),
    ):
        chunk = orjson.dumps({"choices": [{"index": 0, "delta": {"content": content}}]})
        with pytest.raises(MalformedStreamError, match="too much at once"):
            ChatDecoder().decode(chunk)


async def test_an_event_that_is_too_large_is_not_parsed_and_what_came_before_it_is_kept() -> None:
    parsed = 0

    class Counted(ChatDecoder):
        def events(self, payload: Any) -> Any:
            nonlocal parsed
            parsed += 1
            return super().events(payload)

    async def chunks() -> AsyncIterator[bytes]:
        yield b'data: {"choices": [{"delta": {"content": "kept"}}]}\n\n'
        yield b'data: {"choices": [{"delta": {"content": "'
        for _ in range(MAX_EVENT_BYTES // 65_536):
            yield b"x" * 65_536
        raise AssertionError("it is read on")

    events = []
    with pytest.raises(MalformedStreamError, match="too much at once"):
        async for event in read_stream(chunks(), Counted()):
            events.append(event)
    assert (parsed, events) == (1, [TextDelta("kept")])


def test_endless_comments_are_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.providers.sse.MAX_EVENT_BYTES", 1_000)
    decoder = SSEDecoder()
    assert not any(decoder.feed(b": ping" + b"." * 90 + b"\n\n") for _ in range(100))


FIELDS = """
type index delta content choices error message code usage tool_calls function arguments id name
finish_reason candidates parts text functionCall args thoughtSignature finishReason promptFeedback
blockReason usageMetadata promptTokenCount item output_index response output status sequence_number
content_block stop_reason thinking signature partial_json input_tokens prompt_tokens details reasoning
refusal thought
"""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 600) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS.split()), inner, max_size=5)
    ),
    max_leaves=25,
)
TYPES = [
    "content_block_delta",
    "content_block_start",
    "content_block_stop",
    "message_start",
    "message_delta",
    "message_stop",
    "error",
    "response.output_text.delta",
    "response.output_item.added",
    "response.output_item.done",
    "response.function_call_arguments.delta",
    "response.completed",
    "response.incomplete",
    "response.failed",
]


@pytest.mark.parametrize("make", DECODERS)
@given(payloads=st.lists(st.one_of(JSON, st.tuples(st.sampled_from(TYPES), JSON)), max_size=6))
@settings(max_examples=1_000 if LONG else 50, deadline=None)
def test_any_json_gives_events_or_a_provider_error(make: type[Decoder], payloads: list[Any]) -> None:
    decoder = make()
    for payload in payloads:
        if isinstance(payload, tuple):
            kind, rest = payload
            payload = {**(rest if isinstance(rest, dict) else {"delta": rest}), "type": kind}
        try:
            decoder.decode(orjson.dumps(payload))
        except ProviderError as error:
            assert str(error) and error.code
    decoder.close()


@pytest.mark.parametrize("make", DECODERS)
@given(data=st.binary(max_size=200))
@settings(deadline=None)
def test_any_bytes_give_events_or_a_provider_error(make: type[Decoder], data: bytes) -> None:
    try:
        make().decode(data)
    except ProviderError:
        pass


def test_deep_nesting_is_malformed() -> None:
    for make in DECODERS:
        with pytest.raises(MalformedStreamError):
            make().decode(b"[" * 100_000)


@pytest.mark.parametrize(("wire", "make"), WIRES)
@given(sizes=st.lists(st.integers(0, 50), max_size=60), at=st.integers(0, 4_000), byte=st.binary(max_size=3))
@settings(max_examples=400 if LONG else 20, deadline=None)
async def test_a_damaged_stream_gives_a_prefix_of_the_text_or_a_provider_error(
    wire: type[Format], make: type[Decoder], sizes: list[int], at: int, byte: bytes
) -> None:
    formatted = wire(Script(tokens=12, tools=1, reasoning=2), "m")
    data = b"".join(formatted.encode(item) for _, items in formatted.steps() for item in items)
    damaged = data[:at] + byte

    async def chunks() -> Any:
        for piece in cut_bytes(damaged, sizes):
            yield piece

    text = ""
    try:
        async for event in read_stream(chunks(), make()):
            text += event.text if isinstance(event, TextDelta) else ""
    except ProviderError:
        pass
    assert "".join(formatted.script.words).startswith(text)


def test_repeated_events_of_a_response_are_read_once() -> None:
    formatted = ResponsesFormat(Script(tokens=3, twice=1), "m")
    decoder = ResponsesDecoder()
    data = b"".join(formatted.encode(item) for _, items in formatted.steps() for item in items)
    events = [event for piece in events_of(data) for event in decoder.decode(piece)]
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["word0 ", "word1 ", "word2 "]


TEXT = b'data: {"choices":[{"index":0,"delta":{"content":"whole"}}]}\n\n'
END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n'


@pytest.mark.parametrize(
    "rest",
    [
        [END + b'\ndata: {"error":{"message":"overloaded"}}\n\n'],
        [END + b"\ndata: {broken\n\n"],
        [END, aiohttp.ClientPayloadError("reset")],
        [END + b"\n", aiohttp.ClientPayloadError("reset")],
    ],
)
async def test_an_error_after_the_end_marker_costs_no_answer(rest: list[bytes | Exception]) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for chunk in [TEXT, *rest]:
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk

    found = [event async for event in read_stream(chunks(), ChatDecoder())]
    assert TextDelta("whole") in found
    assert isinstance(found[-1], Finished)
