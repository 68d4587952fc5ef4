"""Turns: a prompt is sent, and the next one when the final fragment of its reply is there.

    uv run --group dev python -m benchmarks.turns   1, 10 and 50 sockets on SQLite
    uv run --group dev python -m benchmarks.turns --postgres URL   the same on PostgreSQL
    uv run --group dev python -m benchmarks.turns --against REF   first that commit, then this one

The server has the first core for itself, the provider and the clients share the second. The provider answers
20 tokens as fast as it can. The CPU time is the server process's, so a busy machine changes it little; the
wall times compare within one run only. The queries are counted in runs of their own, which are not timed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import aiohttp

from benchmarks.streaming import LOAD_CORE, PEOPLE, SERVER_CORE, TICK, _model, _provider, pin
from tests.faults.client import Person
from tests.faults.stack import free_port
from tests.servers import ROOT, ServerProcess
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


class Server(ServerProcess):
    """The server of a tree, which counts its queries if asked to."""

    def __init__(self, tree: Path, folder: Path, env: dict[str, str], *, counts: bool) -> None:
        super().__init__(folder, env)
        self.root = tree
        self.counts = folder.parent / "queries.json" if counts else None
        if self.counts:
            self.env["BENCHMARK_QUERIES"] = str(self.counts)
        self.env["PYTHONPATH"] = str(tree)

    def command(self) -> list[str]:
        program = [str(ROOT / "benchmarks" / "counted.py")] if self.counts else ["manage.py"]
        return [sys.executable, *program, "serve", f"127.0.0.1:{self.port}"]

    def cpu(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK


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
    pin(server.pid, SERVER_CORE)
    emails = [f"person{number}@example.org" for number in range(min(PEOPLE, sockets))]
    async with AsyncExitStack() as stack:
        for email in emails:
            await asyncio.to_thread(server.add_person, email)
        people = [await stack.enter_async_context(Person(server.url, email)) for email in emails]
        model = await _model(people[0])
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


@contextmanager
def tree_of(ref: str | None) -> Iterator[Path]:
    if ref is None:
        yield ROOT
        return
    with tempfile.TemporaryDirectory(prefix="steady-tree-") as folder:
        tree = Path(folder) / "tree"
        subprocess.run(["git", "worktree", "add", "-q", "--detach", tree, ref], cwd=ROOT, check=True)
        try:
            yield tree
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=ROOT, check=True)


async def run(name: str, tree: Path, port: int, sockets: int, postgres: str, *, counts: bool) -> Result:
    env = {
        "OPENAI_COMPATIBLE_URL": f"http://127.0.0.1:{port}/v1",
        "STEADY_DEMO": "false",
        "CHAT_RUNNING_PER_PERSON": "100000",
        "CHAT_PAGES_PER_PERSON": "100000",
    }
    with tempfile.TemporaryDirectory(prefix="steady-bench-") as folder:
        env["STATIC_ROOT"] = f"{folder}/static"
        if postgres:
            env["DATABASE_URL"] = fresh_database(postgres)
        server = Server(tree, Path(folder) / "data", env, counts=counts)
        await asyncio.to_thread(server.start)
        try:
            return await measure(name, server, sockets)
        finally:
            server.kill()


def _at(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, round(share * (len(values) - 1)))] * 1000


def table(results: list[Result]) -> str:
    lines = [
        "| server | sockets | turns/s | CPU a turn (ms) | p50 (ms) | p95 (ms) | p95 / p50 |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for it in results:
        p50, p95 = _at(it.seconds, 0.5), _at(it.seconds, 0.95)
        lines.append(
            f"| {it.name} | {it.sockets} | {it.turns / it.took:.0f} | {it.cpu * 1000:.1f}"
            f" | {p50:.0f} | {p95:.0f} | {p95 / p50:.1f} |"
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
    provider = _provider(port, TOKENS, 1e9)
    results: list[Result] = []
    counted: list[Result] = []
    try:
        for name, ref in (("before", options.against), ("now", None)):
            if name == "before" and ref is None:
                continue
            with tree_of(ref) as tree:
                for sockets in SOCKETS if options.sockets is None else (options.sockets,):
                    results.append(await run(name, tree, port, sockets, options.postgres, counts=False))
                    print(table(results[-1:]).splitlines()[2], file=sys.stderr, flush=True)
                counted.append(await run(name, tree, port, 1, options.postgres, counts=True))
    finally:
        provider.kill()
        provider.wait()
    print(table(results))
    for result in counted:
        print("\n" + causes(result))


if __name__ == "__main__":
    asyncio.run(main())
