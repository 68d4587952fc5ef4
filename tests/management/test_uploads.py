"""Large uploads of programs: nothing of them is read before the token is known to be valid."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
from django.db import OperationalError
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from chat.actions.api_token import make_token
from chat.database import run_unit
from chat.management.connections import MOST_BODY_BYTES, UPLOAD_BYTES, UPLOADS_AT_ONCE
from chat.management.server import Server
from chat.models import Scope, User
from tests.management.test_handshakes import Daphne, Transport

LARGE = MOST_BODY_BYTES + 1


class Checking(Daphne):
    """A server that has one token. `checked` ends its checks."""

    def __init__(self) -> None:
        super().__init__()
        self.checked = asyncio.Event()
        self.begun: list[Transport] = []

    async def may_upload(self, secret: str) -> bool:
        await self.checked.wait()
        if secret == "sty_down":
            raise OperationalError
        return secret == "sty_valid"

    def request(
        self, secret: str = "", size: int = LARGE, kind: str = "application/octet-stream", body: bytes = b""
    ) -> Transport:
        transport = Transport(peerAddress=IPv4Address("TCP", "198.51.100.1", 5000))
        channel = transport.protocol = self.http_factory.buildProtocol(transport.getPeer())
        channel.makeConnection(transport)
        lines = [
            "POST /api/v1/files?name=a.txt HTTP/1.1",
            "Host: localhost",
            f"Content-Type: {kind}",
            f"Content-Length: {size}",
            *([f"Authorization: Bearer {secret}"] if secret else []),
        ]
        channel.dataReceived("\r\n".join([*lines, "", ""]).encode() + body)
        self.begun.append(transport)
        return transport

    def end(self) -> None:
        for transport in self.begun:
            transport.protocol.connectionLost(Failure(ConnectionDone()))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0)


async def test_anonymous_requests_use_no_place_of_uploads() -> None:
    server = Checking()
    strangers = [server.request("sty_wrong") for _ in range(UPLOADS_AT_ONCE)] + [server.request()]
    program = server.request("sty_valid")
    assert {transport.producerState for transport in server.begun} == {"paused"}
    gone = server.request("sty_valid")
    gone.protocol.connectionLost(Failure(ConnectionDone()))
    server.begun.remove(gone)
    server.checked.set()
    await until(lambda: program.producerState == "producing" and all(it.value() for it in strangers))
    head, _, body = strangers[0].value().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 401 ") and json.loads(body)["code"] == "unauthenticated"
    assert strangers[0].disconnecting and not program.value()
    assert len(server.http_factory.uploads) == 1
    server.end()
    assert not server.http_factory.uploads


async def test_an_upload_over_the_limit_is_asked_to_retry() -> None:
    server = Checking()
    server.checked.set()
    taken = [server.request("sty_valid") for _ in range(UPLOADS_AT_ONCE)]
    await until(lambda: len(server.http_factory.uploads) == len(taken))
    late, down = server.request("sty_valid"), server.request("sty_down")
    await until(lambda: bool(late.value() and down.value()))
    for transport in (late, down):
        assert transport.value().startswith(b"HTTP/1.1 503 ") and b"Retry-After: 5\r\n" in transport.value()
    assert server.request("sty_valid", size=UPLOAD_BYTES + 1).value().startswith(b"HTTP/1.1 413 ")
    server.end()


FORM = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--'


@pytest.mark.parametrize(
    ("kind", "body"),
    [("application/x-www-form-urlencoded", b"a=b&a=c"), ("multipart/form-data; boundary=x", FORM)],
    ids=["fields", "parts"],
)
async def test_forms_are_not_parsed_on_the_event_loop(kind: str, body: bytes) -> None:
    server = Checking()
    transport = server.request(size=len(body), kind=kind, body=body)
    assert len(server.asked) == 1
    assert transport.protocol.requests[-1].args == {b"name": [b"a.txt"]}
    server.end()


@pytest.mark.django_db(transaction=True)
async def test_the_server_knows_valid_tokens(person: User) -> None:
    secret = (await run_unit(make_token, person, name="x", scopes=[Scope.CHAT]))[1]
    server = Server.__new__(Server)
    assert await server.may_upload(secret)
    assert not any([await server.may_upload(it) for it in ("", "x", secret[:-1] + "!", "sty_" + "a" * 43)])
