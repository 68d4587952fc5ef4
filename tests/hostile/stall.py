"""How long one person can keep another waiting: `python -m tests.hostile.stall [attack ...]`.

A real server on SQLite with the demo models. One person attacks with text, over and over; another one loads a
page every 50 ms and reads a reply that is being written. The table says the longest that the other one waited
for a page, for `/healthz` and for the next piece of the reply. Only an idle machine says something: compare
them with the line of no attack.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

import aiohttp

from tests.faults.client import Person
from tests.faults.dom import parse
from tests.servers import ServerProcess

SECONDS = 12.0
ATTACKER, OTHER = "attacker@example.org", "other@example.org"


def fence(language: str, code: str) -> str:
    return f"```{language}\n{code}\n```\n\nend\n"


QUOTE = "'" + "\\" * 100
ATTACKS = {
    "nothing": "",
    "exponential highlighting": fence("ansys", QUOTE),
    "exponential highlighting, twenty blocks": "".join(
        fence("ansys", f"{QUOTE}{number}") for number in range(20)
    ),
    "quadratic highlighting": fence("c", ("a" + " " * 4_900 + "\n") * 15),
    "an address with 40,000 dots": "http://a.b/c" + "." * 40_000,
    "16,000 spaces": "x" + " " * 16_000 + "y",
    "36 kB of blocks that one line changes": "[a]\n\n" * 7_200 + "[a]: /b\n",
    "90 kB of blocks that one line changes": "[a]\n\n" * 18_000 + "[a]: /b\n",
    "150 kB of single letters": "a " * 75_000,
    "150 kB of formulas": "$a$ " * 37_500,
    "150 kB of cells": "|a" * 100 + "|\n" + "|-" * 100 + "|\n" + ("|a" * 100 + "|\n") * 700,
    "150 kB of brackets": "[" * 150_000,
}


@dataclass
class Waits:
    """What the other person met, in seconds."""

    page: list[float] = field(default_factory=list)
    health: list[float] = field(default_factory=list)
    piece: list[float] = field(default_factory=list)


class Chat:
    """One open page: its socket, without a browser's work."""

    def __init__(self, person: Person, model: str) -> None:
        self.person, self.model, self.id = person, model, uuid4()
        self.gaps: list[float] = []

    async def reply(self, prompt: str, seconds: float) -> None:
        """Asks and reads until the reply has ended, or for so long."""
        path = f"/ws/conversations/{self.id}/?language=en"
        url = self.person.url.replace("http", "ws", 1) + path
        client_id, origin = str(uuid4()), {"Origin": self.person.url}
        with suppress(TimeoutError):
            async with (
                asyncio.timeout(seconds),
                self.person.http.ws_connect(url, headers=origin, max_msg_size=0) as socket,
            ):
                await socket.send_json({"type": "hello", "version": 0})
                send = {"type": "send", "client_id": client_id, "text": prompt, "model": self.model}
                await socket.send_json(send)
                at, count = 0.0, 0
                async for message in socket:
                    now = time.monotonic()
                    if at and "append" in message.data:
                        self.gaps.append(now - at)
                    at, count = now, count + 1
                    await socket.send_str(json.dumps({"type": "ack", "frame": count}))
                    if 'data-role="assistant" data-status="complete"' in message.data:
                        return


async def loads(person: Person, path: str, waits: list[float], until: float) -> None:
    while time.monotonic() < until:
        began = time.monotonic()
        status, _ = await person.get(path)
        assert status == 200, status
        waits.append(time.monotonic() - began)
        await asyncio.sleep(0.05)


async def attacks(chats: list[Chat], text: str, administrator: Person, until: float) -> None:
    """Replies that say the text, then pages and transcripts that show it, until the time is over."""
    while time.monotonic() < until:
        left = until - time.monotonic()
        await asyncio.gather(*(chat.reply(f"/demo instant /demo echo {text}", left) for chat in chats))
        for chat in chats:
            with suppress(aiohttp.ClientError, TimeoutError):
                await chat.person.get(f"/conversations/{chat.id}/")
                await administrator.get(f"/admin/chat/conversation/{chat.id}/change/")
            chat.id = uuid4()


async def measured(
    text: str, attacker: Person, other: Person, administrator: Person, model: str, home: UUID
) -> Waits:
    waits, until = Waits(), time.monotonic() + SECONDS
    reader = Chat(other, model)
    work = [
        loads(other, f"/conversations/{home}/", waits.page, until),
        loads(other, "/healthz", waits.health, until),
        reader.reply("/demo long /demo think Hello", SECONDS),
    ]
    if text:
        work.append(attacks([Chat(attacker, model) for _ in range(3)], text, administrator, until))
    await asyncio.gather(*work)
    waits.piece = reader.gaps
    return waits


async def main(names: list[str]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="steady-stall-"))
    server = ServerProcess(folder / "data").start(300)
    try:
        for email in (ATTACKER, OTHER):
            server.add_person(email)
        async with (
            Person(server.url, ATTACKER) as attacker,
            Person(server.url, OTHER) as other,
            Person(server.url) as administrator,
        ):
            _, html = await other.get(f"/conversations/{uuid4()}/")
            options = [option.attributes["value"] for option in parse(html).select("option")]
            chat = Chat(other, options[0])
            await chat.reply("/demo instant Hello", 30)
            print("longest wait, ms | a page | /healthz | the next piece of a reply | pages loaded")
            for name in names or ATTACKS:
                waits = await measured(ATTACKS[name], attacker, other, administrator, options[0], chat.id)
                figures = [f"{max(one, default=0) * 1000:.0f}" for one in vars(waits).values()]
                print(" | ".join([name, *figures, str(len(waits.page))]), flush=True)
    finally:
        server.kill()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
