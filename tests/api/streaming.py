"""Reads streams of the API as clients of each transport do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

from django.test import AsyncClient

from chat.api.events import HEARTBEAT, Event
from tests.live.scripted import Answer, ScriptedProvider

MEDIA_TYPES = {"sse": "text/event-stream", "ndjson": "application/x-ndjson", "text": "text/plain"}
PATIENCE = 60.0  # seconds; only stops a test that would never end


class Program(AsyncClient):
    """A client with a token. (`AsyncClient` loses headers for all requests.)"""

    def __init__(self, secret: str) -> None:
        super().__init__()
        self._secret = secret

    def generic(self, *args: Any, headers: dict[str, str] | None = None, **more: Any) -> Any:
        authorization = {"authorization": f"Bearer {self._secret}"} if self._secret else {}
        return super().generic(*args, headers={**authorization, **(headers or {})}, **more)


async def until[T](condition: Callable[[], T]) -> T:
    async with asyncio.timeout(PATIENCE):
        while not (found := condition()):
            await asyncio.sleep(0.002)
    return found


async def answer(scripted: type[ScriptedProvider], count: int = 1) -> Answer:
    """Returns the last of `count` answers that the provider is asked for."""
    await until(lambda: len(scripted.open) >= count)
    return scripted.open[count - 1]


async def chunks_of(response: Any) -> AsyncIterator[bytes]:
    async with aclosing(aiter(response)) as chunks, asyncio.timeout(PATIENCE):
        async for chunk in chunks:
            yield chunk


async def events_of(response: Any) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Yields the id and the event of each message of SSE or NDJSON; `("", {})` for `[DONE]`."""
    is_sse = response.headers["Content-Type"] == MEDIA_TYPES["sse"]
    end, held = ("\n\n" if is_sse else "\n"), ""
    async with aclosing(chunks_of(response)) as chunks:
        async for chunk in chunks:
            *messages, held = (held + chunk.decode()).split(end)
            for message in messages:
                if not is_sse:
                    event = json.loads(message)
                    yield str(event["seq"]), event
                    continue
                fields = dict(line.split(": ", 1) for line in message.split("\n") if line[0] != ":")
                if fields.get("data") == "[DONE]":
                    yield "", {}
                elif fields:
                    yield fields["id"], json.loads(fields["data"])
    assert not held


async def text_of(response: Any) -> str:
    return b"".join([chunk async for chunk in chunks_of(response)]).decode()


async def all_of(response: Any) -> list[dict[str, Any]]:
    return [event async for _id, event in events_of(response)]


async def broken_events(*_args: object) -> AsyncGenerator[Event]:
    """In place of `reply_events`: breaks after a heartbeat."""
    yield HEARTBEAT
    raise RuntimeError


def place_of(event: dict[str, Any]) -> str:
    """Returns where a client resumes after this event."""
    return str(event["metadata"].get("after", event["seq"]))


def said(events: list[dict[str, Any]], kind: str = "text", reply: str = "") -> str:
    """Returns the text of these events."""
    return "".join(
        event["data"]["text"]
        for event in events
        if event
        and event["type"] in ("token", "chunk")
        and event["data"]["kind"] == kind
        and reply in ("", event["metadata"]["reply"])
    )


async def send(program: Program, text: str, models: list[int], accept: str = "", **headers: str) -> Any:
    return await program.post(
        "/api/v1/prompts",
        {"text": text, "models": models},
        content_type="application/json",
        headers={"accept": accept or "application/json", **headers},
    )


async def resume(program: Program, address: str, media_type: str, after: str = "", **query: str) -> Any:
    return await program.get(address, {"after": after, **query}, headers={"accept": media_type})
