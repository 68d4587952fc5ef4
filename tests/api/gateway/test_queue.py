"""Calls of programs wait in the queue of an endpoint with the replies."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from itertools import product
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from chat.actions.send import send_message
from chat.generation import call_queue, calls, lease
from chat.generation.endpoint_queue import RUNNING_SECONDS, pause_if_asked, place_of
from chat.models import ChatModel, Endpoint, Generation, QueuedCall, Status, UsageEntry, User
from tests.api.gateway.conftest import Gateway

pytestmark = pytest.mark.django_db(transaction=True)

APIS = ("chat/completions", "messages", "responses")


@pytest.fixture
async def endpoint(gateway: Gateway) -> Endpoint:
    """One request at once."""
    await Endpoint.objects.filter(slug="openai_compatible").aupdate(at_once=1)
    return await Endpoint.objects.aget(slug="openai_compatible")


@pytest.fixture
async def http(gateway: Gateway) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {gateway.key}"}) as session:
        yield session


def call(
    http: aiohttp.ClientSession, gateway: Gateway, script: str, api: str = "chat/completions", **more: Any
) -> Any:
    text = f"/wire {script}"
    asked = {"input": text} if api == "responses" else {"messages": [{"role": "user", "content": text}]}
    limit = {"max_tokens": 100} if api == "messages" else {}
    body = {"model": "wire-openai_compatible", **asked, **limit, **more}
    return http.post(f"{gateway.url}/v1/{api}", json=body)


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not await holds():
            await asyncio.sleep(0.01)


async def rows(count: int, **how: Any) -> None:
    """Returns when so many calls are in this state."""

    async def holds() -> bool:
        return await QueuedCall.objects.filter(**how).acount() == count

    await until(holds)


async def test_calls_wait_in_the_queue_and_a_cancelled_one_leaves_it(
    gateway: Gateway, endpoint: Endpoint, http: aiohttp.ClientSession
) -> None:
    async with call(http, gateway, "tokens=2 hold=1", stream=True) as first:
        assert first.status == 200
        await gateway.wire.reached(1)
        second, third = (asyncio.ensure_future(call(http, gateway, f"tokens={n}")) for n in (3, 4))
        await rows(2, begun_at=None)
        third.cancel()
        await asyncio.wait([third])
        await rows(1, begun_at=None)
        assert len(gateway.wire.log) == 1
        gateway.wire.released.set()
        assert b"[DONE]" in await first.read()
    answer = await second
    assert answer.status == 200 and "word2" in await answer.text()
    assert len(gateway.wire.log) == 2
    await rows(1)  # the last one says when its user was served
    await rows(1, ended_at__isnull=False)
    entries = [entry async for entry in UsageEntry.objects.order_by("at")]
    assert sorted((e.status, e.output_tokens is None) for e in entries) == [
        ("complete", False),
        ("complete", False),
        ("stopped", True),
    ]


async def test_pages_and_programs_share_one_fair_queue(
    gateway: Gateway, endpoint: Endpoint, http: aiohttp.ClientSession, make_user: Callable[..., User]
) -> None:
    """A program of one person has one call running and three waiting. The reply of another person is next,
    and it is seen as the first in the queue."""
    other = await sync_to_async(make_user)("other@example.org")
    model = await ChatModel.objects.aget(endpoint=endpoint)

    def sent() -> Generation:
        sending = send_message(other, uuid4(), client_id=uuid4(), text="/wire tokens=7", model_ids=[model.pk])
        return Generation.objects.select_related("model__endpoint").get(message__parent=sending.message)

    async with call(http, gateway, "tokens=2 hold=1", stream=True) as first:
        await gateway.wire.reached(1)
        waiting = [asyncio.ensure_future(call(http, gateway, f"tokens=3 hold={n}")) for n in (9, 8, 7)]
        await rows(3, begun_at=None)
        generation = await sync_to_async(sent)()
        assert generation.status == Status.QUEUED
        assert await sync_to_async(place_of)(generation) == 1
        gateway.wire.released.set()
        await first.read()
    for each in waiting:
        assert (await each).status == 200

    async def ended() -> bool:
        return (await Generation.objects.aget(pk=generation.pk)).status == Status.COMPLETE

    await until(ended)
    assert [("tokens=7" in str(entry.body)) for entry in gateway.wire.log] == [
        False,
        True,
        False,
        False,
        False,
    ]


async def test_a_call_that_waits_too_long_is_refused_in_its_apis_form(
    gateway: Gateway, endpoint: Endpoint, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_queue, "MOST_SECONDS", 0.05)
    for api, stream in product(APIS, (False, True)):
        await QueuedCall.objects.filter(process="another").adelete()  # it counts for seconds
        await QueuedCall.objects.acreate(
            id=uuid4(), endpoint=endpoint, user=gateway.person, process="another", begun_at=timezone.now()
        )
        async with call(http, gateway, "tokens=1", api, stream=stream) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "30")
            error = (await answer.json())["error"]
        assert error["code"] == "line_timeout" and "Nothing was sent to it." in error["message"]
        assert error["type"] == ("overloaded_error" if api == "messages" else "server_error")
    assert not gateway.wire.log
    async for entry in UsageEntry.objects.all():
        assert (entry.status, entry.error_code, entry.output_tokens) == ("failed", "queue", None)


async def test_a_refusal_of_a_provider_pauses_its_endpoint_for_calls_too(
    gateway: Gateway, endpoint: Endpoint, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    running_at_pause = []

    async def pause(*how: Any) -> None:
        running_at_pause.append(len(gateway.runtime.call_queue._running))
        await pause_if_asked(*how)

    monkeypatch.setattr(calls, "pause_if_asked", pause)
    async with call(http, gateway, "fail=429 retry_after=100") as answer:
        assert answer.status == 429
    assert running_at_pause == [1], "the pause was stored before the place was free"
    slowed = await Endpoint.objects.aget(slug="openai_compatible")
    assert slowed.slowed_until is not None and slowed.slowed_until > timezone.now() + timedelta(seconds=50)
    gateway.runtime.calls.permits.clear()
    waiting = asyncio.ensure_future(call(http, gateway, "tokens=3"))
    await rows(1, begun_at=None)
    asked = len(gateway.wire.log)
    await Endpoint.objects.filter(pk=slowed.pk).aupdate(slowed_until=Now())
    assert (await waiting).status == 200
    assert len(gateway.wire.log) == asked + 1


async def test_a_stopping_server_begins_no_queued_call(
    gateway: Gateway, endpoint: Endpoint, http: aiohttp.ClientSession
) -> None:
    """The running call goes on to its end, and its place is for another process."""
    async with call(http, gateway, "tokens=2 hold=1", stream=True) as first:
        await gateway.wire.reached(1)
        cases = [*product(APIS, (False, True))]
        waiting = [
            asyncio.ensure_future(call(http, gateway, "tokens=3", api, stream=stream))
            for api, stream in cases
        ]
        await rows(len(cases), begun_at=None)
        stopping = asyncio.create_task(gateway.runtime.stop(60))
        for api, answer in zip((api for api, _stream in cases), await asyncio.gather(*waiting), strict=True):
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
            assert answer.headers["X-Should-Retry"] == "true"
            error = (await answer.json())["error"]
            assert error["code"] == "restart"
            assert error["type"] == ("overloaded_error" if api == "messages" else "server_error")
        gateway.wire.released.set()
        assert b"[DONE]" in await first.read()
    await stopping
    assert len(gateway.wire.log) == 1
    assert not await QueuedCall.objects.filter(ended_at=None).aexists()
    entries = [entry async for entry in UsageEntry.objects.order_by("at")]
    assert Counter((e.status, e.error_code) for e in entries) == {
        ("interrupted", "restart"): len(cases),
        ("complete", ""): 1,
    }


@pytest.mark.skipif(settings.SQLITE, reason="There is one process only.")
def test_two_processes_that_delete_ended_calls_never_wait_for_each_other(person: User) -> None:
    """This one holds a row, and wants another one that the other process deletes at the same time."""
    endpoint = Endpoint.objects.create(slug="demo", name="Demo")

    def a_call(**how: Any) -> UUID:
        row = QueuedCall.objects.create(id=uuid4(), endpoint=endpoint, user=person, process="a", **how)
        return row.pk

    now = timezone.now()
    early, late, own = (a_call(begun_at=now + timedelta(seconds=n), ended_at=now) for n in (1, 2, 3))
    QueuedCall.objects.filter(pk=own).update(ended_at=None)

    def ends() -> None:
        with closing(connection):
            call_queue._end_those([own])

    with ThreadPoolExecutor(1) as thread:
        with transaction.atomic():
            QueuedCall.objects.select_for_update().get(pk=late)
            ending = thread.submit(ends)
            ending.result(60)
            QueuedCall.objects.filter(pk=early).delete()
        call_queue._end_those([])
    assert set(QueuedCall.objects.values_list("pk", flat=True)) == {own, late}


async def test_calls_of_a_killed_process_soon_stop_counting(gateway: Gateway, endpoint: Endpoint) -> None:
    """What waited is not waited for, and what ran counts as long as its provider may work on it."""
    long_ago = {"process": "killed", "seen_at": timezone.now() - timedelta(seconds=20)}
    mine, theirs = uuid4(), uuid4()
    await QueuedCall.objects.acreate(id=theirs, endpoint=endpoint, user=gateway.person, **long_ago)

    def enter(call_id: UUID) -> bool:
        return call_queue._enter(call_id, gateway.person.pk, endpoint.pk)

    assert await sync_to_async(enter)(mine)
    await QueuedCall.objects.aupdate(begun_at=Now(), **long_ago)
    assert not await sync_to_async(enter)(uuid4())
    await QueuedCall.objects.aupdate(seen_at=timezone.now() - timedelta(seconds=RUNNING_SECONDS + 1))
    assert await sync_to_async(enter)(uuid4())
    lease_of_none = await sync_to_async(lease.ready_to_start)()
    assert lease_of_none == []
