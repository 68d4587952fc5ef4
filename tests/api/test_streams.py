"""One contract for each transport: every character once, in order, from any place on."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from chat.actions.api_token import revoke_tokens
from chat.actions.conversation import delete_conversation
from chat.api import streams
from chat.api.output import Output, Shaper
from chat.database import run_unit
from chat.live import subscription
from chat.live.reply_log import TOOL_CALL, ReplyLog, Segment
from chat.live.tool_call_lines import parts_of
from chat.models import ApiToken, ChatModel, Conversation, Generation, Message, User
from chat.parts import ToolCall
from chat.pipeline import retry
from chat.providers.errors import OverloadedError
from chat.providers.events import Outcome, ToolCallDelta
from chat.runtime import Runtime
from tests.api.streaming import (
    MEDIA_TYPES,
    Program,
    all_of,
    answer,
    broken_events,
    chunks_of,
    events_of,
    place_of,
    resume,
    said,
    send,
    text_of,
    until,
)
from tests.live.scripted import ScriptedProvider

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("serving")]
EVENTS = [MEDIA_TYPES["sse"], MEDIA_TYPES["ndjson"]]
TEXT = "The moon pulls at the sea. Ebbe und Flut: zweimal am Tag! 🌊\nThe end"


async def sent(program: Program, models: list[ChatModel]) -> dict[str, Any]:
    response = await send(program, "How do tides work?", [model.pk for model in models])
    assert response.status_code == 201, response.content
    return response.json()


@pytest.mark.parametrize("media_type", EVENTS)
async def test_a_prompt_is_sent_and_streamed_in_one_request(
    media_type: str, program: Program, models: list[ChatModel], scripted: type[ScriptedProvider]
) -> None:
    response = await send(program, "Why?", [models[0].pk], media_type)
    assert response.headers["X-Accel-Buffering"] == "no"
    assert response.headers["Content-Type"].startswith(media_type)
    reading = asyncio.create_task(all_of(response))
    provider = await answer(scripted)
    provider.thinks("Hm.")
    for word in TEXT.split(" "):
        provider.says(word + " ")
    provider.ends(Outcome.COMPLETE)
    events = await reading
    if media_type == MEDIA_TYPES["sse"]:
        assert events.pop() == {}  # [DONE]
    assert said(events) == TEXT + " "
    assert said(events, "reasoning") == "Hm."
    assert events[0]["type"] == "metadata"
    assert events[0]["data"]["model"] == {"id": models[0].pk, "name": "first"}
    assert events[-1]["type"] == "done"
    assert events[-1]["data"]["status"] == "complete"
    assert events[-1]["seq"] == len("Hm." + TEXT + " ")
    kinds = [event["data"]["kind"] for event in events if event["type"] == "metadata"]
    assert kinds[:2] == ["start", "first_token"]
    stored = await run_unit(Message.objects.get, generation__isnull=False)
    assert stored.text == TEXT + " "
    again = await resume(program, response.headers["Content-Location"], media_type)
    assert said(await all_of(again)) == TEXT + " "


async def test_plain_text_is_the_visible_text_alone(
    program: Program, models: list[ChatModel], scripted: type[ScriptedProvider]
) -> None:
    response = await send(program, "Why?", [models[0].pk], MEDIA_TYPES["text"])
    reading = asyncio.create_task(text_of(response))
    provider = await answer(scripted)
    provider.thinks("Hm.")
    provider.says(TEXT)
    provider.ends(Outcome.COMPLETE)
    assert await reading == TEXT
    address = response.headers["Content-Location"]
    # Its positions count what it carries: the reasoning is not part of them.
    assert await text_of(await resume(program, address, MEDIA_TYPES["text"], "10")) == TEXT[10:]
    refused = await send(program, "Why?", [model.pk for model in models], MEDIA_TYPES["text"])
    assert refused.json()["code"] == "invalid_input"
    assert await run_unit(Message.objects.count) == 2


@pytest.mark.parametrize("media_type", EVENTS)
async def test_a_stream_that_is_cut_anywhere_resumes_there(
    media_type: str, program: Program, models: list[ChatModel], scripted: type[ScriptedProvider]
) -> None:
    begun = await sent(program, models[:1])
    provider = await answer(scripted)
    provider.thinks("Hm.")
    got: list[dict[str, Any]] = []
    at = ""
    for word in TEXT.split(" "):
        provider.says(word + " ")
        async with aclosing(events_of(await resume(program, begun["events"], media_type, at))) as stream:
            async for event_id, event in stream:
                if event["type"] == "token":
                    got.append(event)
                    at = event_id
                    if event["data"]["kind"] == "text":
                        break
    provider.ends(Outcome.COMPLETE)
    last = await all_of(await resume(program, begun["events"], media_type, at))
    assert said(got + last) == TEXT + " "
    assert said(got + last, "reasoning") == "Hm."
    by_header = await program.get(begun["events"], headers={"accept": media_type, "last-event-id": "10"})
    assert said(await all_of(by_header)) == (TEXT + " ")[7:]


@pytest.mark.parametrize("count", [1, 2])
async def test_each_event_says_where_to_resume_also_heartbeats_and_errors(
    count: int,
    program: Program,
    models: list[ChatModel],
    scripted: type[ScriptedProvider],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subscription, "HEARTBEAT_SECONDS", 0.02)
    begun = await sent(program, models[:count])
    ndjson = MEDIA_TYPES["ndjson"]
    providers = [await answer(scripted, number + 1) for number in range(count)]
    words = {"One ", "two ", "three."}
    got: list[dict[str, Any]] = []
    at = ""
    for word in sorted(words):
        for provider in providers:
            provider.says(word)
        async with aclosing(events_of(await resume(program, begun["events"], ndjson, at))) as stream:
            wanted = len(said(got)) + count * len(word)
            async for _id, event in stream:
                got.append(event)
                at = place_of(event)
                if len(said(got)) >= wanted and event["data"].get("kind") == "heartbeat":
                    break
    with monkeypatch.context() as broken:
        broken.setattr(streams, "reply_events", broken_events)
        got += await all_of(await resume(program, begun["events"], ndjson, at))
        assert got[-1]["data"]["code"] == "internal"
    for provider in providers:
        provider.ends(Outcome.COMPLETE)
    got += await all_of(await resume(program, begun["events"], ndjson, place_of(got[-1])))
    for reply in begun["replies"]:
        assert said([it for it in got if it["metadata"].get("reply") == reply]) == "".join(sorted(words))
    whole = await all_of(await resume(program, begun["events"], ndjson, buffer="word"))
    for number in range(len(whole)):
        rest = await all_of(await resume(program, begun["events"], ndjson, place_of(whole[number])))
        for reply in begun["replies"]:
            events = [it for it in whole[: number + 1] + rest if it["metadata"].get("reply") == reply]
            assert said(events) == "".join(sorted(words))


async def test_several_models_are_told_apart(
    program: Program, models: list[ChatModel], scripted: type[ScriptedProvider]
) -> None:
    begun = await sent(program, models)
    first, second = await answer(scripted), await answer(scripted, 2)
    first.says("One, ")
    second.says("Eins, ")
    got: list[dict[str, Any]] = []
    async with aclosing(events_of(await resume(program, begun["events"], MEDIA_TYPES["sse"]))) as stream:
        async for event_id, event in stream:
            got.append(event)
            if len(said(got)) == len("One, Eins, "):
                at = event_id
                break
    assert sorted(map(int, at.split("."))) == [5, 6]
    first.says("two")
    second.says("zwei")
    first.ends(Outcome.COMPLETE)
    second.ends(Outcome.COMPLETE)
    rest = await all_of(await resume(program, begun["events"], MEDIA_TYPES["sse"], at))
    texts = {said(got + rest, reply=reply) for reply in begun["replies"]}
    assert texts == {"One, two", "Eins, zwei"}
    assert sum(event.get("type") == "done" for event in rest) == 2
    assert rest[-1] == {}


@pytest.mark.parametrize(
    ("buffer", "pieces"),
    [
        ("word", ["One ", "two. ", "Three\n", "four"]),
        ("sentence", ["One two. ", "Three\n", "four"]),
        ("line", ["One two. Three\n", "four"]),
        ("size:5", ["One t", "wo. T", "hree\n", "four"]),
        ("time:60000", ["One two. Three\nfour"]),
        ("time:1", None),
    ],
)
async def test_the_buffering_is_chosen(
    buffer: str,
    pieces: list[str] | None,
    program: Program,
    models: list[ChatModel],
    scripted: type[ScriptedProvider],
) -> None:
    begun = await sent(program, models[:1])
    stream = await resume(program, begun["events"], MEDIA_TYPES["ndjson"], buffer=buffer)
    reading = asyncio.create_task(all_of(stream))
    provider = await answer(scripted)
    for character in "One two. Three\nfour":
        provider.says(character)
    provider.ends(Outcome.COMPLETE)
    chunks = [event for event in await reading if event["type"] == "chunk"]
    assert said(chunks) == "One two. Three\nfour"
    if pieces is not None:
        assert [event["data"]["text"] for event in chunks] == pieces
    assert chunks[-1]["seq"] == 19


@pytest.mark.parametrize("query", [{"buffer": "size:0"}, {"buffer": "x"}, {"after": "-1"}, {"after": "1.2"}])
async def test_a_wrong_buffer_or_position_is_refused(
    query: dict[str, str], program: Program, models: list[ChatModel]
) -> None:
    begun = await sent(program, models[:1])
    refused = await program.get(begun["events"], query)
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_input")
    assert refused.headers["Content-Type"] == "application/problem+json"


async def test_a_stop_ends_the_stream_and_keeps_the_text(
    program: Program, models: list[ChatModel], scripted: type[ScriptedProvider]
) -> None:
    begun = await sent(program, models[:1])
    reading = asyncio.create_task(all_of(await resume(program, begun["events"], MEDIA_TYPES["ndjson"])))
    provider = await answer(scripted)
    provider.says("So far")
    await until(lambda: not provider.events.qsize())
    assert (await program.delete(f"/api/v1/replies/{begun['replies'][0]}/generation")).status_code == 204
    events = await reading
    assert said(events) == "So far"
    assert events[-1]["data"]["status"] == "stopped"
    assert not [event for event in events if event["type"] == "error"]


async def test_a_cut_provider_is_an_error_that_says_what_is_kept(
    program: Program, models: list[ChatModel], scripted: type[ScriptedProvider]
) -> None:
    begun = await sent(program, models[:1])
    provider = await answer(scripted)
    provider.says("So far")
    provider.breaks()
    events = await all_of(await resume(program, begun["events"], MEDIA_TYPES["ndjson"]))
    error, done = events[-2:]
    assert error["type"] == "error"
    assert error["data"]["recoverable"] is True
    assert error["data"]["partial"] == {"seq": 6, "text_chars": 6}
    assert done["data"]["status"] == "interrupted"
    # It is continued: the text so far is the start of the new reply.
    again = await program.post(
        f"/api/v1/replies/{begun['replies'][0]}/generations",
        {"continue": True},
        content_type="application/json",
        headers={"accept": MEDIA_TYPES["text"]},
    )
    reading = asyncio.create_task(text_of(again))
    provider = await answer(scripted)
    provider.says(" so good.")
    provider.ends(Outcome.COMPLETE)
    assert await reading == "So far so good."


async def test_a_key_starts_nothing_twice(
    program: Program, models: list[ChatModel], scripted: type[ScriptedProvider]
) -> None:
    for key in ("any name", str(uuid4())):
        first = await send(program, "Once", [models[0].pk], **{"idempotency-key": key})
        second = await send(program, "Once", [models[0].pk], **{"idempotency-key": key})
        assert (first.status_code, second.status_code) == (201, 200)
        assert first.json() | {"repeated": True} == second.json()
        other = await send(program, "Another text", [models[0].pk], **{"idempotency-key": key})
        assert (other.status_code, other.json()["code"]) == (409, "idempotency_mismatch")
        other = await send(program, "Once", [models[1].pk], **{"idempotency-key": key})
        assert (other.status_code, other.json()["code"]) == (409, "idempotency_mismatch")
        for conversation, status in ((str(uuid4()), 409), (first.json()["conversation"], 200)):
            body = {"text": "Once", "models": [models[0].pk], "conversation": conversation}
            other = await program.post(
                "/api/v1/prompts", body, "application/json", headers={"idempotency-key": key}
            )
            assert other.status_code == status
    assert await run_unit(Generation.objects.count) == 2


async def test_a_retry_is_started_once_for_a_key(
    program: Program, models: list[ChatModel], scripted: type[ScriptedProvider]
) -> None:
    begun = await sent(program, models[:1])
    provider = await answer(scripted)
    provider.says("So far")
    provider.breaks()
    await all_of(await resume(program, begun["events"], MEDIA_TYPES["ndjson"]))

    async def again(key: str, accept: str = "application/json", **body: Any) -> Any:
        address = f"/api/v1/replies/{begun['replies'][0]}/generations"
        headers = {"idempotency-key": key, "accept": accept}
        return await program.post(address, body, content_type="application/json", headers=headers)

    first = await again("again", **{"continue": True})
    assert (first.status_code, first.json()["repeated"]) == (201, False)
    # While it runs, and after its end.
    for _ in range(2):
        second = await again("again", **{"continue": True})
        assert (second.status_code, second.json()) == (200, {**first.json(), "repeated": True})
        if len(scripted.open):
            provider = await answer(scripted)
            provider.says(" so good.")
            provider.ends(Outcome.COMPLETE)
            await until(lambda: not scripted.open)
    streamed = await again("again", MEDIA_TYPES["text"], **{"continue": True})
    assert await text_of(streamed) == "So far so good."
    for body in ({"continue": False}, {"continue": True, "model": models[1].pk}):
        other = await again("again", **body)
        assert (other.status_code, other.json()["code"]) == (409, "idempotency_mismatch")
    prompt = await send(program, "Why?", [models[0].pk], **{"idempotency-key": "again"})
    assert (prompt.status_code, prompt.json()["code"]) == (409, "idempotency_mismatch")
    assert await run_unit(Generation.objects.count) == 2


@pytest.mark.parametrize("media_type", EVENTS)
async def test_a_repeated_request_to_the_provider_is_announced(
    media_type: str,
    program: Program,
    models: list[ChatModel],
    scripted: type[ScriptedProvider],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retry, "_delay", lambda *_args: 3600.0)
    begun = await sent(program, models[:1])
    (await answer(scripted)).breaks(OverloadedError())
    notices = []
    async with aclosing(events_of(await resume(program, begun["events"], media_type))) as stream:
        async for _id, event in stream:
            if event["data"].get("kind") == "retry":
                notices.append(event["data"])
                break
    assert notices == [{"kind": "retry", "attempt": 2, "in_seconds": 3600.0}]


async def test_tool_calls_are_metadata(
    program: Program, models: list[ChatModel], scripted: type[ScriptedProvider]
) -> None:
    begun = await sent(program, models[:1])
    reading = asyncio.create_task(all_of(await resume(program, begun["events"], MEDIA_TYPES["ndjson"])))
    provider = await answer(scripted)
    provider.says("Let me look. ")
    provider.events.put_nowait(ToolCallDelta(0, id="call_1", name="look"))
    for piece in ('{"at": ', '"sea"}'):
        provider.events.put_nowait(ToolCallDelta(0, arguments=piece))
    provider.ends(Outcome.COMPLETE)
    events = await reading
    calls = [event["data"] for event in events if event["data"].get("kind") == "tool_call"]
    assert calls[0]["name"] == "look"
    assert "".join(call["arguments"] for call in calls) == '{"at": "sea"}'
    whole = await all_of(await resume(program, begun["events"], MEDIA_TYPES["ndjson"]))
    assert [event["seq"] for event in (whole[-1], events[-1])] == [13] * 2
    # A resumed stream sends calls from their start again.
    rest = await all_of(await resume(program, begun["events"], MEDIA_TYPES["ndjson"], "13"))
    (call,) = [event["data"] for event in rest if event["data"].get("kind") == "tool_call"]
    assert call == {
        "kind": "tool_call",
        "index": 0,
        "id": "call_1",
        "name": "look",
        "arguments": '{"at": "sea"}',
    }
    assert said(rest) == ""


async def test_a_stream_ends_when_its_token_is_revoked(
    program: Program,
    person: User,
    models: list[ChatModel],
    scripted: type[ScriptedProvider],
    serving: Runtime,
) -> None:
    begun = await sent(program, models[:1])
    reading = asyncio.create_task(all_of(await resume(program, begun["events"], MEDIA_TYPES["sse"])))
    provider = await answer(scripted)
    provider.says("So far")
    await until(lambda: serving.session_monitor._viewers)
    await run_unit(revoke_tokens, ApiToken.objects.filter(user=person), by=None)
    events = await reading
    assert events[-1]["type"] == "error"
    assert events[-1]["data"]["code"] == "unauthenticated"
    assert (await resume(program, begun["events"], MEDIA_TYPES["sse"])).status_code == 401


async def test_a_stream_ends_when_its_chat_is_deleted(
    program: Program,
    person: User,
    models: list[ChatModel],
    scripted: type[ScriptedProvider],
    serving: Runtime,
) -> None:
    begun = await sent(program, models[:1])
    reading = asyncio.create_task(all_of(await resume(program, begun["events"], MEDIA_TYPES["ndjson"])))
    (await answer(scripted)).says("So far")
    await until(lambda: serving.session_monitor._viewers)
    await run_unit(delete_conversation, person, begun["conversation"])
    assert (await reading)[-1]["data"]["code"] == "not_found"


async def test_an_address_of_events_always_streams(
    program: Program, models: list[ChatModel], scripted: type[ScriptedProvider], settings: Any
) -> None:
    begun = await sent(program, models[:1])
    provider = await answer(scripted)
    response = await resume(program, begun["events"], "application/json")
    assert response.headers["Content-Type"] == MEDIA_TYPES["sse"]
    provider.says("Yes.")
    provider.ends(Outcome.COMPLETE)
    assert said(await all_of(response)) == "Yes."
    settings.CHAT_PAGES_PER_PERSON = 0
    assert (await resume(program, begun["events"], "application/json")).status_code == 429


async def test_a_slow_reader_gets_larger_pieces(
    program: Program, models: list[ChatModel], scripted: type[ScriptedProvider]
) -> None:
    begun = await sent(program, models[:1])
    stream = events_of(await resume(program, begun["events"], MEDIA_TYPES["ndjson"]))
    provider = await answer(scripted)
    got = [(await anext(stream))[1]]
    for number in range(1000):
        provider.says(f"{number} ")
    provider.ends(Outcome.COMPLETE)
    await until(lambda: not scripted.open)
    got += [event async for _id, event in stream]
    assert said(got) == "".join(f"{number} " for number in range(1000))
    assert sum(event["type"] == "token" for event in got) < 100


async def test_the_streams_of_one_user_are_limited_and_the_prompt_is_not_sent(
    program: Program, models: list[ChatModel], scripted: type[ScriptedProvider], settings: Any
) -> None:
    settings.CHAT_PAGES_PER_PERSON = 1
    begun = await sent(program, models[:1])
    chunks = chunks_of(await resume(program, begun["events"], MEDIA_TYPES["ndjson"]))
    await anext(chunks)
    refused = await send(program, "One more", [models[0].pk], MEDIA_TYPES["sse"])
    assert (refused.status_code, refused.json()["code"]) == (429, "limit_reached")
    assert refused.headers["Retry-After"]
    assert await run_unit(Conversation.objects.count) == 1
    await chunks.aclose()


CALLS = st.builds(
    lambda index, arguments: (
        json.dumps({"index": index, "id": "", "name": "f", "arguments": arguments}) + "\n"
    ),
    st.integers(0, 2),
    st.text("ab", max_size=4),
)
SEGMENTS = st.lists(
    st.tuples(st.sampled_from(["text", "reasoning"]), st.text(min_size=1, max_size=8))
    | st.tuples(st.just(TOOL_CALL), CALLS),
    max_size=12,
)


@given(SEGMENTS, st.lists(st.integers(0, 100), max_size=6), st.sampled_from(["none", "word", "size:3"]))
@example(
    [(TOOL_CALL, json.dumps({"index": n, "id": "", "name": "f", "arguments": "a"}) + "\n") for n in (0, 1)]
    + [("text", "Hello")],
    [1, 4],
    "none",
)
@hypothesis_settings(max_examples=60)
def test_cut_anywhere_and_resumed_no_character_is_missing_or_sent_twice(
    segments: list[tuple[str, str]], cuts: list[int], buffer: str
) -> None:
    """The running and the stored reply, in any order of cuts, with tool calls in pieces."""
    log = ReplyLog(Segment(kind, text) for kind, text in segments)
    parts = parts_of(log.since(0))
    position, got = 0, []
    calls: dict[int, str] = {}
    for cut in [*cuts, 999]:
        output, shaper = Output(position), Shaper(buffer, position)
        half = log.since(0) if cut % 2 else None
        pieces = list(output.feed(half) if half is not None else output.feed_parts(parts))
        shaped = [it for piece in pieces for it in shaper.take(piece)] + list(shaper.flush())
        for piece in shaped[: cut % 5 if cut != 999 else None]:
            got.append(piece)
            assert piece.end >= position
            position = piece.end
            if piece.call is not None:
                index = piece.call["index"]
                calls[index] = piece.text if "name" in piece.call else calls[index] + piece.text
    for kind in ("text", "reasoning"):
        whole = "".join(text for its, text in segments if its == kind)
        assert "".join(piece.text for piece in got if piece.kind == kind) == whole
    assert position == sum(len(text) for kind, text in segments if kind != TOOL_CALL)
    assert [calls[index] for index in sorted(calls)] == [
        part.arguments for part in parts if isinstance(part, ToolCall)
    ]


def test_a_stream_to_the_end_has_each_call_once() -> None:
    lines = [json.dumps({"index": n, "id": "", "name": "f", "arguments": "{}"}) + "\n" for n in (3, 7)]
    segments = [Segment(TOOL_CALL, lines[0]), Segment("text", "Hello"), Segment(TOOL_CALL, lines[1])]
    output = Output(0)
    live = list(output.feed(segments[:2]))
    rest = list(output.feed_parts(parts_of(segments)))
    assert [(it.kind, it.text, it.end) for it in live] == [(TOOL_CALL, "{}", 0), ("text", "Hello", 5)]
    assert [(it.kind, it.text, it.end, it.call) for it in rest] == [
        (TOOL_CALL, "{}", 5, {"index": 1, "id": "", "name": "f"})
    ]
