"""Streams through a real server process, compared with the cost of the provider's SDK alone.

    uv run --group dev python -m benchmarks.streaming                      everything, about ten minutes
    uv run --group dev python -m benchmarks.streaming --only 50            the runs with 50 streams
    uv run --group dev python -m benchmarks.streaming --only deaf crowd    those with idle and deaf clients
    uv run --group dev python -m benchmarks.streaming --against REF        each run first with that commit

The runs are 1, 50 and 200 streams; `slow`: 200, of which a fifth reads slowly; `burst`: 200 prompts within
2 s; `deaf`: 200 readers that read nothing; `crowd`: 1,000 idle sockets and 500 reconnects.

The server has the first core for itself; the provider and the clients share the second. Compare ratios within
a run, not milliseconds between runs: the last columns give those to the SDK and to the older commit. Ten
users have the streams, with no limit of pages and replies (`benchmarks.trees.Server`). The crowd is 50 users
with the default limits: 20 pages each.
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
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp

from benchmarks.trees import BEFORE, LOAD_CORE, NOW, SERVER_CORE, Server, Tree, trees
from tests.faults.client import Person
from tests.faults.stack import free_port, wait_for_port

MB = 1024 * 1024
PEOPLE = 10
SDK = "the SDK alone"  # in the place of a tree's name
# Seconds in which a burst of prompts is sent; otherwise they are spread over the length of a reply.
BURST = 2.0
RUNS = ("1", "50", "200", "slow", "burst", "deaf", "crowd")
# Of the crowd. A network may open 100 sockets a second in the long run, and 1,000 at once.
CROWD_PEOPLE, CROWD_PAGES, CROWD_SECONDS = 50, 20, 15.0
RECONNECTS, RECONNECT_SECONDS = 500, 5.0


@dataclass
class Stream:
    """One reply as its reader received it."""

    first: float = 0.0  # seconds from sending to the first text
    late: float = 0.0  # seconds between the provider's end and the reader's end
    frames: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Load:
    """The replies of the provider on `port`: `tokens` each, `pace` of them a second."""

    port: int
    tokens: int
    pace: float

    @property
    def seconds(self) -> float:
        return self.tokens / self.pace


@dataclass
class Result:
    name: str
    tree: str = NOW
    streams: list[Stream] = field(default_factory=list)
    cpu: float = 0.0  # seconds per token
    rss: int = 0
    idle: int = 0
    note: str = ""


class Bench:
    """A running server and its users: one user may have only so many event streams."""

    def __init__(self, tree: Tree, process: Server, people: list[Person], model: str, load: Load) -> None:
        self.tree, self.process, self.people, self.model = tree, process, people, model
        self.load = load
        # The server spreads the handshakes of a session over time, so the streams wait for each other.
        self.all_connected = asyncio.Barrier(1)

    @property
    def person(self) -> Person:
        return self.people[0]

    def rss(self, name: str = "VmRSS") -> int:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))

    def settled(self) -> int:
        """Returns the resident bytes now, and resets the peak. (Hashing a password at log-in needs more than
        everything else.)"""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5", encoding="ascii")
        return self.rss()

    @asynccontextmanager
    async def socket(
        self, conversation: UUID, revision: str = "0", *, number: int = 0
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        person = self.people[number % len(self.people)]
        address = f"{person.url.replace('http', 'ws')}/ws/conversations/{conversation}/"
        headers = {"Origin": person.url}
        async with person.http.ws_connect(address, headers=headers, max_msg_size=0) as socket:
            await socket.send_str(json.dumps({"type": "hello", "revision": revision}))
            yield socket

    async def asked(self, person: Person) -> UUID:
        """Returns a new conversation of this user with one prompt."""
        conversation = uuid4()
        status, answer = await person.send(
            "POST", f"/conversations/{conversation}/messages/", self.prompt(uuid4())
        )
        if status != 200:
            raise RuntimeError(f"A prompt was answered with {status}: {answer[:200]}")
        return conversation

    async def shown(self, person: Person, conversation: UUID) -> str:
        """Returns the revision of this user's page, when the reply has ended."""
        while True:
            _, html = await person.get(f"/conversations/{conversation}/")
            if 'data-role="assistant" data-status="complete"' in html:
                return html.partition('id="revision" value="')[2].partition('"')[0]
            await asyncio.sleep(0.2)

    def prompt(self, client_id: UUID) -> dict[str, Any]:
        return {"type": "send", "client_id": str(client_id), "text": "Go.", "model": self.model}

    async def over_ws(self, delay: float = 0.0, *, pause: float = 0.0, number: int = 0) -> Stream:
        """Sends one prompt, `delay` seconds after all streams are connected, and reads its reply over a
        socket; a slow reader pauses after each frame."""
        stream = Stream()
        async with self.socket(uuid4(), number=number) as socket:
            await self.all_connected.wait()
            await asyncio.sleep(delay)
            began = time.monotonic()
            await socket.send_str(json.dumps(self.prompt(uuid4())))
            unacked = 0
            async for message in socket:
                if message.type != aiohttp.WSMsgType.TEXT:
                    break
                stream.frames += 1
                unacked += 1
                if self._takes(stream, message.data, began):
                    break
                if unacked == 12:
                    unacked = 0
                    await socket.send_str(json.dumps({"type": "ack", "frame": stream.frames}))
                if pause:
                    await asyncio.sleep(pause)
        return stream

    async def over_sse(self, delay: float = 0.0, *, pause: float = 0.0, number: int = 0) -> Stream:
        stream, conversation, person = Stream(), uuid4(), self.people[number % len(self.people)]
        address = f"{person.url}/conversations/{conversation}/events/?revision=0"
        async with person.http.get(address, timeout=aiohttp.ClientTimeout(total=None)) as answer:
            await self.all_connected.wait()
            await asyncio.sleep(delay)
            began = time.monotonic()
            form = {**self.prompt(uuid4()), "type": ""}
            sending = asyncio.create_task(
                person.send("POST", f"/conversations/{conversation}/messages/", form)
            )
            async for line in answer.content:
                if line.startswith(b"id:"):
                    stream.frames += 1
                if line.startswith(b"data:") and self._takes(stream, line.decode(), began):
                    break
                if pause and line.startswith(b"id:"):
                    await asyncio.sleep(pause)
            await sending
        return stream

    def _takes(self, stream: Stream, data: str, began: float) -> bool:
        """Records the received data. Returns true at the end."""
        stream.bytes += len(data)
        if not stream.first and "tok0" in data:
            stream.first = time.monotonic() - began
        if 'data-role="assistant" data-status="complete"' in data:
            stream.late = time.monotonic() - began - self.load.seconds
            return True
        return False

    async def measure(self, name: str, count: int, read: Callable[[int], Any]) -> Result:
        """Runs `count` streams at the same time; `read` starts the reader of a number."""
        await self.over_ws()  # imports the SDK, warms the caches
        result = Result(name, self.tree.name, idle=self.settled())
        self.all_connected = asyncio.Barrier(count)
        before = self.process.cpu()
        result.streams = await asyncio.gather(*(read(number) for number in range(count)))
        result.cpu = (self.process.cpu() - before) / (count * self.load.tokens)
        result.rss = self.rss("VmHWM")
        return result


@asynccontextmanager
async def server(
    tree: Tree, load: Load, people: int = PEOPLE, env: dict[str, str] | None = None
) -> AsyncIterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="steady-bench-") as folder:
        process = Server(tree.path, Path(folder), load.port, env or {}).start()
        try:
            async with AsyncExitStack() as stack:
                everyone = [await stack.enter_async_context(it) for it in process.add_people(people)]
                yield Bench(tree, process, everyone, await model_of(everyone[0]), load)
        finally:
            process.kill()


async def model_of(person: Person) -> str:
    """Returns the id of the provider's only model as soon as the catalog has it."""
    while True:
        _, html = await person.get(f"/conversations/{uuid4()}/")
        _, found, rest = html.partition('<option value="')
        if found and not rest.startswith('"'):
            return rest.partition('"')[0]
        await asyncio.sleep(0.1)


async def streams(
    tree: Tree, load: Load, count: int, transport: str, *, slow: float = 0, burst: bool = False
) -> Result:
    async with server(tree, load) as bench:
        read = bench.over_ws if transport == "ws" else bench.over_sse
        spread = BURST if burst else load.seconds

        def start(number: int) -> Any:
            pause = 0.5 if number < count * slow else 0.0
            return read(spread * number / count, pause=pause, number=number)

        name = f"{count} streams over {transport}" + (f", {slow:.0%} of the readers slow" if slow else "")
        name += f", all begun within {BURST:g} s" if burst else ""
        result = await bench.measure(name, count, start)
        result.streams = result.streams[int(count * slow) :]
        return result


async def deaf(tree: Tree, load: Load, transport: str) -> Result:
    """Runs 200 readers that read nothing, every twentieth on the same reply, and one that reads."""
    from tests.faults.test_slow_clients import deaf as connect

    async with server(tree, load) as bench:
        await bench.over_ws()
        result = Result(f"200 that read nothing over {transport}", tree.name, idle=bench.settled())
        sockets = []
        for person in bench.people:
            conversation = await bench.asked(person)
            sockets += [
                await connect(person, bench.process.port, conversation, transport)
                for _ in range(200 // PEOPLE)
            ]
        result.streams = [await bench.over_ws()]
        result.rss = bench.rss("VmHWM")
        result.note = f"{(result.rss - result.idle) / 200 / 1024:.0f} KB each"
        for socket in sockets:
            socket.close()
        return result


async def crowd(tree: Tree, load: Load) -> list[Result]:
    """Opens 1,000 idle sockets, then reconnects 500 of them within 5 s, with the revisions that the pages
    show."""
    default = {"CHAT_PAGES_PER_PERSON": str(CROWD_PAGES)}
    async with server(tree, load, CROWD_PEOPLE, default) as bench, asyncio.TaskGroup() as group:
        await bench.over_ws()
        chats = [await bench.asked(person) for person in bench.people]
        pages = [
            (chat, await bench.shown(person, chat)) for person, chat in zip(bench.people, chats, strict=True)
        ]
        opened = asyncio.Semaphore(0)

        async def sit(number: int, until: asyncio.Event) -> None:
            await asyncio.sleep(CROWD_SECONDS * number / everyone)
            async with bench.socket(*pages[number % CROWD_PEOPLE], number=number) as socket:
                await socket.receive_str()
                opened.release()
                await until.wait()

        idle = Result("1,000 idle sockets", tree.name, idle=bench.settled())
        everyone = CROWD_PEOPLE * CROWD_PAGES
        leave, stay = asyncio.Event(), asyncio.Event()
        for number in range(everyone):
            group.create_task(sit(number, stay if number // CROWD_PEOPLE % 2 else leave))
        for _ in range(everyone):
            await opened.acquire()
        before = bench.process.cpu()
        await asyncio.sleep(10)
        idle.rss = bench.rss()
        busy = (bench.process.cpu() - before) / 10
        idle.note = f"{(idle.rss - idle.idle) / everyone / 1024:.0f} KB each, {busy:.1%} of a core"
        leave.set()
        await asyncio.sleep(2)  # the server sees the closed sockets

        storm = Result("500 reconnects within 5 s", tree.name, idle=bench.settled())

        async def comes_back(number: int) -> Stream:
            await asyncio.sleep(RECONNECT_SECONDS * number / RECONNECTS)
            began = time.monotonic()
            # Refused, by the handshake or a close: shown as not done.
            with suppress(aiohttp.WSServerHandshakeError, aiohttp.WSMessageTypeError):
                async with bench.socket(*pages[number % CROWD_PEOPLE], number=number) as socket:
                    frame = await socket.receive_str()
                    return Stream(time.monotonic() - began, 0, 1, len(frame))
            return Stream()

        before = bench.process.cpu()
        storm.streams = await asyncio.gather(*map(comes_back, range(RECONNECTS)))
        storm.rss = bench.rss("VmHWM")
        storm.note = f"{(bench.process.cpu() - before) / RECONNECTS * 1000:.1f} ms of CPU each"
        stay.set()
    return [idle, storm]


def floor(load: Load, count: int) -> Result:
    """Runs the SDK alone, in a process of its own on the server's core."""
    address = f"http://127.0.0.1:{load.port}"
    output = subprocess.run(
        [sys.executable, "-m", "benchmarks.floor", address, str(count), str(load.seconds)],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}),
    ).stdout
    found = json.loads(output)
    result = Result(f"{count} streams", SDK, [Stream(first) for first in found["firsts"]])
    result.cpu, result.rss = found["cpu"], found["rss"]
    return result


def table(results: list[Result]) -> str:
    lines = [
        "| what | server | done | first text p50 / p95 (ms) | end late p50 (ms) | frames | bytes"
        " | CPU a token (us) | to the SDK | to before | memory before / peak (MB) | |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    sdk = {result.name.split()[0]: result.cpu for result in results if result.tree == SDK}
    before = {result.name: result.cpu for result in results if result.tree == BEFORE}
    for result in results:
        of = [stream for stream in result.streams if stream.first]
        firsts = sorted(stream.first * 1000 for stream in of)
        lates = sorted(stream.late * 1000 for stream in of)
        cells = [
            result.name,
            result.tree,
            f"{len(of)} of {len(result.streams)}" if result.streams else "",
            f"{at(firsts, 0.5):.0f} / {at(firsts, 0.95):.0f}" if of else "",
            f"{at(lates, 0.5):.0f}" if of and of[0].late else "",
            f"{sum(s.frames for s in of) / len(of):.0f}" if of and of[0].frames else "",
            f"{sum(s.bytes for s in of) / len(of):.0f}" if of and of[0].bytes else "",
            f"{result.cpu * 1e6:.0f}" if result.cpu else "",
            _ratio(result.cpu, sdk.get(result.name.split()[0])) if result.tree != SDK else "",
            _ratio(result.cpu, before.get(result.name)) if result.tree == NOW else "",
            f"{result.idle / MB:.0f} / {result.rss / MB:.0f}",
            result.note,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def first_of(error: BaseException) -> BaseException:
    """Returns the first error of a group: hundreds of clients fail for the same reason."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _ratio(value: float, to: float | None) -> str:
    return f"{value / to:.2f}" if value and to else ""


def provider(port: int, tokens: int, pace: float) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.provider", str(port), str(tokens), str(pace)]
    )
    wait_for_port(port)
    return process


def at(values: list[float], share: float) -> float:
    """Returns the value below which this share of the sorted `values` lies."""
    return values[min(len(values) - 1, round(share * (len(values) - 1)))]


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=RUNS, default=RUNS, help="the runs")
    parser.add_argument("--against", help="a commit whose server is measured too")
    parser.add_argument("--tokens", type=int, default=500)
    parser.add_argument("--pace", type=float, default=50)
    options = parser.parse_args()
    os.sched_setaffinity(0, {LOAD_CORE})
    load = Load(free_port(), options.tokens, options.pace)
    serving = provider(load.port, load.tokens, load.pace)
    results: list[Result] = []

    def take(*found: Result) -> None:
        results.extend(found)
        print(table(list(found)).splitlines()[2:], file=sys.stderr, flush=True)

    try:
        with trees(options.against) as measured:
            for count in (int(run) for run in options.only if run.isdigit()):
                take(floor(load, count))
                for transport in ("ws", "sse"):
                    for tree in measured:
                        take(await streams(tree, load, count, transport))
            for run in options.only:
                for tree in measured:
                    if run == "slow":
                        take(await streams(tree, load, 200, "ws", slow=0.2))
                    elif run == "burst":
                        take(await streams(tree, load, 200, "ws", burst=True))
                    elif run == "deaf":
                        take(await deaf(tree, load, "ws"), await deaf(tree, load, "sse"))
                    elif run == "crowd":
                        take(*await crowd(tree, load))
    except* (aiohttp.ClientError, TypeError, OSError, RuntimeError) as errors:
        sys.exit(f"The benchmark failed: {first_of(errors)!r}")
    finally:
        serving.kill()
        serving.wait()
    print(table(results))


if __name__ == "__main__":
    asyncio.run(main())
