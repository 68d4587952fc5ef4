"""Tools by the API: a call waits for a decision, the stream says so, and continues after it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from chat.database import run_unit
from chat.models import ChatModel, Tool
from chat.providers.events import Outcome, ToolCallDelta
from tests.api.streaming import MEDIA_TYPES, PATIENCE, Program, all_of, answer, events_of, resume, said, until
from tests.live.scripted import ScriptedProvider

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("serving")]
NDJSON = MEDIA_TYPES["ndjson"]


def allow_calculator() -> None:
    fields = {"enabled": True, "available": True, "asks": True}
    Tool.objects.update_or_create(name="calculator", defaults=fields)


async def post(program: Program, address: str, body: object = None) -> Any:
    return await program.post(f"/api/v1{address}", body or {}, content_type="application/json")


async def events_until(program: Program, address: str, kind: str) -> tuple[list[dict[str, Any]], Any]:
    """Returns the events up to the first `metadata` of this kind, and the open stream."""
    stream = events_of(await resume(program, address, NDJSON))
    got = []
    async with asyncio.timeout(PATIENCE):
        async for _id, event in stream:
            got.append(event)
            if event["data"].get("kind") == kind:
                break
    return got, stream


@pytest.mark.parametrize("decision", ["approve", "decline"])
async def test_a_call_waits_for_a_decision_and_the_stream_says_so(
    decision: str, program: Program, models: list[ChatModel], scripted: type[ScriptedProvider]
) -> None:
    await run_unit(allow_calculator)
    (tool,) = (await program.get("/api/v1/tools")).json()["items"]
    assert (tool["name"], tool["asks"]) == ("calculator", True)
    body = {"text": "2 + 3?", "models": [models[0].pk], "tools": ["calculator", "no such tool"]}
    begun = (await post(program, "/prompts", body)).json()
    chat = (await program.get(f"/api/v1/conversations/{begun['conversation']}")).json()
    assert chat["tools"] == ["calculator"]
    provider = await answer(scripted)
    provider.says("Let me see. ")
    provider.events.put_nowait(ToolCallDelta(0, '{"expression": "2 + 3"}', "call_1", "calculator"))
    provider.ends(Outcome.TOOL_CALLS)
    first, stream = await events_until(program, begun["events"], "approval")
    (call,) = first[-1]["data"]["calls"]
    assert (call["index"], call["name"], call["arguments"]) == (0, "calculator", '{"expression": "2 + 3"}')
    # A stream that begins while it waits has the same output.
    again, other = await events_until(program, begun["events"], "approval")
    await other.aclose()
    assert said(again) == said(first) == "Let me see. "
    (told,) = [it["data"] for it in again if it["data"].get("kind") == "tool_call"]
    assert (told["name"], told["arguments"]) == (call["name"], call["arguments"])
    message = (await program.get(f"/api/v1/messages/{begun['replies'][0]}")).json()
    assert (message["reply"]["status"], message["reply"]["asks"]) == ("waiting", [call])
    assert message["text"] == "Let me see. "

    decided = [await post(program, f"/tool-calls/{call['id']}/{decision}") for _click in range(2)]
    assert [it.status_code for it in decided] == [200, 200]
    assert decided[0].json()["reply"]["asks"] == []
    await until(lambda: scripted.open)
    provider = scripted.open[0]
    provider.says("Five.")
    provider.ends(Outcome.COMPLETE)
    async with aclosing(stream):
        rest = [event async for _id, event in stream]
    assert said(first + rest) == "Let me see. Five."
    results = [it["data"] for it in rest if it["data"].get("kind") == "tool_result"]
    assert results[-1]["state"] == {"approve": "done", "decline": "declined"}[decision]
    assert (results[-1]["result"] == "5") == (decision == "approve")
    assert rest[-1]["data"]["status"] == "complete"
    other_decision = {"approve": "decline", "decline": "approve"}[decision]
    refused = await post(program, f"/tool-calls/{call['id']}/{other_decision}")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")


async def test_tools_are_switched_for_a_chat_and_an_approval_holds_for_it(
    program: Program, models: list[ChatModel], scripted: type[ScriptedProvider]
) -> None:
    await run_unit(allow_calculator)
    begun = (await post(program, "/prompts", {"text": "Hello", "models": [models[0].pk]})).json()
    (await answer(scripted)).ends(Outcome.COMPLETE)
    await all_of(await resume(program, begun["events"], NDJSON))
    address = f"/api/v1/conversations/{begun['conversation']}"
    changed = await program.patch(address, {"tools": ["calculator"]}, content_type="application/json")
    assert changed.json()["tools"] == ["calculator"]
    for number, is_asked in enumerate((True, False)):
        body = {"text": "More", "models": [models[0].pk], "conversation": begun["conversation"]}
        sent = (await post(program, "/prompts", body)).json()
        provider = await answer(scripted)
        provider.events.put_nowait(ToolCallDelta(0, '{"expression": "1"}', f"call_{number}", "calculator"))
        provider.ends(Outcome.TOOL_CALLS)
        if is_asked:
            events, stream = await events_until(program, sent["events"], "approval")
            await stream.aclose()
            call = events[-1]["data"]["calls"][0]
            await post(program, f"/tool-calls/{call['id']}/approve", {"for_chat": True})
        await until(lambda before=provider: scripted.open and scripted.open[0] is not before)
        scripted.open[0].says("One.")
        scripted.open[0].ends(Outcome.COMPLETE)
        assert said(await all_of(await resume(program, sent["events"], NDJSON))) == "One."
    changed = await program.patch(address, {"tools": []}, content_type="application/json")
    assert changed.json()["tools"] == []
