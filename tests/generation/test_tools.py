"""Replies that use tools: their steps, approvals and ends."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from chat.actions.errors import ConflictError
from chat.actions.preset import PresetContent, choose_preset, make_preset
from chat.actions.reply import continue_reply, stop_reply
from chat.actions.send import send_message
from chat.actions.tool_call import Decision, decide_tool_call
from chat.actions.tools import sync_own_tools
from chat.database import run_unit
from chat.generation import chat_search, tool_calls, toolbox
from chat.generation import run as run_module
from chat.generation.orphans import Orphan, end_orphan
from chat.generation.runner import Runner
from chat.generation.tool_runs import start_tool_calls
from chat.models import (
    ChatModel,
    Conversation,
    Generation,
    JournalEntry,
    SentRequest,
    Status,
    Step,
    Tool,
    ToolCallState,
    ToolRun,
    User,
)
from chat.parts import TextPart, ToolCall, ToolResult, loaded
from chat.providers.base import ChatRequest
from chat.providers.events import Finished, Outcome, ProviderEvent, ToolCallDelta, Usage
from chat.providers.registry import close_all
from chat.runtime import Runtime
from chat.search.catch_up import catch_up
from chat.tools.base import Tool as Runnable
from chat.tools.base import tool_of
from tests.generation.test_run import again, model, queued

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def runner(runtime: Runtime) -> AsyncIterator[Runner]:
    runtime.journal.start()
    yield runtime.runner
    await runtime.journal.stop()
    await close_all()


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes functions the tools of this server."""
    found: dict[str, Runnable] = {}
    monkeypatch.setattr(toolbox, "own_tools", lambda: found)

    def offer(function: Callable[..., Any], *, asks: bool = False, **more: Any) -> None:
        found[function.__name__] = tool_of(function, **more)
        Tool.objects.create(name=function.__name__, enabled=True, asks=asks)

    return offer


def asked(person: User, text: str, *tools: str) -> Generation:
    """Returns a queued reply of a chat with these tools on."""
    (generation,) = queued(person, text, model("demo"))
    Conversation.objects.filter(pk=generation.conversation_id).update(tools=list(tools))
    return generation


def double(number: str) -> str:
    """Doubles."""
    return number * 2


async def test_a_reply_calls_a_tool_and_answers_with_its_result(
    person: User, runner: Runner, offer: Callable[..., None]
) -> None:
    await run_unit(offer, double)
    generation = await run_unit(asked, person, "/demo instant /demo tool double 21", "double")
    await runner.run_of(generation.pk)()
    done = await again(generation)
    assert (done.status, done.error_message) == (Status.COMPLETE, "")
    call, result, text = loaded(done.message.parts)
    assert call == ToolCall("call_demo", "double", '{"number":"21"}')
    assert isinstance(result, ToolResult) and (result.text, result.state) == ("2121", "done")
    assert isinstance(text, TextPart) and "2121" in text.text
    steps = [step async for step in Step.objects.filter(generation=generation)]
    assert [step.number for step in steps] == [1, 2]
    assert done.output_tokens == sum(step.output_tokens or 0 for step in steps)
    row = await ToolRun.objects.aget()
    assert (row.state, row.arguments, row.result) == (ToolCallState.DONE, "", "")


async def parts_after(generation: Generation) -> list[Any]:
    return loaded((await again(generation)).message.parts)


async def results_after(generation: Generation) -> list[tuple[str, str]]:
    found = [part for part in await parts_after(generation) if isinstance(part, ToolResult)]
    return [(part.state, part.text) for part in found]


async def waiting(
    person: User, runner: Runner, prompt: str = "/demo instant /demo tool double 4"
) -> Generation:
    generation = await run_unit(asked, person, prompt, "double")
    await runner.run_of(generation.pk)()
    assert (await again(generation)).status == Status.WAITING
    return generation


async def test_a_call_waits_for_an_approval_without_a_process_and_uses_it_once(
    person: User, runner: Runner, runtime: Runtime, offer: Callable[..., None]
) -> None:
    await run_unit(offer, double, asks=True)
    generation = await waiting(person, runner)
    found = await again(generation)
    assert (found.owner, found.message.parts[0]["name"]) == ("", "double")
    await runtime.recovery.sweep(is_alone=True)  # as after a restart
    call = await ToolRun.objects.aget()
    assert call.state == ToolCallState.ASKED
    for _click in range(2):
        await run_unit(decide_tool_call, person, call.pk, Decision.ONCE)
    assert (await again(generation)).status == Status.QUEUED
    await runner.run_of(generation.pk)()
    done = await again(generation)
    assert done.status == Status.COMPLETE
    assert await results_after(generation) == [("done", "44")]
    assert [step async for step in Step.objects.values_list("number", flat=True)] == [1, 2]
    assert await JournalEntry.objects.acount() == 0
    with pytest.raises(ConflictError):
        await run_unit(decide_tool_call, person, call.pk, Decision.DECLINE)


async def test_a_declined_call_is_not_run_and_the_model_is_told(
    person: User, runner: Runner, offer: Callable[..., None]
) -> None:
    ran: list[str] = []
    await run_unit(offer, recording(ran), asks=True)
    generation = await waiting(person, runner)
    await run_unit(decide_tool_call, person, (await ToolRun.objects.aget()).pk, Decision.DECLINE)
    await runner.run_of(generation.pk)()
    assert ran == []
    ((state, text),) = await results_after(generation)
    assert state == "declined"
    assert "declined" in text and text in (await again(generation)).message.text


async def test_an_approval_for_the_chat_holds_until_the_tool_changes(
    person: User, runner: Runner, offer: Callable[..., None]
) -> None:
    await run_unit(offer, double, asks=True)
    first = await waiting(person, runner)
    await run_unit(decide_tool_call, person, (await ToolRun.objects.aget()).pk, Decision.FOR_CHAT)
    await runner.run_of(first.pk)()

    def more() -> Generation:
        ids = [ChatModel.objects.get().pk]
        text = "/demo instant /demo tool double 5"
        sent = send_message(person, first.conversation_id, client_id=uuid4(), text=text, model_ids=ids)
        return Generation.objects.get(message__parent=sent.message)

    second = await run_unit(more)
    await runner.run_of(second.pk)()
    assert await results_after(second) == [("done", "55")]

    await Tool.objects.all().adelete()
    await run_unit(offer, recording([]), asks=True)
    third = await run_unit(more)
    await runner.run_of(third.pk)()
    assert (await again(third)).status == Status.WAITING


async def test_a_call_that_waits_can_be_stopped(
    person: User, runner: Runner, offer: Callable[..., None]
) -> None:
    await run_unit(offer, double, asks=True)
    generation = await waiting(person, runner)
    call = await ToolRun.objects.aget()
    await run_unit(stop_reply, person, generation.message_id)
    done = await again(generation)
    assert done.status == Status.STOPPED
    assert done.output_tokens
    assert [state for state, _text in await results_after(generation)] == ["skipped"]
    with pytest.raises(ConflictError):
        await run_unit(decide_tool_call, person, call.pk, Decision.ONCE)


async def test_stop_ends_a_tool_that_hangs(person: User, runner: Runner, offer: Callable[..., None]) -> None:
    began = asyncio.Event()

    async def double(number: str) -> str:
        """Never ends."""
        began.set()
        await asyncio.Event().wait()
        return number

    await run_unit(offer, double)
    generation = await run_unit(asked, person, "/demo instant /demo tool double 4", "double")
    task = asyncio.create_task((run := runner.run_of(generation.pk))())
    await asyncio.wait_for(began.wait(), 60)
    run.stop()
    await asyncio.wait_for(task, 60)
    assert (await again(generation)).status == Status.STOPPED
    assert [state for state, _text in await results_after(generation)] == ["unknown"]


async def test_a_tool_that_takes_too_long_fails_and_the_reply_continues(
    person: User, runner: Runner, offer: Callable[..., None]
) -> None:
    released = threading.Event()

    def double(number: str) -> str:
        """Sleeps, on a thread that nobody can end."""
        released.wait(60)
        return number

    await run_unit(offer, double, seconds=0.05)
    generation = await run_unit(asked, person, "/demo instant /demo tool double 4", "double")
    await runner.run_of(generation.pk)()
    released.set()
    assert (await again(generation)).status == Status.COMPLETE
    ((state, text),) = await results_after(generation)
    assert state == "failed" and "0.05 seconds" in text


async def test_a_result_of_five_megabytes_is_cut(
    person: User, runner: Runner, offer: Callable[..., None]
) -> None:
    def double(number: str) -> str:
        """Says much."""
        return "x\x00" * 2_500_000

    await run_unit(offer, double)
    generation = await run_unit(asked, person, "/demo instant /demo tool double 4", "double")
    await runner.run_of(generation.pk)()
    ((state, text),) = await results_after(generation)
    assert state == "done" and len(text) < 41_000 and "5,000,000 characters in all" in text


def recording(ran: list[str]) -> Callable[[str], str]:
    def double(number: str) -> str:
        """Doubles, and tells."""
        ran.append(number)
        return number * 2

    return double


@pytest.mark.parametrize(
    ("state", "ends"),
    [
        (ToolCallState.APPROVED, "skipped"),
        (ToolCallState.STARTED, "unknown"),
        (ToolCallState.DONE, "done"),
    ],
)
async def test_a_process_that_ends_repeats_no_call(
    person: User, runner: Runner, runtime: Runtime, offer: Callable[..., None], state: str, ends: str
) -> None:
    """The rows are those that a process leaves which is killed in this state."""
    ran: list[str] = []
    await run_unit(offer, recording(ran), asks=True)
    generation = await waiting(person, runner)
    call = await ToolRun.objects.aget()
    await ToolRun.objects.aupdate(state=state, result="44" if state == "done" else "")
    long_ago = timezone.now() - timedelta(minutes=1)
    await Generation.objects.aupdate(status=Status.RUNNING, owner="dead", heartbeat_at=long_ago)
    publish = runtime.pubsub.conversation_changed
    assert await run_unit(end_orphan, Orphan(generation.pk, long_ago, "dead"), publish=publish, within=60)
    done = await again(generation)
    assert done.status == Status.INTERRUPTED
    ((ended, text),) = await results_after(generation)
    assert (ended, ran) == (ends, [])
    assert text == "44" if ends == "done" else "not r" in text
    assert done.output_tokens
    # Continue goes on from what is stored: with the result, and without the call.
    reply = await run_unit(continue_reply, person, generation.message_id)
    await runner.run_of((continued := await run_unit(lambda: reply.generation)).pk)()
    assert (await again(continued)).status == Status.COMPLETE
    assert (await parts_after(continued))[:2] == (await parts_after(generation))[:2]
    assert text in (await again(continued)).message.text
    assert (ran, await ToolRun.objects.acount()) == ([], 1)
    assert call.call_id == "call_demo"


async def test_a_reply_whose_owner_changed_runs_nothing(
    person: User, runner: Runner, offer: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    await run_unit(offer, recording(ran))
    generation = await run_unit(asked, person, "/demo instant /demo tool double 4", "double")

    def steal(*args: object) -> set[int] | str:
        Generation.objects.update(owner="another")
        return start_tool_calls(*args)  # type: ignore[arg-type]

    monkeypatch.setattr("chat.generation.tool_calls.start_tool_calls", steal)
    await runner.run_of(generation.pk)()
    assert ran == []
    assert (await again(generation)).status == Status.RUNNING


@pytest.mark.parametrize("unit", ["commit_step", "start_tool_calls"])
async def test_stop_between_two_steps_ends_the_reply_as_stopped(
    person: User, runner: Runner, offer: Callable[..., None], monkeypatch: pytest.MonkeyPatch, unit: str
) -> None:
    """The message to the process is lost, so the row alone says that the reply is to stop."""
    ran: list[str] = []
    await run_unit(offer, recording(ran))
    generation = await run_unit(asked, person, "/demo instant /demo tool double 4", "double")
    module = run_module if unit == "commit_step" else tool_calls
    real = getattr(module, unit)

    def stopped(*args: Any, **kwargs: Any) -> Any:
        Generation.objects.update(stop_requested=True)
        return real(*args, **kwargs)

    monkeypatch.setattr(module, unit, stopped)
    await runner.run_of(generation.pk)()
    done = await again(generation)
    assert (done.status, ran) == (Status.STOPPED, [])
    found = [state for state, _text in await results_after(generation)]
    assert found == ([] if unit == "commit_step" else ["skipped"])
    assert done.output_tokens
    reply = await run_unit(continue_reply, person, generation.message_id)
    monkeypatch.setattr(module, unit, real)
    await runner.run_of((continued := await run_unit(lambda: reply.generation)).pk)()
    assert (await again(continued)).status == Status.COMPLETE


async def test_a_model_searches_only_other_chats_of_its_user(
    person: User, make_user: Callable[..., User], runner: Runner
) -> None:
    def chats() -> tuple[Generation, Conversation]:
        sync_own_tools()
        demo = model("demo")
        mine = queued(person, "The safe code is 4711 zebra", demo)[0].conversation
        queued(make_user("other@example.org"), "A zebra of another person", demo)
        catch_up()
        (reply,) = queued(person, "/demo instant /demo tool search_my_chats zebra", demo)
        Conversation.objects.filter(pk=reply.conversation_id).update(tools=["search_my_chats"])
        return reply, mine

    generation, mine = await run_unit(chats)
    await runner.run_of(generation.pk)()
    assert (await again(generation)).status == Status.COMPLETE
    ((state, text),) = await results_after(generation)
    assert state == "done" and "The safe code is 4711 zebra" in text
    assert f"/conversations/{mine.pk}/" in text
    assert "another person" not in text and str(generation.conversation_id) not in text

    await User.objects.filter(pk=person.pk).aupdate(is_active=False)
    find = (await run_unit(toolbox.toolbox_of, await again(generation))).caller.search
    assert find is not None and await find("zebra") == "Nothing was found."


async def test_searches_of_one_reply_run_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    running: list[str] = []
    most = 0

    def found(_user: int, query: str, _without: UUID) -> str:
        nonlocal most
        running.append(query)
        most = max(most, len(running))
        time.sleep(0.01)  # long enough for another one to begin
        running.remove(query)
        return query

    monkeypatch.setattr(chat_search, "_found", found)
    find = chat_search.search_for(1, uuid4())
    assert await asyncio.gather(*(find(str(number)) for number in range(5))) == list("01234")
    assert most == 1


async def test_a_reply_without_end_is_ended(
    person: User, runner: Runner, offer: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The demo is made to call again in each step, also in the one that offers no call."""
    await run_unit(offer, double)
    monkeypatch.setattr(run_module, "MAX_STEPS", 3)
    monkeypatch.setattr("chat.providers.demo._answer_to_results", lambda results: "")
    generation = await run_unit(asked, person, "/demo instant", "double")
    seen: list[str | None] = []

    async def stream(self: object, request: ChatRequest) -> AsyncIterator[ProviderEvent]:
        seen.append(request.tool_choice)
        ids = [call.id for turn in request.turns for call in turn.tool_calls]
        assert len(ids) == len(set(ids))
        yield ToolCallDelta(0, id="same", name="double")
        yield ToolCallDelta(0, arguments='{"number": "1"}')
        yield ToolCallDelta(1, id="", name="nothing")
        yield Finished(Outcome.TOOL_CALLS, "tool_calls")

    monkeypatch.setattr("chat.providers.demo.DemoProvider.stream", stream)
    await runner.run_of(generation.pk)()
    done = await again(generation)
    assert (done.status, done.error_code, seen) == (Status.LENGTH, "steps", [None, None, "none"])
    found = await results_after(generation)
    assert sorted(state for state, _text in found) == ["done", "done", "failed", "failed"]
    assert "no tool 'nothing'" in dict(found)["failed"]


async def test_the_steps_of_a_reply_together_cost_no_more_than_one_reply_may(
    person: User,
    runner: Runner,
    offer: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
) -> None:
    settings.CHAT_MAX_REPLY_COST = 2.5
    await run_unit(offer, double)
    generation = await run_unit(asked, person, "/demo instant", "double")
    await ChatModel.objects.aupdate(input_price=0, output_price=100_000)
    steps = 0

    async def stream(self: object, request: ChatRequest) -> AsyncIterator[ProviderEvent]:
        nonlocal steps
        steps += 1
        yield ToolCallDelta(0, '{"number": "1"}', id=f"call{steps}", name="double")
        yield Usage(10, 10)  # a dollar
        yield Finished(Outcome.TOOL_CALLS, "tool_calls")

    monkeypatch.setattr("chat.providers.demo.DemoProvider.stream", stream)
    await runner.run_of(generation.pk)()
    done = await again(generation)
    assert (done.status, steps) == (Status.LENGTH, 3)
    assert [state for state, _text in await results_after(generation)][:2] == ["done", "done"]


def use_preset(person: User, generation: Generation, instructions: str) -> None:
    preset = make_preset(person, PresetContent("P", instructions))
    choose_preset(person, generation.conversation_id, preset.pk, {})


async def sources_of(generation: Generation) -> list[list[str]]:
    return (await SentRequest.objects.aget(generation=generation)).system


async def test_a_preset_that_is_chosen_while_a_tool_runs_does_not_change_the_reply(
    person: User, runner: Runner, offer: Callable[..., None]
) -> None:
    loop = asyncio.get_running_loop()

    def change(number: str) -> str:
        """Chooses another preset."""
        chosen = run_unit(use_preset, person, generation, "Other.")
        asyncio.run_coroutine_threadsafe(chosen, loop).result(60)
        return number

    await run_unit(offer, change)
    generation = await run_unit(asked, person, "/demo instant /demo tool change 1", "change")
    await run_unit(use_preset, person, generation, "First.")
    await runner.run_of(generation.pk)()
    assert await results_after(generation) == [("done", "1")]
    assert ["preset", "First."] in await sources_of(generation)


async def test_a_preset_that_is_chosen_before_an_approval_does_not_change_the_reply(
    person: User, runner: Runner, offer: Callable[..., None]
) -> None:
    await run_unit(offer, double, asks=True)
    generation = await waiting(person, runner)
    sent = await sources_of(generation)
    await run_unit(use_preset, person, generation, "Other.")
    call = await ToolRun.objects.aget()
    await run_unit(decide_tool_call, person, call.pk, Decision.ONCE)
    await runner.run_of(generation.pk)()
    assert (await again(generation)).status == Status.COMPLETE
    assert await sources_of(generation) == sent and "Other." not in str(sent)
