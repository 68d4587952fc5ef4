"""Reconnects: the CPU of the server for a page that connects, from the connection to its close.

    uv run --group dev python -m benchmarks.reconnect                  this tree
    uv run --group dev python -m benchmarks.reconnect --against REF    in turns with that commit
    uv run --group dev python -m benchmarks.reconnect --count 200      so many of each kind

The pages connect one after the other, with the headers of a browser. One kind shows all there is, as most
pages do when their network comes back. The other has nothing of a chat of a prompt and a reply of 200 tokens.
Both servers run on the first core. The CPU time is that of each process, by thread, in half of the rounds of
20.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections import defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from uuid import UUID

from benchmarks.streaming import CROWD_PAGES, Bench, Load, model_of, provider
from benchmarks.trees import BEFORE, LOAD_CORE, Server, Tree, trees
from tests.faults.client import Person
from tests.faults.stack import free_port

PEOPLE = 20  # the rate of one user's connections is limited
ROUND = 20  # reconnects of a server until the other one has its turn
TOKENS = 200
BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "Accept": "*/*",
    "Accept-Language": "en-US,en;q=0.5",
    "Accept-Encoding": "gzip, deflate",
    "Pragma": "no-cache",
    "Cache-Control": "no-cache",
    "Sec-WebSocket-Extensions": "permessage-deflate",
}
KINDS = ("a page that lacks nothing", "the whole chat")
LOOP, THREADS = "event loop", "threads"


@dataclass
class Measured:
    """A server with a chat of each user, and its CPU seconds a reconnect by kind of page and thread, of each
    round."""

    bench: Bench
    pages: list[tuple[Person, UUID, str]] = field(default_factory=list)
    seconds: defaultdict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))

    async def connect(self, kind: str, numbers: range) -> None:
        for number in numbers:
            person, chat, revision = self.pages[number % PEOPLE]
            address = f"{person.url.replace('http', 'ws')}/ws/conversations/{chat}/"
            headers = {"Origin": person.url, **BROWSER}
            async with person.http.ws_connect(address, headers=headers, max_msg_size=0) as socket:
                hello = {"type": "hello", "revision": revision if kind == KINDS[0] else "0"}
                await socket.send_str(json.dumps(hello))
                await socket.receive()

    async def measure(self, kind: str, numbers: range) -> None:
        before = threads(self.bench.process.pid)
        await self.connect(kind, numbers)
        await asyncio.sleep(0.2)  # the server sees the end of the last one
        after = threads(self.bench.process.pid)
        for thread in (LOOP, THREADS):
            self.seconds[kind, thread].append((after[thread] - before[thread]) / len(numbers))


def threads(pid: int) -> dict[str, float]:
    """Returns the CPU seconds so far: of the event loop, and of the other threads, which do the database
    work."""
    seconds = {LOOP: 0.0, THREADS: 0.0}
    for task in Path(f"/proc/{pid}/task").iterdir():
        seconds[LOOP if task.name == str(pid) else THREADS] += (
            int((task / "schedstat").read_text().split()[0]) / 1e9
        )
    return seconds


async def prepared(tree: Tree, load: Load, stack: AsyncExitStack) -> Measured:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="steady-bench-")))
    env = {"CHAT_PAGES_PER_PERSON": str(CROWD_PAGES)}
    process = Server(tree.path, folder, load.port, env)
    stack.callback(process.kill)
    await asyncio.to_thread(process.start)
    people = [await stack.enter_async_context(it) for it in process.add_people(PEOPLE)]
    bench = Bench(tree, process, people, await model_of(people[0]), load)
    measured = Measured(bench)
    chats = [await bench.asked(person) for person in people]
    for person, chat in zip(people, chats, strict=True):
        measured.pages.append((person, chat, await bench.shown(person, chat)))
    for kind in KINDS:
        await measured.connect(kind, range(PEOPLE))  # warms the caches
    return measured


def table(servers: list[Measured]) -> str:
    lines = [
        "| | server | CPU (ms) | event loop | threads | to before |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for kind in KINDS:
        before = 0.0
        for it in servers:
            loop, threads = (median(it.seconds[kind, thread]) * 1000 for thread in (LOOP, THREADS))
            ratio = f"{(loop + threads) / before:.2f}" if before else ""
            before = loop + threads if it.bench.tree.name == BEFORE else 0.0
            cells = f"{loop + threads:.2f} | {loop:.2f} | {threads:.2f} | {ratio}"
            lines.append(f"| {kind} | {it.bench.tree.name} | {cells} |")
    return "\n".join(lines)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", help="a commit whose server is measured in turns with this one")
    parser.add_argument("--count", type=int, default=160, help="reconnects of each kind and server")
    options = parser.parse_args()
    os.sched_setaffinity(0, {LOAD_CORE})
    load = Load(free_port(), TOKENS, 1e9)
    serving = provider(load.port, load.tokens, load.pace)
    try:
        with trees(options.against) as measured:
            async with AsyncExitStack() as stack:
                servers = [await prepared(tree, load, stack) for tree in measured]
                for begin in range(0, options.count, ROUND):
                    for kind in KINDS:
                        for server in servers:
                            await server.measure(kind, range(begin, begin + ROUND))
                print(table(servers))
    finally:
        serving.kill()
        serving.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
