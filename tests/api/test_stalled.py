"""Clients of a stream that read nothing, on bare ASGI."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chat.actions.api_token import revoke_tokens
from chat.api import streams
from chat.database import run_unit
from chat.models import ApiToken, ChatModel
from chat.runtime import Runtime
from chatproject.asgi import application
from tests.api.streaming import MEDIA_TYPES, PATIENCE, Program, answer, send, until
from tests.live.scripted import ScriptedProvider

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("serving")]


class StalledClient:
    """Reads the head of the response and two chunks, and then nothing."""

    def __init__(self, path: str, secret: str) -> None:
        self.sent: list[dict[str, Any]] = []
        headers = [(b"authorization", f"Bearer {secret}".encode()), (b"host", b"testserver")]
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": b"",
            "headers": [*headers, (b"accept", MEDIA_TYPES["sse"].encode())],
        }
        self._body = [{"type": "http.request", "body": b""}]
        self.task = asyncio.create_task(application(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if self._body:
            return self._body.pop()
        return await asyncio.Future()

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        if len(self.sent) == 3:
            await asyncio.Future()

    async def ended(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await asyncio.wait([self.task])


@pytest.mark.parametrize("reason", ["revoked", "stalled"])
async def test_a_stream_that_is_not_read_ends(
    reason: str,
    program: Program,
    secret: str,
    models: list[ChatModel],
    scripted: type[ScriptedProvider],
    serving: Runtime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "LAST_SECONDS", 0.0)
    monkeypatch.setattr(streams, "STALLED_SECONDS", 0.5 if reason == "stalled" else 3600)
    begun = (await send(program, "Why?", [models[0].pk])).json()
    provider = await answer(scripted)
    client = StalledClient(begun["events"], secret)
    await until(lambda: len(client.sent) == 3)
    provider.says("Nobody reads this. " * 100)
    if reason == "revoked":
        assert serving.token_streams._open
        await run_unit(revoke_tokens, ApiToken.objects.all(), by=None)
        await serving.session_monitor.check()
    await client.ended()
    assert client.task.cancelled()  # the server drops the connection
    assert len(client.sent) == 3
    await until(lambda: not serving.token_streams._open and not serving.session_monitor._viewers)
