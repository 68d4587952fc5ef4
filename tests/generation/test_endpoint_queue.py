"""An endpoint with a limit of requests at once has a queue that is fair between people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from random import Random
from threading import Event
from uuid import UUID, uuid4

import pytest
from django.conf import settings as django_settings
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from chat.actions.reply import stop_reply
from chat.actions.send import send_message
from chat.generation import lease, run
from chat.generation.call_queue import _begin_those, _enter
from chat.generation.endpoint_queue import (
    BusyError,
    QueueEntry,
    has_queue,
    ordered,
    pause,
    place_of,
    startable_after,
    startable_generations,
)
from chat.generation.orphans import end_forgotten, end_orphan, orphans
from chat.models import ChatModel, Endpoint, Generation, QueuedCall, Status, User
from chat.runtime import Runtime
from tests.generation.rows import a_reply

AT_ONCE = 4


def nothing(_conversation_id: UUID) -> None:
    """Takes the place of what publishes."""


@pytest.fixture
def people(make_user: Callable[..., User]) -> list[User]:
    return [make_user(f"{name}@example.org") for name in ("ada", "ben", "cleo")]


@pytest.fixture
def endpoint(db: None) -> Endpoint:
    return Endpoint.objects.create(slug="demo", name="Demo", at_once=AT_ONCE)


@pytest.fixture
def as_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    def act(name: str) -> None:
        monkeypatch.setattr(lease, "process_name", lambda: name)

    yield act


def queued(owner: User) -> Generation:
    return a_reply(owner, status=Status.QUEUED, by="")


def end(generation_id: UUID) -> None:
    Generation.objects.filter(pk=generation_id).update(status=Status.COMPLETE, finished_at=timezone.now())


def test_the_order_is_fair_and_no_user_starves() -> None:
    ids = [uuid4() for _ in range(9)]
    waiting = [QueueEntry(pk, owner) for pk, owner in zip(ids, [1, 1, 1, 1, 2, 2, 3, 3, 3], strict=True)]
    order = ordered(waiting, {}, {})
    assert [dict(waiting)[pk] for pk in order] == [1, 2, 3, 1, 2, 3, 1, 3, 1]
    # Two of person 1 run already.
    order = ordered(waiting, {1: 2}, {})
    assert [dict(waiting)[pk] for pk in order] == [2, 3, 2, 3, 1, 3, 1, 1, 1]
    # Of equals, who was served longest ago.
    now = timezone.now()
    order = ordered(waiting, {}, {1: now, 2: now - timedelta(seconds=5)})
    assert [dict(waiting)[pk] for pk in order][:3] == [3, 2, 1]


def test_a_hundred_prompts_of_three_people_over_two_processes_one_of_which_is_killed(
    people: list[User], endpoint: Endpoint, as_process: Callable[[str], None]
) -> None:
    """Ada sends 60 at once, Ben 30, Cleo 10. Those who wait have as many running as the others, within one.
    Each generation begins once."""
    random = Random(7)
    owner_of = {queued(people[n]).pk: n for n, count in enumerate((60, 30, 10)) for _ in range(count)}
    served: list[UUID] = []
    running: dict[UUID, str] = {}
    killed = False
    while len(served) < 100 or running:
        process = random.choice(["one", "two"] if not killed else ["two"])
        as_process(process)
        turn = startable_generations(endpoint)
        assert len(turn) <= AT_ONCE - len(running)
        for generation_id in turn:
            assert lease.claim(generation_id, nothing) is not None
            assert lease.claim(generation_id, nothing) is None  # in another process, at the same time
            served.append(generation_id)
            running[generation_id] = process
        left = Counter(owner_of[pk] for pk in owner_of if pk not in served)
        shares = [sum(owner_of[pk] == n for pk in running) for n in left]
        assert max(shares, default=0) - min(shares, default=0) <= 1  # of those who wait
        live = Generation.objects.filter(status=Status.RUNNING).count()
        assert live == len(running) <= AT_ONCE
        late = [pk for pk in owner_of if pk not in served]
        if late:
            assert lease.claim(random.choice(late), nothing) is None  # out of turn
        if len(served) > 40 and not killed:
            killed = True
            gone = [pk for pk, owner in running.items() if owner == "one"]
            long_ago = timezone.now() - timedelta(seconds=60)
            Generation.objects.filter(pk__in=gone).update(heartbeat_at=long_ago)
            for orphan in orphans():
                assert end_orphan(orphan, publish=nothing, within=60)
                del running[orphan.generation_id]
            assert not set(gone) & set(running)
            continue
        ended = random.choice(list(running))
        end(ended)
        del running[ended]
    assert len(served) == len(set(served)) == 100
    assert {owner_of[generation_id] for generation_id in served[:3]} == {0, 1, 2}
    assert (
        max(n for n, pk in enumerate(served) if owner_of[pk] == 2) < 60
    )  # Cleo's few did not wait for Ada's
    assert Generation.objects.filter(status=Status.QUEUED).count() == 0


def test_a_queued_prompt_shows_its_place_and_can_be_withdrawn(
    people: list[User], endpoint: Endpoint, client: Client
) -> None:
    Endpoint.objects.update(at_once=1)
    model = ChatModel.objects.create(endpoint=endpoint, name="demo")
    running = a_reply(people[1])
    sent = []
    for person in (people[0], people[0], people[2]):
        prompt = send_message(person, uuid4(), client_id=uuid4(), text="Hi", model_ids=[model.pk]).message
        sent.append(Generation.objects.get(message__parent=prompt))
    assert [generation.status for generation in sent] == [Status.QUEUED] * 3
    assert [place_of(generation) for generation in sent] == [1, 3, 2]
    client.force_login(people[0])
    page = client.get(f"/conversations/{sent[1].conversation_id}/").content.decode()
    url = f"/messages/{sent[1].message_id}/place/"
    assert url in page and "Cancel" in page
    assert client.get(url).content == b"Position 3 in the queue for this model."
    stop_reply(people[0], sent[0].message_id)
    assert Generation.objects.get(pk=sent[0].pk).status == Status.STOPPED
    assert (
        client.get(url).content == b"Position 1 in the queue for this model."
    )  # Both are their owner's only one.
    end(running.pk)
    assert startable_after(Generation.objects.get(pk=running.pk).model) == [sent[1].pk]
    assert client.get(f"/messages/{sent[0].message_id}/place/").content == b""
    client.force_login(people[1])
    assert client.get(url).status_code == 404


def test_a_pause_requested_by_a_provider_applies_to_all_and_ends(
    people: list[User], endpoint: Endpoint, settings: Settings
) -> None:
    Endpoint.objects.update(at_once=None)
    model = ChatModel.objects.create(endpoint=endpoint, name="demo")
    assert not has_queue(ChatModel.objects.select_related("endpoint").get())
    pause("demo", 60)
    pause("demo", 5)  # shortens nothing
    slowed = Endpoint.objects.get()
    assert slowed.slowed_until is not None and slowed.slowed_until > timezone.now() + timedelta(seconds=50)
    prompt = send_message(people[0], uuid4(), client_id=uuid4(), text="Hi", model_ids=[model.pk]).message
    waiting = Generation.objects.get(message__parent=prompt)
    assert (waiting.status, waiting.queued_by_endpoint) == (Status.QUEUED, True)
    assert lease.claim(waiting.pk, nothing) is None
    assert lease.ready_to_start(after=0) == []
    Endpoint.objects.update(slowed_until=timezone.now() - timedelta(seconds=1))
    assert lease.ready_to_start(after=0) == [waiting.pk]
    assert lease.claim(waiting.pk, nothing) is not None


def test_a_long_wait_in_a_moving_queue_ends_nothing(people: list[User], endpoint: Endpoint) -> None:
    ended = a_reply(people[1])
    waiting = queued(people[0])
    long_ago = timezone.now() - timedelta(hours=1)
    Generation.objects.filter(pk=waiting.pk).update(queued_at=long_ago, queued_by_endpoint=True)
    assert end_forgotten(nothing) == []
    end(ended.pk)
    assert end_forgotten(nothing) == []
    Generation.objects.filter(pk=ended.pk).update(finished_at=long_ago)  # the server was away
    assert end_forgotten(nothing) == [waiting.pk]


def test_a_call_that_began_during_a_failed_poll_is_found_by_the_next(
    people: list[User], endpoint: Endpoint
) -> None:
    call = uuid4()
    assert _enter(call, people[0].pk, endpoint.pk)
    assert _begin_those({call}) == [call]
    QueuedCall.objects.filter(pk=call).update(ended_at=timezone.now())
    assert _begin_those({call}) == []


@pytest.mark.parametrize(
    ("begun", "ended", "seen", "works"),
    [(3_600, None, 1, True), (3_600, 1, 1, True), (3_600, None, 3_600, False), (None, None, 1, False)],
)
def test_a_queue_that_calls_of_programs_move_is_a_moving_queue(
    people: list[User],
    endpoint: Endpoint,
    begun: int | None,
    ended: int | None,
    seen: int,
    works: bool,
) -> None:
    """Seconds ago. A call that waits moves nothing, and one that is not renewed does not run."""
    waiting, now = queued(people[0]), timezone.now()
    long_ago = now - timedelta(hours=1)
    Generation.objects.filter(pk=waiting.pk).update(queued_at=long_ago, queued_by_endpoint=True)
    call = QueuedCall.objects.create(id=uuid4(), user=people[1], endpoint=endpoint, process="other")
    at = [None if ago is None else now - timedelta(seconds=ago) for ago in (begun, ended, seen)]
    QueuedCall.objects.filter(pk=call.pk).update(begun_at=at[0], ended_at=at[1], seen_at=at[2])
    assert end_forgotten(nothing) == ([] if works else [waiting.pk])


@pytest.mark.skipif(django_settings.SQLITE, reason="There is one writer.")
@pytest.mark.django_db(transaction=True)
def test_a_claim_waits_for_no_claim_of_another_process(people: list[User], endpoint: Endpoint) -> None:
    """While another connection is in the middle of a claim, each claim ends at once, and a later one
    succeeds."""
    first, second = queued(people[0]), queued(people[1])
    call_id = uuid4()
    claimed, done = Event(), Event()

    def claim_and_hold() -> None:
        with transaction.atomic():
            assert lease.claim(first.pk, nothing) is not None
            claimed.set()
            assert done.wait(60)
        connection.close()

    with ThreadPoolExecutor(1) as threads:
        other = threads.submit(claim_and_hold)
        try:
            assert claimed.wait(60)
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '50ms'")  # a wait for any lock would be an error
                for generation in (first, second):
                    with pytest.raises(BusyError):
                        lease.claim(generation.pk, nothing)
                assert not _enter(call_id, people[2].pk, endpoint.pk)
        finally:
            done.set()
        other.result()
    assert lease.claim(second.pk, nothing) is not None
    assert _begin_those({call_id}) == [call_id]
    assert lease.claim(first.pk, nothing) is None


async def test_a_run_repeats_its_claim_until_no_other_process_is_in_the_way(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    results: list[object] = [BusyError(), BusyError(), None]

    def claim(*_: object) -> None:
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result

    monkeypatch.setattr(run, "claim", claim)
    await runtime.runner.run_of(uuid4())()
    assert results == []
