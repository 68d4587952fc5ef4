"""How long one user can make another wait: `python -m tests.hostile.stall [attack ...]`.

A real server on SQLite with the demo models and, for floods, the scripted provider of the tests. One user
attacks with text, again and again. Another one loads a page every 50 ms and reads a growing reply. The table
shows the longest wait of the other user for a page, for `/healthz` and for the next piece of the reply, and
the CPU time of the server. The waits are meaningful on an idle machine only: compare them with the line
without an attack. On a virtual machine, the time that the host gave to others during a wait is subtracted
from it; the last column shows its sum. The CPU time is meaningful on a busy machine, too.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple
from uuid import UUID, uuid4

import aiohttp

from tests.faults.client import Person
from tests.faults.dom import parse
from tests.hostile.stall_requests import REQUESTS
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
    "one-character pieces at full speed": "/wire tokens=20000 letters=1",
    "one piece of 15 MB": "/wire tokens=1 wide=15000000",
    "one piece of 2 MB": "/wire tokens=1 wide=2000000",
    "300 sockets on one long reply": "/demo long /demo think Hello",
}
ATTACKS |= {name: name for name in REQUESTS}
SOCKETS = {"300 sockets on one long reply": 300}


@dataclass
class Waits:
    """The waits of the other user, in seconds."""

    page: list[float] = field(default_factory=list)
    health: list[float] = field(default_factory=list)
    piece: list[float] = field(default_factory=list)


class Models(NamedTuple):
    demo: str
    wire: str


class Chat:
    """One open page: its socket, without a browser's work."""

    def __init__(self, person: Person, model: str) -> None:
        self.person, self.model, self.id = person, model, uuid4()
        self.gaps: list[float] = []

    async def reply(self, prompt: str, seconds: float, *, measures: bool = False) -> None:
        """Sends a prompt and reads until the reply has ended, or for so long."""
        path = f"/ws/conversations/{self.id}/?language=en"
        url = self.person.url.replace("http", "ws", 1) + path
        client_id, origin = str(uuid4()), {"Origin": self.person.url}
        with suppress(TimeoutError, aiohttp.WSServerHandshakeError):  # too many requests are refused
            async with (
                asyncio.timeout(seconds),
                self.person.http.ws_connect(url, headers=origin, max_msg_size=0) as socket,
            ):
                await socket.send_json({"type": "hello", "revision": 0})
                send = {"type": "send", "client_id": client_id, "text": prompt, "model": self.model}
                await socket.send_json(send)
                began, count = Moment(), 0
                async for message in socket:
                    if measures and count and "append" in message.data:
                        self.gaps.append(began.wait())
                    began, count = Moment() if measures else began, count + 1
                    await socket.send_str(json.dumps({"type": "ack", "frame": count}))
                    if 'data-role="assistant" data-status="complete"' in message.data:
                        return


def stolen() -> list[float]:
    """Returns the seconds that the host of a virtual machine took from each processor so far (Linux)."""
    lines = Path("/proc/stat").read_text().splitlines()
    processors = [line.split() for line in lines if line[:3] == "cpu" and line[3].isdigit()]
    return [int(fields[8]) / os.sysconf("SC_CLK_TCK") for fields in processors]


class Moment:
    """The begin of a wait."""

    def __init__(self) -> None:
        self.at, self.stolen = time.monotonic(), stolen()

    def wait(self) -> float:
        """Returns the seconds since, less those in which the host took a processor away."""
        taken = max((now - then for now, then in zip(stolen(), self.stolen, strict=True)), default=0)
        return max(0.0, time.monotonic() - self.at - taken)


def cpu_seconds(pid: int) -> float:
    """Returns the CPU time of a process so far, without its children (Linux)."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


async def loads(person: Person, path: str, waits: list[float], until: float) -> None:
    while time.monotonic() < until:
        began = Moment()
        status, _ = await person.get(path)
        assert status == 200, status
        waits.append(began.wait())
        await asyncio.sleep(0.05)


async def opens(person: Person, path: str) -> None:
    """Opens a page as a navigation: the administration shows transcripts to nothing else."""
    headers = {"Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "none"}
    async with person.http.get(person.url + path, headers=headers) as answer:
        assert answer.status == 200, answer.status
        await answer.read()


async def attacks(chats: list[Chat], text: str, administrator: Person, until: float) -> None:
    """Runs replies with the text, then opens pages and transcripts that show it, until the time is over."""
    while time.monotonic() < until:
        left = until - time.monotonic()
        prompt = text if text.startswith("/wire") else f"/demo instant /demo echo {text}"
        await asyncio.gather(*(chat.reply(prompt, left) for chat in chats))
        for chat in chats:
            with suppress(aiohttp.ClientError, TimeoutError):
                await chat.person.get(f"/conversations/{chat.id}/")
                await opens(administrator, f"/admin/chat/conversation/{chat.id}/change/")
            chat.id = uuid4()


async def crowds(chat: Chat, text: str, count: int, until: float) -> None:
    """One reply, and so many sockets for it; refused ones connect again."""
    url = f"{chat.person.url.replace('http', 'ws', 1)}/ws/conversations/{chat.id}/?language=en"

    async def watch() -> None:
        await asyncio.sleep(1)  # the reply starts first
        while time.monotonic() < until:
            with suppress(aiohttp.ClientError, TimeoutError):
                async with (
                    asyncio.timeout(until - time.monotonic()),
                    chat.person.http.ws_connect(
                        url, headers={"Origin": chat.person.url}, max_msg_size=0
                    ) as socket,
                ):
                    await socket.send_json({"type": "hello", "revision": 0})
                    count = 0
                    async for _ in socket:
                        count += 1
                        await socket.send_json({"type": "ack", "frame": count})
            await asyncio.sleep(1)

    await asyncio.gather(chat.reply(text, until - time.monotonic()), *(watch() for _ in range(count)))


async def requests(chat: Chat, name: str, until: float) -> None:
    """Two long replies, then the requests again and again."""
    for _ in range(2):
        await chat.reply("/demo instant /demo echo " + "a word, " * 19_000, until - time.monotonic())
    while time.monotonic() < until:
        with suppress(aiohttp.ClientError, TimeoutError):
            async with asyncio.timeout(until - time.monotonic()):
                await REQUESTS[name](chat.person)


def attack(url: str, model: str, text: str, sockets: int) -> None:
    """Attacks for `SECONDS` in a process of its own, so that no client's work is measured. Attackers bring
    machines of their own: here the server and the other user get a core first."""
    os.nice(10)

    async def run() -> None:
        async with Person(url, ATTACKER) as attacker, Person(url) as administrator:
            until = time.monotonic() + SECONDS
            if text in REQUESTS:
                await requests(Chat(attacker, model), text, until)
            elif sockets:
                await crowds(Chat(attacker, model), text, sockets, until)
            else:
                await attacks([Chat(attacker, model) for _ in range(3)], text, administrator, until)

    asyncio.run(run())


async def measured(
    text: str, sockets: int, pool: ProcessPoolExecutor, other: Person, models: Models, home: UUID
) -> Waits:
    waits, until = Waits(), time.monotonic() + SECONDS
    reader = Chat(other, models.demo)
    model = models.wire if text.startswith("/wire") else models.demo
    work: list[Awaitable[None]] = [
        loads(other, f"/conversations/{home}/", waits.page, until),
        loads(other, "/healthz", waits.health, until),
        reader.reply("/demo long /demo think Hello", SECONDS, measures=True),
    ]
    if text:
        work.append(asyncio.get_running_loop().run_in_executor(pool, attack, other.url, model, text, sockets))
    await asyncio.gather(*work)
    waits.piece = reader.gaps
    return waits


async def main(names: list[str]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="steady-stall-"))
    provider = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.providers.wire", stdout=asyncio.subprocess.PIPE
    )
    assert provider.stdout
    port = int(await provider.stdout.readline())
    wire = {
        "OPENAI_COMPATIBLE_URL": f"http://127.0.0.1:{port}/v1",
        "OPENAI_COMPATIBLE_API_KEY": "none",
        "STEADY_DEMO": "true",
    }
    server = ServerProcess(folder / "data", wire)
    pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    try:
        server.start(300)
        for email in (ATTACKER, OTHER):
            server.add_person(email)
        async with Person(server.url, OTHER) as other:
            _, html = await other.get(f"/conversations/{uuid4()}/")
            options = parse(html).select("option")
            demo = next(it.attributes["value"] for it in options if "demo" in it.text.lower())
            models = Models(
                demo, next(it.attributes["value"] for it in options if "demo" not in it.text.lower())
            )
            chat = Chat(other, demo)
            await chat.reply("/demo instant Hello", 30)
            columns = [
                "a page",
                "/healthz",
                "the next piece of a reply",
                "pages loaded",
                "CPU, s",
                "stolen, s",
            ]
            print(" | ".join(["longest wait, ms", *columns]))
            for name in names or ATTACKS:
                began, taken = cpu_seconds(server.pid), sum(stolen())
                waits = await measured(ATTACKS[name], SOCKETS.get(name, 0), pool, other, models, chat.id)
                figures = [f"{max(one, default=0) * 1000:.0f}" for one in vars(waits).values()]
                cpu = f"{cpu_seconds(server.pid) - began:.1f}"
                host = f"{sum(stolen()) - taken:.1f}"
                print(" | ".join([name, *figures, str(len(waits.page)), cpu, host]), flush=True)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        server.kill()
        provider.kill()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
