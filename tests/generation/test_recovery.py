"""The recovery from ended processes and broken runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from threading import Barrier, Event
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from chat.actions.reply import continue_interrupted_reply
from chat.database import DatabaseThread, run_unit
from chat.generation import orphans as orphans_module
from chat.generation import recovery
from chat.generation.endpoint_queue import BusyError
from chat.generation.finish import end
from chat.generation.lease import claim, ready_to_start
from chat.generation.orphans import end_forgotten, end_orphan, orphans
from chat.generation.recovery import Recovery
from chat.live.reply_log import ReplyLog, Segment
from chat.models import Conversation, Generation, JournalEntry, Message, Status, User
from chat.providers.base import EndpointConfig
from chat.runtime import Runtime
from tests.generation.rows import a_reply, journalled

pytestmark = pytest.mark.django_db(transaction=True)


def swept(*running: UUID, grace: float = 15) -> dict[str, object]:
    """Sweeps once and returns the only generation's state and text."""
    for orphan in orphans(running, grace=grace):
        end_orphan(orphan, publish=publish)
    end_forgotten(publish)
    generation = Generation.objects.select_related("message").get()
    return {"status": generation.status, "text": generation.message.text, "why": generation.error_code}


def publish(conversation_id: UUID) -> None:
    """Nobody looks."""


async def nothing_to_requeue() -> None:
    pass


def sweeper(
    begin: Callable[[UUID], None] = publish, requeue: Callable[[], Awaitable[None]] = nothing_to_requeue
) -> Recovery:
    """A recovery that begins and gives back as the test wants, and where nothing runs."""
    return Recovery(
        DatabaseThread("recovery", 60),
        publish,
        running=list,
        begin=begin,
        requeue=requeue,
        on_interrupted=publish,
    )


def test_the_reply_of_an_ended_process_keeps_what_the_journal_has(person: User) -> None:
    reply = a_reply(person, by="dead", seconds_ago=16)
    JournalEntry.objects.create(generation=reply, start=0, segments=[["reasoning", "Hm. "], ["text", "Be"]])
    JournalEntry.objects.create(generation=reply, start=6, segments=[["text", "cause"]])
    assert swept() == {"status": Status.INTERRUPTED, "text": "Because", "why": "server_stopped"}
    assert journalled(reply.pk) == ""


def test_a_living_process_keeps_its_reply(person: User) -> None:
    a_reply(person, by="alive", seconds_ago=10)
    assert swept()["status"] == Status.RUNNING


def test_a_run_of_this_process_that_broke_is_ended_too(person: User) -> None:
    a_reply(person, seconds_ago=16)
    assert swept()["status"] == Status.INTERRUPTED


def test_what_runs_here_knows_its_own_end(person: User) -> None:
    reply = a_reply(person, seconds_ago=100)
    assert swept(reply.pk)["status"] == Status.RUNNING


def test_a_prompt_that_waited_too_long_is_not_sent_automatically(person: User) -> None:
    a_reply(person, status=Status.QUEUED, by="", seconds_ago=301)
    assert swept()["status"] == Status.INTERRUPTED


async def test_after_a_restart_a_prompt_just_acknowledged_starts_at_once(person: User) -> None:
    reply = await run_unit(a_reply, person, status=Status.QUEUED, by="")
    started: list[UUID] = []
    await sweeper(started.append).sweep(is_alone=True)
    assert started == [reply.pk]


async def test_beside_others_a_fresh_prompt_is_left_to_its_own_process(person: User) -> None:
    await run_unit(a_reply, person, status=Status.QUEUED, by="")
    started: list[UUID] = []
    await sweeper(started.append).sweep()
    assert started == []


async def test_an_orphan_is_ended_by_the_second_sweep_that_sees_it(person: User) -> None:
    reply = await run_unit(a_reply, person, by="dead", seconds_ago=16)
    sweeps = sweeper()
    await sweeps.sweep()
    assert await run_unit(status, reply.pk) == Status.RUNNING
    await sweeps.sweep()
    assert await run_unit(status, reply.pk) == Status.INTERRUPTED


@pytest.mark.parametrize("locked", [Generation, Conversation])
async def test_a_row_that_another_transaction_holds_keeps_no_other_orphan_waiting(
    person: User, locked: type[Generation | Conversation]
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite locks no rows.")
    held = await run_unit(a_reply, person, by="dead", seconds_ago=16)
    others = [await run_unit(a_reply, person, by="dead", seconds_ago=16) for _ in range(3)]
    waiting = await run_unit(a_reply, person, status=Status.QUEUED, by="", seconds_ago=10)
    holds, let_go = Event(), Event()

    def hold() -> None:
        with transaction.atomic():
            with connection.cursor() as cursor:  # as another program's
                cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            row = held.pk if locked is Generation else held.conversation_id
            list(locked.objects.select_for_update().filter(pk=row))
            holds.set()
            assert let_go.wait(300)

    holding = asyncio.create_task(run_unit(hold))
    await asyncio.to_thread(holds.wait, 60)
    started: list[UUID] = []
    sweeps = sweeper(started.append)
    try:
        await sweeps.sweep()
        await sweeps.sweep()
        assert {await run_unit(status, each.pk) for each in others} == {Status.INTERRUPTED}
        assert set(started) == {waiting.pk}
    finally:
        let_go.set()
        await holding
    assert await run_unit(status, held.pk) == Status.RUNNING
    await sweeps.sweep()
    await sweeps.sweep()
    assert await run_unit(status, held.pk) == Status.INTERRUPTED


async def test_an_orphan_that_cannot_be_ended_keeps_no_other_one_waiting(person: User) -> None:
    broken = await run_unit(a_reply, person, by="dead", seconds_ago=16)
    await JournalEntry.objects.acreate(generation=broken, start=0, segments=[["text"]])
    others = [await run_unit(a_reply, person, by="dead", seconds_ago=16) for _ in range(3)]
    waiting = await run_unit(a_reply, person, status=Status.QUEUED, by="", seconds_ago=10)
    started: list[UUID] = []
    await sweeper(started.append).sweep(is_alone=True)
    assert {await run_unit(status, each.pk) for each in others} == {Status.INTERRUPTED}
    assert started == [waiting.pk]


async def test_the_sweep_needs_no_thread_of_the_units_that_wait_for_the_database(
    person: User, runtime: Runtime
) -> None:
    reply = await run_unit(a_reply, person)
    runtime.runner.remember_claims([reply.pk])
    stuck = Event()
    units = [asyncio.create_task(run_unit(stuck.wait, 120)) for _ in range(8)]
    await asyncio.sleep(0)  # each has its thread
    try:
        async with asyncio.timeout(60):
            await sweeper(requeue=partial(runtime.runner.requeue, after=0.0)).sweep()
    finally:
        stuck.set()
        await asyncio.gather(*units)
    assert await run_unit(status, reply.pk) == Status.QUEUED


async def test_a_process_whose_database_was_away_keeps_its_replies(person: User) -> None:
    reply = await run_unit(a_reply, person, by="alive", seconds_ago=60)
    sweeps = sweeper()
    await sweeps.sweep()
    await run_unit(Generation.objects.filter(pk=reply.pk).update, heartbeat_at=timezone.now())
    await sweeps.sweep()
    assert await run_unit(status, reply.pk) == Status.RUNNING


def test_a_heartbeat_by_the_database_clock_is_recognised(person: User) -> None:
    reply = a_reply(person, status=Status.QUEUED, by="")
    claim(reply.pk, publish)
    assert not orphans(grace=0), "what this very process has just claimed is nobody's orphan"
    Generation.objects.filter(pk=reply.pk).update(owner="dead")
    (orphan,) = orphans(grace=0)
    assert end_orphan(orphan, publish=publish)
    assert status(reply.pk) == Status.INTERRUPTED


def test_an_orphan_with_a_late_heartbeat_is_left_alone(person: User) -> None:
    reply = a_reply(person, by="alive", seconds_ago=60)
    (orphan,) = orphans()
    Generation.objects.filter(pk=reply.pk).update(heartbeat_at=timezone.now())
    assert not end_orphan(orphan, publish=publish)
    assert status(reply.pk) == Status.RUNNING


def meanwhile(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> None:
    """A change that happens while the end of an orphan waits for its lock."""
    wait = orphans_module.locked_conversation

    def waited(generation_id: UUID) -> Conversation | None:
        change()
        return wait(generation_id)

    monkeypatch.setattr(orphans_module, "locked_conversation", waited)


def test_a_heartbeat_while_the_end_waits_for_a_lock_keeps_the_reply_alive(
    person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = a_reply(person, by="alive", seconds_ago=60)
    (orphan,) = orphans()
    same = Generation.objects.filter(pk=reply.pk)
    meanwhile(monkeypatch, lambda: same.update(heartbeat_at=timezone.now()))
    assert not end_orphan(orphan, publish=publish)
    assert status(reply.pk) == Status.RUNNING


def test_what_is_journalled_while_the_end_waits_for_a_lock_is_kept(
    person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = a_reply(person, by="slow", seconds_ago=60)
    (orphan,) = orphans()
    segments = [["text", "Because"]]
    meanwhile(
        monkeypatch,
        lambda: JournalEntry.objects.get_or_create(generation=reply, start=0, segments=segments),
    )
    assert end_orphan(orphan, publish=publish)
    assert Message.objects.get(pk=reply.message_id).text == "Because"


def test_an_end_that_waited_for_a_lock_ends_nothing(person: User) -> None:
    """Its process waited too, and may renew its lease now."""
    reply = a_reply(person, by="alive", seconds_ago=60)
    (orphan,) = orphans()
    assert not end_orphan(orphan, publish=publish, within=0)
    assert status(reply.pk) == Status.RUNNING


async def test_a_sweep_that_could_not_write_suspects_no_process(
    person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = await run_unit(a_reply, person, by="alive", seconds_ago=60)
    sweeps = sweeper()
    await sweeps.sweep()
    with monkeypatch.context() as locked:
        locked.setattr(recovery, "could_renew", lambda _: set())
        locked.setattr(recovery, "end_orphan", lambda *_, **__: False)  # it waits too
        await sweeps.sweep()
    await sweeps.sweep()
    assert await run_unit(status, reply.pk) == Status.RUNNING
    await sweeps.sweep()
    assert await run_unit(status, reply.pk) == Status.INTERRUPTED


@pytest.mark.parametrize("wanted", [False, True])
async def test_an_interrupted_reply_is_continued_automatically_if_the_settings_say_so(
    person: User, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "CHAT_CONTINUE_INTERRUPTED", wanted)
    monkeypatch.setattr(settings, "CHAT_ENDPOINTS", {"demo": EndpointConfig("demo", "demo", "Demo")})
    reply = await run_unit(an_orphan_with_text, person)
    recovery = Runtime(on_interrupted=continue_interrupted_reply).recovery
    await recovery.sweep(is_alone=True)
    continuations = await run_unit(continuations_of, reply)
    assert len(continuations) == wanted
    # A continuation that is interrupted too is left to the user.
    for continuation in continuations:
        await run_unit(breaks, continuation.pk)
        await recovery.sweep(is_alone=True)
        assert await run_unit(continuations_of, continuation) == []


def an_orphan_with_text(person: User) -> Generation:
    reply = a_reply(person, by="dead", seconds_ago=16)
    JournalEntry.objects.create(generation=reply, start=0, segments=[["text", "Because"]])
    return reply


def continuations_of(reply: Generation) -> list[Generation]:
    return list(Generation.objects.filter(continues=reply.message_id))


def breaks(generation_id: UUID) -> None:
    JournalEntry.objects.create(generation_id=generation_id, start=0, segments=[["text", "Because it"]])
    Generation.objects.filter(pk=generation_id).update(
        status=Status.RUNNING, owner="dead", heartbeat_at=timezone.now()
    )


def status(generation_id: UUID) -> str:
    return Generation.objects.get(pk=generation_id).status


def test_a_prompt_that_waits_behind_a_long_reply_is_not_forgotten(person: User) -> None:
    first = a_reply(person, by="alive")
    second = a_reply(person, status=Status.QUEUED, by="", seconds_ago=3600)
    second.message.parent.parent = first.message
    second.message.parent.save()
    assert end_forgotten(publish) == []
    first.refresh_from_db()
    end(first.pk, "alive", Status.COMPLETE, [], publish=publish)
    assert end_forgotten(publish) == [], "its turn has only just come"
    Generation.objects.filter(pk=first.pk).update(finished_at=timezone.now() - timedelta(hours=1))
    assert end_forgotten(publish) == [second.pk]


@pytest.mark.parametrize("how", ["stopped while queued", "its process died"])
def test_a_continuation_never_has_less_than_what_it_continues(person: User, how: str) -> None:
    half = a_reply(person, by="alive")
    end(half.pk, "alive", Status.INTERRUPTED, [Segment("text", "Half of the answer")], publish=publish)
    reply = a_reply(person, status=Status.QUEUED, by="")
    Generation.objects.filter(pk=reply.pk).update(continues=half.message)
    if how == "stopped while queued":
        end(reply.pk, "", Status.STOPPED, [], publish=publish)
    else:
        claim(reply.pk, publish)
        Generation.objects.filter(pk=reply.pk).update(owner="dead")
        (orphan,) = orphans(grace=0)
        assert end_orphan(orphan, publish=publish)
    assert Message.objects.get(pk=reply.message_id).text == "Half of the answer"


def test_one_of_many_simultaneous_claims_of_a_reply_succeeds(person: User) -> None:
    for _ in range(5):
        reply = a_reply(person, status=Status.QUEUED, by="")
        together = Barrier(4)

        def take(generation_id: UUID = reply.pk, together: Barrier = together) -> bool:
            together.wait()
            try:
                return claim(generation_id, publish) is not None
            except BusyError:
                return False
            finally:
                connection.close()

        with ThreadPoolExecutor(4) as threads:
            taken = [future.result() for future in [threads.submit(take) for _ in range(4)]]
        assert sorted(taken) == [False, False, False, True]


async def test_a_reply_claimed_while_the_server_stops_is_queued_again(person: User, runtime: Runtime) -> None:
    reply = await run_unit(a_reply, person)
    runtime.runner.remember_claims([reply.pk])
    runtime.runner.begin(reply.pk, reply)
    await runtime.stop(0)
    again = await Generation.objects.aget(pk=reply.pk)
    assert (again.status, again.owner, again.started_at) == (Status.QUEUED, "", None)
    assert await run_unit(ready_to_start, after=0.0) == [reply.pk]


async def test_a_reply_committed_after_the_drain_began_is_queued_again(
    person: User, runtime: Runtime
) -> None:
    generation_id = uuid4()
    runtime.runner.remember_claims([generation_id])
    draining = asyncio.create_task(runtime.stop(0))
    await asyncio.wait([draining], timeout=0.2)
    reply = await run_unit(a_reply, person, pk=generation_id)
    await draining
    again = await Generation.objects.aget(pk=reply.pk)
    assert (again.status, again.owner) == (Status.QUEUED, "")


async def test_a_reply_whose_commit_was_never_confirmed_starts(person: User, runtime: Runtime) -> None:
    """The connection broke between the commit and its answer, so nothing starts here automatically."""
    deaf, started = runtime.runner, list[UUID]()
    sweeps = sweeper(started.append, partial(deaf.requeue, after=0.0))
    generation_id = uuid4()
    deaf.remember_claims([generation_id])
    await sweeps.sweep()
    assert not started, "it is not committed yet"
    await run_unit(a_reply, person, pk=generation_id, seconds_ago=3)
    await sweeps.sweep()
    assert started == [generation_id]
    again = await Generation.objects.aget(pk=generation_id)
    assert (again.status, again.owner, again.error_code) == (Status.QUEUED, "", "")


async def test_a_failed_claim_keeps_the_remote_log_of_the_reply(person: User, runtime: Runtime) -> None:
    reply = await run_unit(a_reply, person, by="another")
    copy = ReplyLog([Segment("text", "Theirs")])
    runtime.hub.logs[reply.pk] = copy
    await runtime.runner.run_of(reply.pk)()
    assert runtime.hub.logs[reply.pk] is copy
