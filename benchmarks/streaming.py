"""What streaming costs: many replies at once from a scripted provider, through one real server process.

    uv run python -m benchmarks.streaming [--streams 1 50 200] [--transports ws sse]

The server runs on one core, the provider and the readers on the other. For each number of streams: the
time from send to the first text (the provider answers at once), how late replies end, frames and bytes a
reply, CPU of the server per token, and its peak memory; beside it the floor: the same provider read by
our adapter alone, and by the SDK's typed stream. Compare ratios: machines differ and drift.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from tests.servers import ADMIN, PASSWORD, ROOT, ServerProcess

SERVER_CORE, LOAD_CORE = "0", "1"
TEXT = re.compile(r'#b-[0-9a-f-]{36}|class="message-body"[^>]*><p>')
ENDED = 'data-role="assistant" data-status="complete"'


@dataclass
class Reader:
    """What one reader saw. Times are monotonic seconds."""

    begins: float = 0.0  # seconds after the start of the load
    sent: float = 0.0
    first: float = 0.0
    ended: float = 0.0
    frames: int = 0
    size: int = 0
    waits: list[float] = field(default_factory=list)


class Installation:
    """A server and a provider, on cores of their own."""

    def __init__(self, tokens: int, pace: float) -> None:
        self.tokens, self.pace = tokens, pace
        command = [
            sys.executable,
            "-m",
            "benchmarks.scripted_provider",
            f"--tokens={tokens}",
            f"--pace={pace}",
        ]
        self.provider = subprocess.Popen(
            ["taskset", "-c", LOAD_CORE, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert self.provider.stdout is not None
        self.provider_url = f"http://127.0.0.1:{int(self.provider.stdout.readline())}"
        environment = {
            "OPENAI_COMPATIBLE_URL": f"{self.provider_url}/v1",
            "CHAT_RUNNING_PER_PERSON": "100000",
            "LOG_LEVEL": "WARNING",
        }
        self.server = ServerProcess(Path(tempfile.mkdtemp(prefix="steady-bench-")) / "data", environment)
        self.server.start()
        subprocess.run(
            ["taskset", "-a", "-p", "-c", SERVER_CORE, str(self.server.pid)], check=True, capture_output=True
        )
        self.model = self._model()

    def _model(self) -> str:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            found = self.server.manage(
                "shell",
                "--verbosity=0",
                stdin="from chat.models import ChatModel\n"
                "print(*ChatModel.objects.filter(name='bench').values_list('pk', flat=True))\n",
            ).strip()
            if found:
                return found.splitlines()[-1]
        raise RuntimeError("The scripted provider's model did not appear in the catalog.")

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.server.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self, name: str) -> float:
        """`VmRSS` or `VmHWM` of the server in MB."""
        status = Path(f"/proc/{self.server.pid}/status").read_text(encoding="ascii")
        found = re.search(rf"{name}:\s+(\d+)", status)
        assert found
        return int(found[1]) / 1024

    def started(self) -> dict[str, float]:
        with urllib.request.urlopen(f"{self.provider_url}/started", timeout=10) as answer:
            return dict(json.load(answer))

    def close(self) -> None:
        self.server.kill()
        self.provider.terminate()
        self.provider.wait()


async def log_in(session: aiohttp.ClientSession, url: str) -> str:
    """The CSRF token of a session that is logged in."""
    async with session.get(f"{url}/accounts/login/") as page:
        token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', await page.text())
    assert token
    form = {"login": ADMIN, "password": PASSWORD, "csrfmiddlewaretoken": token[1]}
    async with session.post(f"{url}/accounts/login/", data=form) as answer:
        page_text = await answer.text()
    token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', page_text)
    assert token
    return token[1]


async def over_socket(
    session: aiohttp.ClientSession,
    installation: Installation,
    reader: Reader,
    go: asyncio.Event,
    slow: float = 0,
) -> None:
    url = installation.server.url
    address = f"{url}/ws/conversations/{uuid.uuid4()}/"
    async with session.ws_connect(address, origin=url, max_msg_size=0) as socket:
        await socket.send_str('{"type": "hello", "version": 0}')
        await go.wait()
        await asyncio.sleep(reader.begins)
        prompt = str(uuid.uuid4())
        frame = {"type": "send", "client_id": prompt, "text": prompt, "model": installation.model}
        reader.sent = time.monotonic()
        await socket.send_str(json.dumps(frame))
        acked = reader.sent
        async for message in socket:
            note(reader, message.data)
            if reader.ended:
                return
            if time.monotonic() - acked > 0.25:
                acked = time.monotonic()
                await socket.send_str(f'{{"type": "ack", "frame": {reader.frames}}}')
            if slow:
                await asyncio.sleep(slow)


async def over_sse(
    session: aiohttp.ClientSession, installation: Installation, reader: Reader, go: asyncio.Event, token: str
) -> None:
    url, conversation = installation.server.url, uuid.uuid4()
    async with session.get(f"{url}/conversations/{conversation}/events/?version=0") as events:
        await go.wait()
        await asyncio.sleep(reader.begins)
        prompt = str(uuid.uuid4())
        form = {"client_id": prompt, "text": prompt, "model": installation.model}
        reader.sent = time.monotonic()
        headers = {"X-CSRFToken": token, "Referer": url, "HX-Request": "true"}
        async with session.post(
            f"{url}/conversations/{conversation}/messages/", data=form, headers=headers
        ) as answer:
            assert answer.status == 200, answer.status
        buffer = ""
        async for chunk in events.content.iter_any():
            buffer += chunk.decode()
            *whole, buffer = buffer.split("\n\n")
            for event in whole:
                note(reader, event)
            if reader.ended:
                return


def note(reader: Reader, text: str) -> None:
    reader.frames += 1
    reader.size += len(text)
    if not reader.first and TEXT.search(text):
        reader.first = time.monotonic()
    if ENDED in text:
        reader.ended = time.monotonic()


async def load(installation: Installation, transport: str, streams: int, spread: float = 0) -> list[Reader]:
    """That many readers, each with a reply of its own; they send within `spread` seconds."""
    readers = [Reader(begins=spread * number / streams) for number in range(streams)]
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(
        cookie_jar=jar, connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(None)
    ) as session:
        token = await log_in(session, installation.server.url)
        go = asyncio.Event()
        if transport == "ws":
            work = [over_socket(session, installation, reader, go) for reader in readers]
        else:
            work = [over_sse(session, installation, reader, go, token) for reader in readers]
        tasks = [asyncio.create_task(job) for job in work]
        await asyncio.sleep(0.5 + streams / 100)  # all are connected and quiet
        go.set()
        async with asyncio.timeout(installation.tokens / installation.pace * 6 + 30):
            await asyncio.gather(*tasks)
    return readers


def measure(installation: Installation, transport: str, streams: int, spread: float) -> str:
    cpu = installation.cpu_seconds()
    readers = asyncio.run(load(installation, transport, streams, spread))
    cpu = installation.cpu_seconds() - cpu
    started = installation.started()
    duration = (installation.tokens - 1) / installation.pace
    first = sorted(1000 * (reader.first - reader.sent) for reader in readers)
    late = sorted(reader.ended - reader.sent - duration for reader in readers)
    del started
    tokens = streams * installation.tokens
    return (
        f"| {transport} | {streams} | {cpu / tokens * 1e6:.0f} | {quantile(first, 0.5):.0f} / "
        f"{quantile(first, 0.95):.0f} | {quantile(late, 0.5):.2f} | "
        f"{statistics.mean(r.frames for r in readers):.0f} | "
        f"{statistics.mean(r.size for r in readers) / 1024:.0f} | "
        f"{installation.memory('VmRSS'):.0f} / {installation.memory('VmHWM'):.0f} |"
    )


def quantile(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))]


def floor(provider_url: str, path: str, streams: int, tokens: int) -> str:
    """CPU per token of a process that only reads the provider."""
    output = subprocess.run(
        [
            "taskset",
            "-c",
            SERVER_CORE,
            sys.executable,
            "-m",
            "benchmarks.floor",
            provider_url,
            path,
            str(streams),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return f"| {path} | {streams} | {float(output.stdout) / (streams * tokens) * 1e6:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 50, 200])
    parser.add_argument("--transports", nargs="+", default=["ws", "sse"])
    parser.add_argument("--tokens", type=int, default=500)
    parser.add_argument("--pace", type=float, default=50)
    parser.add_argument("--spread", type=float, default=5, help="seconds in which all send; 0: at once")
    parser.add_argument("--no-floor", action="store_true")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    installation = Installation(arguments.tokens, arguments.pace)
    try:
        print(f"Idle: {installation.memory('VmRSS'):.0f} MB\n")
        print("| transport | streams | CPU us/token | send to first text p50 / p95 (ms) | ends late p50 (s) |"
              " frames | kB | MB now / peak |\n|---|---|---|---|---|---|---|---|")  # fmt: skip
        asyncio.run(load(installation, "ws", 1))  # imports the SDK
        for streams in arguments.streams:
            for transport in arguments.transports:
                print(measure(installation, transport, streams, arguments.spread), flush=True)
        if not arguments.no_floor:
            print("\n| floor | streams | CPU us/token |\n|---|---|---|")
            for path in ("adapter", "typed"):
                for streams in arguments.streams:
                    print(floor(installation.provider_url, path, streams, arguments.tokens), flush=True)
    finally:
        installation.close()


if __name__ == "__main__":
    main()
