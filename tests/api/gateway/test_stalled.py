"""Programs that read nothing, disconnect at any moment, or meet a defect: on bare ASGI."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError

from chat.actions.api_token import revoke_tokens
from chat.api.gateway import exchange, messages
from chat.api.gateway.app import gateway as application
from chat.models import ApiToken, Status, UsageEntry
from tests.api.gateway.conftest import Gateway

PATIENCE = 60  # seconds


class Program:
    """A program at the other end of the connection. It reads while `reads` is set, or until it has
    `stalls_after` messages."""

    def __init__(
        self, gateway: Gateway, script: str, path: str = "/v1/chat/completions", *, stalls_after: int = 99
    ) -> None:
        self._stalls_after = stalls_after  # messages
        self.sent: list[dict[str, Any]] = []
        self.reads, self._gone, self._news = asyncio.Event(), asyncio.Event(), asyncio.Condition()
        self.reads.set()
        content = [{"role": "user", "content": f"/wire {script}"}]
        body = {"model": "wire-openai_chat", "max_tokens": 100, "stream": True, "messages": content}
        self._body = [json.dumps(body).encode()]
        headers = [(b"authorization", f"Bearer {gateway.key}".encode())]
        scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
        self.task = asyncio.create_task(application(scope, self._receive, self._send))

    @property
    def text(self) -> str:
        return b"".join(message.get("body", b"") for message in self.sent).decode()

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(condition)

    def leave(self) -> None:
        self._gone.set()

    async def ended(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.task

    async def _receive(self) -> dict[str, Any]:
        if self._body:
            return {"type": "http.request", "body": self._body.pop()}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        async with self._news:
            self._news.notify_all()
        if len(self.sent) == self._stalls_after:
            self.reads.clear()
        await self.reads.wait()


async def test_the_call_of_a_program_that_reads_nothing_ends_with_its_token(gateway: Gateway) -> None:
    program = Program(gateway, "tokens=5 hang=5", stalls_after=2)
    await program.until(lambda: len(program.sent) == 2)
    await sync_to_async(revoke_tokens)(ApiToken.objects.all(), by=None)
    await gateway.runtime.session_monitor.check()
    await program.ended()
    await gateway.wire.settled()
    assert gateway.wire.log[-1].end == "closed by client" and not gateway.runtime.calls.running
    entry = await UsageEntry.objects.aget()
    assert (entry.status, entry.error_code) == (Status.INTERRUPTED, "revoked")


async def test_a_program_that_disconnects_during_the_usage_entry_pays(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []
    book = exchange.book_call

    def fail_once(*args: Any, **kwargs: Any) -> Any:
        tries.append("try")
        if len(tries) == 1:
            loop.call_soon_threadsafe(program.leave)
            raise OperationalError
        return book(*args, **kwargs)

    monkeypatch.setattr(exchange, "book_call", fail_once)
    loop = asyncio.get_running_loop()
    program = Program(gateway, "tokens=5")
    await program.ended()
    assert len(tries) == 2
    assert (await UsageEntry.objects.aget()).status == Status.COMPLETE


async def test_a_call_that_a_defect_ends_has_failed(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_args: object) -> bytes:
        raise KeyError("a defect")

    monkeypatch.setattr(messages.MessageStream, "feed", fail)
    program = Program(gateway, "tokens=5", "/v1/messages")
    await program.ended()
    assert program.sent[0]["status"] == 500 and "a defect" in caplog.text
    assert (await UsageEntry.objects.aget()).status == Status.FAILED


async def test_nothing_precedes_the_beginning_of_a_stream(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "KEEP_ALIVE_SECONDS", 0)
    program = Program(gateway, "tokens=5", "/v1/messages", stalls_after=1)
    await program.until(lambda: program.sent)
    await gateway.wire.reached(5)
    await gateway.wire.settled()
    for _ in range(100):  # turns of the loop, in which the keep-alive would be sent
        await asyncio.sleep(0)
    assert len(program.sent) == 1
    program.reads.set()
    await program.ended()
    assert program.text.startswith("event: message_start")
