"""The contract of the API's streams with real processes: every transport, both databases, another process,
and the end of the process that writes."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
import pytest_asyncio

from tests.faults.client import Person
from tests.faults.conftest import with_backend
from tests.faults.installation import LONG, Installation
from tests.providers.wire import Script

pytestmark = pytest.mark.asyncio(loop_scope="session")

TRANSPORTS = {
    "sse": "text/event-stream",
    "ndjson": "application/x-ndjson",
    "text": "text/plain",
    "ws": "",
}
ROUNDS = 40 if LONG else 1
# A short run tries each transport, and each database, once.
CUT = [("sqlite", "ndjson"), ("sqlite", "text"), ("postgres", "sse"), ("postgres", "ws")]
KILLED = [("sqlite", "sse"), ("postgres", "ws")]
PATIENCE = 60.0  # seconds; only stops a test that would never end
LOST = (aiohttp.ClientError, OSError)


class Program:
    """A client of the API with a token of its own, at any process."""

    def __init__(self, steady: Installation, email: str, model: int) -> None:
        self.steady, self.model = steady, model
        self.secret = f"sty_{uuid4().hex}{uuid4().hex[:11]}"
        steady.execute(
            "INSERT INTO chat_apitoken (user_id, name, prefix, digest, scopes, created_at)"
            " SELECT id, 'Test', ?, ?, ?, CURRENT_TIMESTAMP FROM chat_user WHERE email = ?",
            self.secret[:12],
            sha256(self.secret.encode()).hexdigest(),
            '["chat"]',
            email,
        )
        self.http = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {self.secret}"},
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=PATIENCE),
        )

    async def send(self, text: str, url: str) -> dict[str, Any]:
        body = {"text": text, "models": [self.model]}
        async with self.http.post(f"{url}/api/v1/prompts", json=body) as answer:
            assert answer.status == 201, await answer.text()
            return dict(await answer.json())

    async def events(self, transport: str, url: str, reply: str, after: int) -> AsyncIterator[dict[str, Any]]:
        """Yields the events of the reply from a position on; of plain text each piece as a token."""
        if transport == "ws":
            async with self.http.ws_connect(f"{url}/ws/api/v1/") as socket:
                await socket.send_json({"type": "subscribe", "reply": reply, "after": str(after)})
                number = 0
                async for message in socket:
                    number += 1
                    if number % 100 == 0:
                        await socket.send_json({"type": "ack", "frame": number})
                    event = json.loads(message.data)
                    if event["type"] != "ok":
                        yield event
            return
        query = {"after": str(after)}
        headers = {"Accept": TRANSPORTS[transport]}
        address = f"{url}/api/v1/replies/{reply}/events"
        async with self.http.get(address, params=query, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            if transport == "text":
                held = b""
                async for data in answer.content.iter_any():
                    held += data
                    text = held.decode(errors="ignore")
                    held = held[len(text.encode()) :]
                    after += len(text)
                    yield {"type": "token", "seq": after, "data": {"kind": "text", "text": text}}
                yield {"type": "done", "seq": after}
                return
            async for line in answer.content:
                found = line.decode().strip().removeprefix("data: ")
                if found.startswith("{"):
                    yield json.loads(found)


@pytest_asyncio.fixture(loop_scope="session")
async def program(steady: Installation, person: Person) -> AsyncIterator[Program]:
    it = Program(steady, person.email, int(await person.model()))
    async with it.http:
        yield it


def words(tokens: int) -> str:
    return "".join(Script(tokens=tokens).words)


@with_backend(CUT, others=TRANSPORTS)
async def test_cut_anywhere_and_resumed_anywhere_the_text_is_the_providers(
    steady: Installation, program: Program, transport: str
) -> None:
    chance = random.Random(f"{transport} 7")
    for _round in range(ROUNDS):
        urls = [process.url for process in steady.processes]
        sent = await program.send(f"mark-{uuid4().hex} /wire tokens=60 pace=100", urls[0])
        (reply,) = sent["replies"]
        text, position, has_ended = "", 0, False
        async with asyncio.timeout(PATIENCE):
            while not has_ended:
                left = chance.choice([1, 2, 5, 20])
                stream = program.events(transport, chance.choice(urls), reply, position)
                async with aclosing(stream):
                    async for event in stream:
                        assert event["type"] != "error", event
                        if event["type"] == "token":
                            assert event["seq"] == position + len(event["data"]["text"])
                            text += event["data"]["text"]
                            position = event["seq"]
                            left -= 1
                        has_ended = event["type"] == "done"
                        if has_ended or not left:
                            break
        assert text == words(60)
        assert event["seq"] == len(text)


@with_backend(KILLED, others=["sse", "ws"])
async def test_a_reply_whose_process_is_killed_is_resumed_where_it_was(
    steady: Installation, program: Program, transport: str
) -> None:
    process = steady.processes[0]
    sent = await program.send(f"mark-{uuid4().hex} /wire tokens=2000 pace=50", process.url)
    (reply,) = sent["replies"]
    text = ""
    try:
        async for event in program.events(transport, process.url, reply, 0):
            text += event["data"].get("text", "")
            if process.is_running and len(text) > 200:
                process.kill()
    except LOST:
        pass
    await steady.repair()
    rest: list[dict[str, Any]] = []
    async with asyncio.timeout(PATIENCE):
        async for event in program.events(transport, steady.processes[-1].url, reply, len(text)):
            rest.append(event)
            if event["type"] == "done":
                break
    error, done = rest[-2:]
    assert (error["type"], done["data"]["status"]) == ("error", "interrupted")
    assert error["data"]["partial"]["seq"] == done["seq"]
    (stored,) = steady.replies(UUID(sent["conversation"]))
    whole = text + "".join(event["data"].get("text", "") for event in rest[:-2])
    # Up to half a second of output was sent and not stored.
    assert whole[: done["seq"]] == stored["text"]
    assert words(2000).startswith(whole)


@with_backend([("postgres", "ndjson")], others=["ndjson"])
async def test_a_flood_of_streams_of_one_token_is_refused_and_leaves_others_untouched(
    steady: Installation, program: Program, transport: str
) -> None:
    url = steady.processes[0].url
    sent = await program.send(f"mark-{uuid4().hex} /wire tokens=3000 pace=50", url)
    address = f"{url}/api/v1/prompts/{sent['prompt']}/events"

    async def opened() -> tuple[int, Any]:
        answer = await program.http.get(address, headers={"Accept": TRANSPORTS[transport]})
        if answer.status == 200:
            return 200, answer
        return answer.status, await answer.json()

    answers = await asyncio.gather(*(opened() for _number in range(500)))
    async with Person(url) as other, other.page(transport="ws") as page:
        await page.ask(f"mark-{uuid4().hex} /wire tokens=30 pace=100")
        assert await page.ended() == "complete"
        assert page.text.strip() == words(30).strip()
        assert page.connections == 1
    for status, answer in answers:
        if status == 200:
            answer.close()
        else:
            assert (status, answer["code"] in {"rate_limited", "limit_reached"}) == (429, True)
            assert answer["detail"]
    refused = sum(status == 429 for status, _answer in answers)
    assert refused >= 300, refused
