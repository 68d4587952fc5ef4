"""A stream is opened with a ticket in its address, for some minutes, while its token is valid."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import pytest

from chat.actions.api_token import revoke_tokens
from chat.api import tickets
from chat.api.authentication import limit_as, rate_key
from chat.database import run_unit, run_write
from chat.models import ApiToken, ChatModel
from chat.providers.events import Outcome
from tests.api.streaming import PATIENCE, Program, all_of, answer, events_of, said, send
from tests.live.scripted import ScriptedProvider

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("serving")]


async def ticket_for(program: Program, models: list[ChatModel], kind: str) -> str:
    begun = (await send(program, "How do tides work?", [model.pk for model in models])).json()
    topic = f"prompts/{begun['prompt']}" if kind == "prompt" else f"replies/{begun['replies'][0]}"
    made = await program.post(f"/api/v1/{topic}/tickets")
    assert made.status_code == 201, made.content
    return str(made.json()["stream"])


def without_token() -> Program:
    return Program("")


@pytest.mark.parametrize("kind", ["prompt", "reply"])
async def test_a_browser_streams_and_resumes_without_a_token(
    kind: str,
    program: Program,
    models: list[ChatModel],
    scripted: type[ScriptedProvider],
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked = models if kind == "prompt" else models[:1]
    address = await ticket_for(program, asked, kind)
    providers = [await answer(scripted, number + 1) for number in range(len(asked))]
    got: list[dict[str, Any]] = []
    last = ""
    for word in ("One ", "two "):
        for provider in providers:
            provider.says(word)
        wanted = len(said(got)) + len(word) * len(asked)
        response = await without_token().get(address, headers={"last-event-id": last} if last else {})
        assert response.headers["Content-Type"] == "text/event-stream"
        async with aclosing(events_of(response)) as stream, asyncio.timeout(PATIENCE):
            async for event_id, event in stream:
                got.append(event)
                last = event_id
                if len(said(got)) >= wanted:
                    break
    for provider in providers:
        provider.says("three.")
        provider.ends(Outcome.COMPLETE)
    got += await all_of(await without_token().get(address, headers={"last-event-id": last}))
    assert got.pop() == {}
    for reply in {event["metadata"].get("reply") for event in got} - {None}:
        assert said(got, reply=reply) == "One two three."
    assert address.rpartition("/")[2] not in caplog.text


async def test_a_ticket_ends_with_its_token_its_time_and_each_change(
    program: Program,
    models: list[ChatModel],
    scripted: type[ScriptedProvider],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address = await ticket_for(program, models[:1], "reply")

    async def refusals(at: str) -> str:
        response = await without_token().get(at)
        assert response.status_code == 401, at
        return str(response.json()["code"])

    for at in (
        address[:-1] + "!",
        address.replace(":", "x:", 1),
        "/api/v1/streams/x",
        "/api/v1/streams/0:0:0",
    ):
        assert await refusals(at) == "unauthenticated"
    # It opens nothing else, and is no token.
    response = await Program(address.rpartition("/")[2]).get("/api/v1/models")
    assert response.status_code == 401
    assert (await without_token().post(address)).status_code == 405
    with monkeypatch.context() as late:
        late.setattr(tickets, "LIFETIME", timedelta(seconds=-1))
        assert await refusals(address) == "unauthenticated"
    (await answer(scripted)).says("So")
    reading = asyncio.create_task(all_of(await without_token().get(address)))
    await run_write(lambda: revoke_tokens(ApiToken.objects.all(), by=None))
    async with asyncio.timeout(PATIENCE):
        events = await reading
    assert events[-1]["data"]["code"] == "unauthenticated"
    assert await refusals(address) == "unauthenticated"
    assert await run_unit(ApiToken.objects.count) == 1


async def test_streams_by_ticket_count_among_the_requests_of_the_token(
    program: Program, models: list[ChatModel], scripted: type[ScriptedProvider]
) -> None:
    address = await ticket_for(program, models[:1], "reply")
    provider = await answer(scripted)
    provider.says("So")
    provider.ends(Outcome.COMPLETE)
    limit = limit_as(rate_key((await ApiToken.objects.aget()).digest))
    assert limit is not None
    limit.per_second = 0.001
    while limit.remaining > 1:
        assert limit.allows()
    await all_of(await without_token().get(address))
    assert (await without_token().get(address)).status_code == 429
    assert (await program.get("/api/v1/models")).status_code == 429
