"""The WebSocket of the API: the same events as over HTTP, several replies on one socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator
from django.test import Client
from pytest_django.fixtures import Settings

from chat.actions.api_token import make_token, revoke_tokens
from chat.api import socket as socket_module
from chat.api import streams
from chat.api.socket import PATH, api_socket
from chat.database import run_unit
from chat.live import subscription
from chat.models import ApiToken, ChatModel, Message, User
from chat.providers.events import Outcome
from chat.runtime import Runtime
from tests.api.streaming import (
    MEDIA_TYPES,
    PATIENCE,
    Program,
    all_of,
    answer,
    broken_events,
    resume,
    said,
    send,
    until,
)
from tests.live.scripted import ScriptedProvider

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("serving")]


class Connection:
    def __init__(self, communicator: WebsocketCommunicator) -> None:
        self.communicator = communicator
        self.kept: list[dict[str, Any]] = []

    async def ask(self, **frame: Any) -> dict[str, Any]:
        """Sends a frame and returns its answer; events that come before it are kept."""
        await self.communicator.send_to(json.dumps({**frame, "id": 7}))
        while "id" not in (received := await self.receive()):
            self.kept.append(received)
        assert received.pop("id") == 7
        return received

    async def receive(self) -> dict[str, Any]:
        return json.loads(await self.communicator.receive_from(PATIENCE))

    async def events(self, *, until_text: str = "") -> list[dict[str, Any]]:
        """Returns the events up to the first `done`, or until this text arrives."""
        found, self.kept = self.kept, []
        while not found or found[-1]["type"] != "done":
            found.append(await self.receive())
            if until_text and said(found) == until_text:
                break
        return found

    async def close_code(self) -> int:
        while (message := await self.communicator.receive_output(PATIENCE))["type"] != "websocket.close":
            pass
        return message["code"]


@asynccontextmanager
async def connected(secret: str = "", cookie: str = "") -> AsyncIterator[Connection]:
    headers = [(b"authorization", f"Bearer {secret}".encode())] if secret else []
    headers += [(b"cookie", cookie.encode())] if cookie else []
    communicator = WebsocketCommunicator(api_socket, PATH, headers=headers)
    accepted, _subprotocol = await communicator.connect(PATIENCE)
    assert accepted
    connection = Connection(communicator)
    if secret:
        assert await connection.receive() == {"type": "ok"}
    yield connection
    await communicator.disconnect(timeout=PATIENCE)


async def test_a_prompt_is_sent_streamed_cut_and_resumed(
    secret: str, program: Program, models: list[ChatModel], scripted: type[ScriptedProvider]
) -> None:
    async with connected(secret) as socket:
        sent = await socket.ask(type="send", text="Why?", models=[models[0].pk], key="once")
        assert sent["type"] == "sent"
        provider = await answer(scripted)
        provider.thinks("Hm.")
        provider.says("The moon ")
        first = await socket.events(until_text="The moon ")
    async with connected(secret) as socket:
        again = await socket.ask(type="send", text="Why?", models=[models[0].pk], key="once")
        assert again == {**sent, "repeated": True}
        assert said(await socket.events(until_text="The moon ")) == "The moon "
    async with connected(secret) as socket:
        after = str(first[-1]["seq"])
        assert (await socket.ask(type="subscribe", reply=sent["replies"][0], after=after))["type"] == "ok"
        provider.says("pulls. 🌊")
        provider.ends(Outcome.COMPLETE)
        rest = await socket.events()
    assert said(first + rest) == "The moon pulls. 🌊"
    # The same events as over HTTP.
    over_http = await all_of(await resume(program, sent["events"], MEDIA_TYPES["ndjson"], after))
    assert rest[-1] == over_http[-1]
    assert said(rest) == said(over_http)
    assert await run_unit(Message.objects.count) == 2


async def test_a_token_is_not_taken_without_tls(secret: str, settings: Settings) -> None:
    settings.HTTPS = settings.TRUST_PROXY = True
    for proto, is_accepted in (("", False), ("http", False), ("ws", False), ("https", True), ("wss", True)):
        headers = [(b"authorization", f"Bearer {secret}".encode()), (b"x-forwarded-proto", proto.encode())]
        communicator = WebsocketCommunicator(api_socket, PATH, headers=headers)
        assert (await communicator.connect(PATIENCE))[0] is is_accepted, proto
        await communicator.disconnect(timeout=PATIENCE)


async def test_a_heartbeat_and_an_error_say_where_to_resume(
    secret: str,
    models: list[ChatModel],
    scripted: type[ScriptedProvider],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subscription, "HEARTBEAT_SECONDS", 0.02)
    async with connected(secret) as socket:
        sent = await socket.ask(type="send", text="Why?", models=[models[0].pk])
        (await answer(scripted)).says("The moon ")
        got = await socket.events(until_text="The moon ")
        got.append(await socket.receive())
    assert got[-1] == {
        "type": "metadata",
        "seq": 9,
        "data": {"kind": "heartbeat"},
        "metadata": {"subscription": sent["prompt"]},
    }
    monkeypatch.setattr(streams, "reply_events", broken_events)
    async with connected(secret) as socket:
        await socket.ask(type="subscribe", prompt=sent["prompt"], after="9")
        received = socket.kept
        while not received or received[-1]["type"] != "error":
            received.append(await socket.receive())
        error = received[-1]
    assert (error["type"], error["seq"], error["metadata"]) == ("error", 9, got[-1]["metadata"])


async def test_a_long_key_is_refused_and_not_cut(secret: str, models: list[ChatModel]) -> None:
    async with connected(secret) as socket:
        answer = await socket.ask(type="send", text="Why?", models=[models[0].pk], key="k" * 201)
        assert (answer["type"], answer["problem"]["code"]) == ("refused", "invalid_input")


async def test_several_replies_on_one_socket_are_told_apart(
    secret: str, models: list[ChatModel], scripted: type[ScriptedProvider]
) -> None:
    async with connected(secret) as socket:
        one = await socket.ask(type="send", text="One", models=[models[0].pk])
        first = await answer(scripted)
        two = await socket.ask(type="send", text="Two", models=[models[1].pk])
        second = await answer(scripted, 2)
        first.says("Eins")
        second.says("Zwei")
        first.ends(Outcome.COMPLETE)
        events = await socket.events()
        second.ends(Outcome.COMPLETE)
        events += await socket.events()
    assert said(events, reply=one["replies"][0]) == "Eins"
    assert said(events, reply=two["replies"][0]) == "Zwei"


async def test_a_stop_and_an_end_of_the_subscription(
    secret: str, models: list[ChatModel], scripted: type[ScriptedProvider]
) -> None:
    async with connected(secret) as socket:
        sent = await socket.ask(type="send", text="One", models=[models[0].pk])
        provider = await answer(scripted)
        provider.says("So far")
        await socket.events(until_text="So far")
        assert (await socket.ask(type="unsubscribe", prompt=sent["prompt"]))["type"] == "ok"
        assert (await socket.ask(type="stop", reply=sent["replies"][0]))["type"] == "ok"
        await until(lambda: not scripted.open)
        assert (await socket.ask(type="subscribe", prompt=sent["prompt"], after="6"))["type"] == "ok"
        assert (await socket.events())[-1]["data"]["status"] == "stopped"


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ({}, "invalid_input"),
        ({"type": "subscribe"}, "invalid_input"),
        ({"type": "subscribe", "reply": "x"}, "invalid_input"),
        ({"type": "subscribe", "reply": 5}, "invalid_input"),
        ({"type": "subscribe", "prompt": "0197a3c2-8a5e-7c11-9d6e-2f4b8c1d0e3a"}, "not_found"),
        ({"type": "send", "text": "x"}, "invalid_input"),
        ({"type": "send", "text": "x", "models": [99]}, "not_found"),
        ({"type": "send", "text": "x", "models": [1], "buffer": "x"}, "invalid_input"),
        ({"type": "stop"}, "invalid_input"),
        ({"type": "authenticate", "token": "sty_x"}, "invalid_input"),
    ],
)
async def test_a_frame_that_cannot_be_followed_is_refused_in_words(
    frame: dict[str, Any], code: str, secret: str
) -> None:
    async with connected(secret) as socket:
        refused = await socket.ask(**frame)
        assert refused["type"] == "refused"
        assert refused["problem"]["code"] == code


async def test_a_token_may_come_as_the_first_frame_and_needs_its_scope(
    person: User, models: list[ChatModel]
) -> None:
    secret = (await run_unit(make_token, person, name="x", scopes=["read"]))[1]
    async with connected() as socket:
        assert (await socket.ask(type="authenticate", token=secret))["type"] == "ok"
        refused = await socket.ask(type="send", text="x", models=[models[0].pk])
        assert refused["problem"]["code"] == "missing_scope"
    async with connected() as socket:
        await socket.communicator.send_to('{"type": "stop"}')
        assert await socket.close_code() == 4401
    async with connected() as socket:
        await socket.communicator.send_to('{"type": "authenticate", "token": "sty_wrong"}')
        assert await socket.close_code() == 4401


async def test_a_session_opens_no_socket(client: Client, person: User, settings: Settings) -> None:
    await run_unit(client.force_login, person)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    async with connected(cookie=f"{settings.SESSION_COOKIE_NAME}={cookie}") as socket:
        await socket.communicator.send_to('{"type": "subscribe"}')
        assert await socket.close_code() == 4401


async def test_a_socket_without_a_token_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_module, "TOKEN_SECONDS", 0.01)
    async with connected() as socket:
        assert await socket.close_code() == 4408


async def test_a_revoked_token_closes_the_socket(secret: str, person: User, serving: Runtime) -> None:
    async with connected(secret) as socket:
        await until(lambda: serving.session_monitor._viewers)
        await run_unit(revoke_tokens, ApiToken.objects.filter(user=person), by=None)
        assert await socket.close_code() == 4401


async def test_a_client_that_acknowledges_nothing_gets_a_limited_number_of_frames(
    secret: str,
    program: Program,
    models: list[ChatModel],
    scripted: type[ScriptedProvider],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket_module, "WINDOW_FRAMES", 5)
    response = await send(program, "Why?", [models[0].pk])
    provider = await answer(scripted)
    async with connected(secret) as socket:
        await socket.ask(type="subscribe", reply=response.json()["replies"][0])
        received = 2  # the answers to the token and to the subscription
        for number in range(20):
            provider.says(f"{number} ")
            if received < 5:
                socket.kept.append(await socket.receive())
                received += 1
        provider.ends(Outcome.COMPLETE)
        await until(lambda: not scripted.open)
        assert await socket.communicator.receive_nothing(0.05)
        reading = asyncio.create_task(socket.events())
        while not reading.done():  # from now on it acknowledges what it has
            await socket.communicator.send_to(json.dumps({"type": "ack", "frame": 10_000}))
            await asyncio.wait([reading], timeout=0.05)
        assert said(await reading) == "".join(f"{number} " for number in range(20))


async def test_the_sockets_of_one_user_are_limited(secret: str, settings: Settings) -> None:
    settings.CHAT_PAGES_PER_PERSON = 1
    async with connected(secret), connected(secret) as second:
        assert await second.close_code() == 4429
