"""The limits of sessions and users."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from django.conf import settings as steady
from django.test import AsyncClient
from django.urls import reverse
from pytest_django.fixtures import Settings

from chat.live.stream_limits import Lookups, PageLimits
from chat.models import User
from chat.rate_limit import RateLimits
from chat.runtime import Runtime
from chat.transports import sse

pytestmark = pytest.mark.usefixtures("limits_without_refill")


def test_a_session_over_its_limit_of_pages_has_to_wait() -> None:
    limits = PageLimits()
    allowed = [limits.allows_session("key") for _ in range(3 * steady.CHAT_PAGES_PER_PERSON)]
    assert 2 * steady.CHAT_PAGES_PER_PERSON <= sum(allowed) < len(allowed)
    assert limits.allows_session("another")


def test_keys_of_long_ago_are_forgotten() -> None:
    limits = RateLimits(burst=1, per_second=1, most=10)
    for number in range(100):
        limits.allows(f"key-{number}")
    assert len(limits._limits) == 10


@pytest.mark.django_db(transaction=True)
async def test_a_session_that_opens_too_often_costs_no_query(
    person: User, settings: Settings, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CHAT_PAGES_PER_PERSON = 1
    runtime.sse_limits = PageLimits()

    def ask(*_: object) -> None:
        raise AssertionError("The database was asked.")

    client = AsyncClient()
    client.cookies[settings.SESSION_COOKIE_NAME] = "a key that does not exist"
    address = reverse("events", args=[uuid4()])
    assert [(await client.get(address)).status_code for _ in range(2)] == [401, 401]
    monkeypatch.setattr(sse, "viewer_of", ask)
    refused = await client.get(address)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5")


async def test_pages_of_one_session_wait_for_each_other_and_for_no_other() -> None:
    lookups, working, most = Lookups(), 0, 0
    free = asyncio.Event()

    async def work(key: str) -> None:
        nonlocal working, most
        async with lookups.turn(key):
            working += 1
            most = max(most, working)
            await free.wait()
            working -= 1

    loud = [asyncio.create_task(work("loud")) for _ in range(20)]
    gone = loud.pop()
    await asyncio.sleep(0)
    assert working == Lookups.AT_ONCE
    quiet = asyncio.create_task(work("quiet"))
    gone.cancel()
    await asyncio.sleep(0)
    assert working == Lookups.AT_ONCE + 1
    free.set()
    await asyncio.gather(*loud, quiet)
    assert most == Lookups.AT_ONCE + 1
    assert not lookups._sessions
