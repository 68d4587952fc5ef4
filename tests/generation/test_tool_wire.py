"""Replies with tools over each provider's wire format, on real sockets: the scripted provider calls two tools
at once, with arguments that are cut anywhere, and answers once it has their results."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import timedelta
from hashlib import sha256
from typing import Any

import orjson
import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from chat.actions.reply import continue_reply
from chat.actions.tool_call import Decision, decide_tool_call
from chat.database import run_unit
from chat.generation import toolbox
from chat.generation.orphans import Orphan, end_orphan
from chat.generation.runner import Runner
from chat.generation.turns import DATA
from chat.models import Conversation, Generation, Status, Step, Tool, ToolCallState, ToolRun, User
from chat.parts import ToolCall, ToolResult, loaded
from chat.providers.base import EndpointConfig
from chat.providers.registry import close_all, provider_for
from chat.runtime import Runtime
from chat.tools.base import Caller
from chat.tools.base import Tool as Runnable
from tests.generation.test_run import again, model, queued
from tests.providers.conftest import KEY
from tests.providers.wire import FORMATS, Wire, serve

pytestmark = pytest.mark.django_db(transaction=True)

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
type Run = Callable[[Mapping[str, Any], Caller], Awaitable[str]]
type Offer = Callable[..., None]


@pytest.fixture(params=FORMATS)
async def wire(
    request: pytest.FixtureRequest, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Wire]:
    """A scripted provider of one format, configured as `own`."""
    name = request.param
    async with serve() as server:
        kind = "openai" if name == "openai_chat" else name
        endpoint = EndpointConfig("own", kind, "Own", server.base_url(name), KEY)
        settings.CHAT_ENDPOINTS = {"own": endpoint}
        if name == "openai":  # the adapter for api.openai.com, which speaks Responses
            monkeypatch.setattr(provider_for(endpoint), "_speaks_responses", True)
        yield server
        await close_all()


@pytest.fixture
async def runner(runtime: Runtime) -> AsyncIterator[Runner]:
    runtime.journal.start()
    yield runtime.runner
    await runtime.journal.stop()


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Offer:
    """Makes these functions the tools `tool0` and `tool1`, which the scripted provider calls."""

    def offer(*runs: Run, asks: bool = False, **more: Any) -> None:
        found = {}
        for number, run in enumerate(runs):
            name = f"tool{number}"
            found[name] = Runnable(name, name, "Tells the weather.", SCHEMA, run, **more)
            Tool.objects.create(name=name, enabled=True, asks=asks)
        monkeypatch.setattr(toolbox, "own_tools", lambda: found)

    return offer


def asked(person: User, script: str) -> Generation:
    (generation,) = queued(person, f"/wire {script}", model("own"))
    Conversation.objects.filter(pk=generation.conversation_id).update(tools=["tool0", "tool1"])
    return generation


async def results_of(generation: Generation) -> list[tuple[str, str]]:
    """Returns the states and texts of the results, after a check that each call has its arguments and one
    result."""
    parts = loaded((await again(generation)).message.parts)
    calls = [part for part in parts if isinstance(part, ToolCall)]
    results = {part.call_id: part for part in parts if isinstance(part, ToolResult)}
    assert [json.loads(call.arguments) for call in calls] == [{"city": "Zürich"}] * len(calls)
    assert len(results) == len(calls) == len({call.id for call in calls})
    return [(results[call.id].state, results[call.id].text) for call in calls]


def ran(times: list[str], name: str, result: str = "") -> Run:
    async def run(arguments: Mapping[str, Any], _caller: Caller) -> str:
        times.append(f"{name} {arguments['city']}")
        return result or f"Rain in {name}."

    return run


async def forever(_arguments: Mapping[str, Any], _caller: Caller) -> str:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize("split", [1, 13])
async def test_parallel_calls_run_once_and_their_results_are_sent(
    person: User, wire: Wire, runner: Runner, offer: Offer, split: int
) -> None:
    times: list[str] = []
    await run_unit(offer, ran(times, "a"), ran(times, "b", "x" * 5_000_000))
    generation = await run_unit(asked, person, f"tokens=2 tools=2 split={split}")
    await runner.run_of(generation.pk)()
    done = await again(generation)
    assert (done.status, done.error_message) == (Status.COMPLETE, "")
    assert sorted(times) == ["a Zürich", "b Zürich"]
    (_first, short), (state, long) = await results_of(generation)
    assert short == "Rain in a." and state == "done" and len(long) < 41_000
    first, second = (json.dumps(entry.body, ensure_ascii=False) for entry in wire.log)
    assert "Rain" not in first and "tool1" in first
    assert second.count(json.dumps(f"{DATA}\nRain in a.")[1:-1]) == 1
    assert second.count("Zürich") >= 2 and "5,000,000 characters in all" in second
    assert [step.number async for step in Step.objects.filter(generation=generation)] == [1, 2]
    assert done.input_tokens == 22  # of both steps, as the provider counted


async def test_a_call_waits_for_its_approval_and_the_model_is_told_of_a_refusal(
    person: User, wire: Wire, runner: Runner, offer: Offer
) -> None:
    times: list[str] = []
    await run_unit(offer, ran(times, "a"), ran(times, "b"), asks=True)
    generation = await run_unit(asked, person, "tokens=2 tools=2 split=5 signature=1")
    await runner.run_of(generation.pk)()
    assert ((await again(generation)).status, times) == (Status.WAITING, [])
    calls = [call.pk async for call in ToolRun.objects.order_by("number")]
    await run_unit(decide_tool_call, person, calls[0], Decision.DECLINE)
    await run_unit(decide_tool_call, person, calls[1], Decision.ONCE)
    await runner.run_of(generation.pk)()
    assert ((await again(generation)).status, times) == (Status.COMPLETE, ["b Zürich"])
    assert [state for state, _text in await results_of(generation)] == ["declined", "done"]
    assert len(wire.log) == 2
    sent = json.dumps(wire.log[1].body)
    assert "declined this tool call" in sent and "Rain in b." in sent


async def test_a_tool_that_hangs_is_abandoned_or_stopped_and_never_repeated(
    person: User, wire: Wire, runner: Runner, offer: Offer
) -> None:
    began = asyncio.Event()
    times: list[str] = []

    async def hangs(arguments: Mapping[str, Any], caller: Caller) -> str:
        times.append("a")
        began.set()
        return await forever(arguments, caller)

    await run_unit(offer, hangs, ran(times, "b"))
    generation = await run_unit(asked, person, "tokens=2 tools=2")
    task = asyncio.create_task((run := runner.run_of(generation.pk))())
    await asyncio.wait_for(began.wait(), 60)
    run.stop()
    await asyncio.wait_for(task, 60)
    assert (await again(generation)).status == Status.STOPPED
    assert (await results_of(generation))[0][0] == "unknown"
    assert len(wire.log) == 1

    reply = await run_unit(continue_reply, person, generation.message_id)
    continued = await run_unit(lambda: reply.generation)
    await runner.run_of(continued.pk)()
    assert (await again(continued)).status == Status.COMPLETE
    assert (times.count("a"), len(wire.log)) == (1, 2)
    assert "was interrupted while it ran" in json.dumps(wire.log[1].body)


async def test_a_process_that_is_killed_repeats_no_call(
    person: User, wire: Wire, runner: Runner, runtime: Runtime, offer: Offer
) -> None:
    """The rows are those that a killed process leaves: of one call that ran, and one that had ended."""
    times: list[str] = []
    await run_unit(offer, ran(times, "a"), ran(times, "b"), asks=True)
    generation = await run_unit(asked, person, "tokens=2 tools=2 split=5 signature=1")
    await runner.run_of(generation.pk)()
    assert (await again(generation)).status == Status.WAITING
    await ToolRun.objects.filter(name="tool0").aupdate(state=ToolCallState.STARTED)
    await ToolRun.objects.filter(name="tool1").aupdate(state=ToolCallState.DONE, result="Rain in b.")
    long_ago = timezone.now() - timedelta(minutes=1)
    await Generation.objects.aupdate(status=Status.RUNNING, owner="dead", heartbeat_at=long_ago)
    publish = runtime.pubsub.conversation_changed
    assert await run_unit(end_orphan, Orphan(generation.pk, long_ago, "dead"), publish=publish, within=60)
    assert (await again(generation)).status == Status.INTERRUPTED
    assert [state for state, _text in await results_of(generation)] == ["unknown", "done"]

    reply = await run_unit(continue_reply, person, generation.message_id)
    continued = await run_unit(lambda: reply.generation)
    await runner.run_of(continued.pk)()
    assert ((await again(continued)).status, times, len(wire.log)) == (Status.COMPLETE, [], 2)
    sent = json.dumps(wire.log[1].body)
    assert "was interrupted while it ran" in sent and "Rain in b." in sent


async def test_a_tool_that_takes_too_long_fails_alone(
    person: User, wire: Wire, runner: Runner, offer: Offer
) -> None:
    times: list[str] = []
    await run_unit(offer, forever, ran(times, "b"), seconds=0.05)
    generation = await run_unit(asked, person, "tokens=2 tools=2")
    await runner.run_of(generation.pk)()
    assert (await again(generation)).status == Status.COMPLETE
    assert [state for state, _text in await results_of(generation)] == ["failed", "done"]
    assert "did not answer within" in json.dumps(wire.log[1].body)


async def test_a_call_of_a_tool_that_changed_after_its_approval_is_not_run(
    person: User, wire: Wire, runner: Runner, offer: Offer
) -> None:
    times: list[str] = []
    await run_unit(offer, ran(times, "a"), ran(times, "b"), asks=True)
    generation = await run_unit(asked, person, "tokens=2 tools=2")
    await runner.run_of(generation.pk)()
    async for call in ToolRun.objects.order_by("number"):
        await run_unit(decide_tool_call, person, call.pk, Decision.ONCE)
    await ToolRun.objects.filter(name="tool0").aupdate(approval="tool0:of another tool")
    await runner.run_of(generation.pk)()
    assert ((await again(generation)).status, times) == (Status.COMPLETE, ["b Zürich"])
    (state, words), (other, _text) = await results_of(generation)
    assert (state, other) == ("failed", "done") and "was changed after the tool call was approved" in words


async def test_an_approval_of_version_0_1_holds(
    person: User, wire: Wire, runner: Runner, offer: Offer
) -> None:
    """That version stored a fingerprint without the title."""
    times: list[str] = []
    await run_unit(offer, ran(times, "a"), ran(times, "b"), asks=True)
    generation = await run_unit(asked, person, "tokens=2 tools=2")
    await runner.run_of(generation.pk)()
    async for call in ToolRun.objects.order_by("number"):
        told = {"name": call.name, "description": "Tells the weather.", "parameters": SCHEMA}
        former = sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()
        assert call.approval != f"{call.name}:{former}"
        await ToolRun.objects.filter(pk=call.pk).aupdate(approval=f"{call.name}:{former}")
        await run_unit(decide_tool_call, person, call.pk, Decision.FOR_CHAT)
    await runner.run_of(generation.pk)()
    assert ((await again(generation)).status, sorted(times)) == (Status.COMPLETE, ["a Zürich", "b Zürich"])
    asked_again = await Generation.objects.select_related("conversation__owner").aget(pk=generation.pk)
    assert (await run_unit(toolbox.toolbox_of, asked_again)).asking == frozenset()
