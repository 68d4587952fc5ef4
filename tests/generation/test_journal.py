"""The group commit: what it writes, for which replies, and what the runs receive."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from threading import Event
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from chat.database import _release_connections, run_unit
from chat.generation.commit import LOCK_SECONDS, commit
from chat.generation.finish import end
from chat.generation.journal import Journal, Record
from chat.live.process import process_name
from chat.live.reply_log import ReplyLog, Segment
from chat.models import Generation, Status, User
from tests.generation.rows import a_reply, journalled

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class Watched:
    """A reply in a journal, and the notifications to its run."""

    generation: Generation
    journal: Journal = field(default_factory=Journal)
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.log = ReplyLog()
        self.record = Record(
            self.generation.pk,
            self.log,
            on_stop=lambda: self.told.append("stop"),
            on_lost=lambda: self.told.append("lost"),
        )
        self.journal.open(self.record)
        self.journal._heartbeat_at = time.monotonic()  # no heartbeat is due

    async def says(self, text: str) -> None:
        self.log.append("text", text)
        await self.journal.tick()


async def watched(person: User, **how: object) -> Watched:
    return Watched(await run_unit(a_reply, person, **how))  # type: ignore[arg-type]


async def test_each_tick_commits_what_is_new(person: User) -> None:
    it = await watched(person)
    await it.says("One ")
    await it.says("two")
    assert await run_unit(journalled, it.generation.pk) == "One two"
    assert it.told == []


async def test_nothing_is_written_for_a_reply_that_has_ended(person: User) -> None:
    it = await watched(person)
    await it.says("One ")
    segments = [Segment("text", "One ")]
    await run_unit(end, it.generation.pk, process_name(), Status.COMPLETE, segments, publish=lambda _: None)
    await it.says("two")
    assert await run_unit(journalled, it.generation.pk) == ""
    assert it.told == ["lost"]


async def test_nothing_is_written_while_the_end_is(person: User) -> None:
    it = await watched(person)
    async with it.journal.ending(it.record):
        await it.says("One")
        assert await run_unit(journalled, it.generation.pk) == ""
    await it.says(" two")
    assert await run_unit(journalled, it.generation.pk) == "One two"


async def test_the_lease_is_renewed_while_the_end_is_written(person: User) -> None:
    it = await watched(person, seconds_ago=1000)
    it.journal._heartbeat_at = 0
    async with it.journal.ending(it.record):
        await it.journal.tick()
    await sync_to_async(it.generation.refresh_from_db)()
    assert it.generation.heartbeat_at is not None
    assert (timezone.now() - it.generation.heartbeat_at).total_seconds() < 500


async def test_a_late_writer_changes_nothing(person: User) -> None:
    it = await watched(person, by="another-process")
    await it.says("One")
    assert await run_unit(journalled, it.generation.pk) == ""
    assert it.told == ["lost"]


@pytest.mark.parametrize("why", ["asked", "deactivated", "deleted"])
async def test_a_reply_that_is_to_stop_is_notified_with_the_next_tick(person: User, why: str) -> None:
    it = await watched(person)
    conversation = it.generation.conversation
    if why == "asked":
        await sync_to_async(Generation.objects.update)(stop_requested=True)
    elif why == "deactivated":
        await sync_to_async(User.objects.filter(pk=person.pk).update)(is_active=False)
    else:
        conversation.deleted_at = timezone.now()
        await sync_to_async(conversation.save)()
    await it.journal.tick()
    assert it.told == ["stop"]


async def test_a_commit_whose_answer_was_lost_is_written_again(person: User) -> None:
    it = await watched(person)
    await it.says("One ")
    it.record.committed = 0  # the database has it, and the confirmation was lost
    await it.says("two")
    assert await run_unit(journalled, it.generation.pk) == "One two"
    await it.says(" three")
    assert await run_unit(journalled, it.generation.pk) == "One two three"


async def test_a_tick_is_one_round_trip_to_postgresql(person: User) -> None:
    """So the output lost by a kill hardly depends on the distance of the database."""
    if not is_postgresql():
        pytest.skip("SQLite is a file: there is no way to it.")
    it = await watched(person)
    queries = await run_unit(queries_of, it.generation.pk)
    assert len(queries) == 1, queries


def queries_of(generation_id: UUID) -> list[str]:
    """Returns all queries of one tick, heartbeat included."""
    commit([], [generation_id], renew=False)
    with CaptureQueriesContext(connection) as captured:
        commit([(generation_id, 0, [Segment("text", "One")])], [generation_id], renew=True)
    return [query["sql"] for query in captured]


async def test_a_late_tick_removes_no_text(person: User) -> None:
    if not is_postgresql():
        pytest.skip("SQLite is a file: there is no way to it.")
    it = await watched(person)
    await it.says("One two")
    late = [(it.generation.pk, 0, [Segment("text", "One")])]
    await run_unit(commit, late, [it.generation.pk], renew=False)
    assert await run_unit(journalled, it.generation.pk) == "One two"


@pytest.mark.parametrize("is_heartbeat", [False, True])
async def test_a_row_that_another_transaction_holds_keeps_no_other_reply_waiting(
    person: User, is_heartbeat: bool
) -> None:
    if not is_postgresql():
        pytest.skip("SQLite locks no rows.")
    it = await watched(person)
    other = await run_unit(a_reply, person)
    log = ReplyLog()
    record = Record(other.pk, log, on_stop=lambda: None, on_lost=lambda: it.told.append("lost"))
    it.journal.open(record)
    log.append("text", "Other")
    if is_heartbeat:
        it.journal._heartbeat_at = 0.0
    holds, let_go = Event(), Event()

    def hold() -> None:
        with transaction.atomic():
            Generation.objects.filter(pk=it.generation.pk).update(stop_requested=False)
            holds.set()
            assert let_go.wait(60)

    holding = asyncio.create_task(run_unit(hold))
    await asyncio.to_thread(holds.wait, 60)
    try:
        await it.says("One")
        assert await run_unit(journalled, other.pk) == "Other"
        assert await run_unit(journalled, it.generation.pk) == ""
        assert it.record.committed == 0
    finally:
        let_go.set()
        await holding
    await it.journal.tick()
    assert await run_unit(journalled, it.generation.pk) == "One"
    assert it.told == []


def test_the_short_timeouts_of_the_journal_are_not_kept_by_its_connection() -> None:
    """Other units wait longer for a lock. A connection that had an error is returned to the common pool."""
    if not is_postgresql():
        pytest.skip("SQLite has no pool.")
    connection.close()
    connection.settings_dict["OPTIONS"]["pool"] = {"min_size": 1, "max_size": 1}
    try:
        commit([], [], renew=False)
        with pytest.raises(OperationalError), connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = '10ms'; SELECT pg_sleep(60)")
        _release_connections(keep=True)
        with connection.cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            assert cursor.fetchone() != (f"{LOCK_SECONDS}s",)
    finally:
        connection.close()
        connection.close_pool()  # type: ignore[attr-defined]
        del connection.settings_dict["OPTIONS"]["pool"]


def is_postgresql() -> bool:
    return connection.vendor == "postgresql"
