"""Turns: a prompt is sent, and the next one when the final fragment of its reply is there.

    uv run --group dev python -m benchmarks.turns                  1, 10 and 50 sockets on SQLite
    uv run --group dev python -m benchmarks.turns --postgres URL   the same on PostgreSQL
    uv run --group dev python -m benchmarks.turns --against REF    each of them with that commit too
    uv run --group dev python -m benchmarks.turns --sockets 10     only with so many

The server has the first core for itself, the provider and the clients share the second. The provider answers
20 tokens as fast as it can. The CPU time is the server process's, so a busy machine changes it little; the
wall times compare within one run only. The queries are counted in runs of their own, which are not timed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import aiohttp

from benchmarks.streaming import PEOPLE, at, model_of, provider
from benchmarks.trees import BEFORE, LOAD_CORE, NOW, Server, Tree, trees
from tests.faults.client import Person
from tests.faults.stack import free_port
from tests.services import fresh_database

TOKENS = 20
SOCKETS = (1, 10, 50)
TURNS = 300  # of all sockets together, and as many before that to warm up as there are sockets


@dataclass
class Result:
    name: str
    sockets: int
    seconds: list[float] = field(default_factory=list)  # of each turn
    took: float = 0.0
    cpu: float = 0.0  # seconds a turn
    queries: Counter[str] = field(default_factory=Counter)
    turns: int = 0


class Socket:
    """One page, whose user waits for each reply before the next prompt."""

    def __init__(self, person: Person, model: str) -> None:
        self.person, self.model = person, model
        self.frames = 0

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Socket]:
        address = f"{self.person.url.replace('http', 'ws')}/ws/conversations/{uuid4()}/"
        headers = {"Origin": self.person.url}
        async with self.person.http.ws_connect(address, headers=headers, max_msg_size=0) as self.socket:
            await self.socket.send_str('{"type": "hello", "revision": "0", "version": "0"}')
            yield self

    async def turn(self) -> float:
        began = time.monotonic()
        prompt = {"type": "send", "client_id": str(uuid4()), "text": "Go.", "model": self.model}
        await self.socket.send_str(json.dumps(prompt))
        async for message in self.socket:
            if message.type != aiohttp.WSMsgType.TEXT:
                break
            self.frames += 1
            if self.frames % 12 == 0:
                await self.socket.send_str(json.dumps({"type": "ack", "frame": self.frames}))
            if 'data-role="assistant" data-status="complete"' in message.data:
                return time.monotonic() - began
        raise RuntimeError(f"The socket closed: {self.socket.close_code}")


async def measure(name: str, server: Server, sockets: int) -> Result:
    result = Result(name, sockets)
    async with AsyncExitStack() as stack:
        people = [await stack.enter_async_context(it) for it in server.add_people(min(PEOPLE, sockets))]
        model = await model_of(people[0])
        pages = [
            await stack.enter_async_context(Socket(people[number % len(people)], model).opened())
            for number in range(sockets)
        ]
        await asyncio.gather(*(page.turn() for page in pages))
        before, began = server.cpu(), time.monotonic()
        if server.counts:
            server.counts.unlink(missing_ok=True)

        async def talk(page: Socket) -> None:
            for _ in range(max(1, TURNS // sockets)):
                result.seconds.append(await page.turn())

        await asyncio.gather(*map(talk, pages))
        result.took = time.monotonic() - began
        result.turns = len(result.seconds)
        result.cpu = (server.cpu() - before) / result.turns
    if server.counts:
        server.stop()
        result.queries = Counter(json.loads(server.counts.read_text()))
    return result


async def run(tree: Tree, port: int, sockets: int, postgres: str, *, counts: bool) -> Result:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="steady-bench-")))
        env = {"DATABASE_URL": stack.enter_context(fresh_database(postgres))} if postgres else {}
        server = Server(tree.path, folder, port, env, folder / "queries.json" if counts else None)
        stack.callback(server.kill)
        await asyncio.to_thread(server.start)
        return await measure(tree.name, server, sockets)


def table(results: list[Result]) -> str:
    lines = [
        "| sockets | server | turns/s | CPU a turn (ms) | p50 (ms) | p95 (ms) | p95 / p50 | CPU to before |",
        "|--:|---|--:|--:|--:|--:|--:|--:|",
    ]
    before = {it.sockets: it.cpu for it in results if it.name == BEFORE}
    for it in results:
        seconds = sorted(it.seconds)
        p50, p95 = at(seconds, 0.5) * 1000, at(seconds, 0.95) * 1000
        ratio = f"{it.cpu / before[it.sockets]:.2f}" if it.name == NOW and it.sockets in before else ""
        lines.append(
            f"| {it.sockets} | {it.name} | {it.turns / it.took:.0f} | {it.cpu * 1000:.1f}"
            f" | {p50:.0f} | {p95:.0f} | {p95 / p50:.1f} | {ratio} |"
        )
    return "\n".join(lines)


def causes(result: Result) -> str:
    lines = [f"| queries a turn ({result.name}) | |", "|---|--:|"]
    total = sum(result.queries.values()) / result.turns
    lines += [f"| {cause} | {count / result.turns:.2f} |" for cause, count in result.queries.most_common()]
    return "\n".join([*lines, f"| all | {total:.1f} |"])


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", help="a commit whose server is measured first")
    parser.add_argument(
        "--postgres", default="", help="the address of a PostgreSQL database; SQLite otherwise"
    )
    parser.add_argument("--sockets", type=int, help="only with so many")
    options = parser.parse_args()
    os.sched_setaffinity(0, {LOAD_CORE})
    port = free_port()
    serving = provider(port, TOKENS, 1e9)
    results: list[Result] = []
    counted: list[Result] = []
    try:
        with trees(options.against) as measured:
            for sockets in SOCKETS if options.sockets is None else (options.sockets,):
                for tree in measured:
                    results.append(await run(tree, port, sockets, options.postgres, counts=False))
                    print(table(results[-1:]).splitlines()[2], file=sys.stderr, flush=True)
            for tree in measured:
                counted.append(await run(tree, port, 1, options.postgres, counts=True))
    finally:
        serving.kill()
        serving.wait()
    print(table(results))
    for result in counted:
        print("\n" + causes(result))


if __name__ == "__main__":
    asyncio.run(main())
