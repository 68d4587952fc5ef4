"""Chat Completions through the gateway, compared with the same SDK talking to the provider.

    uv run --group dev python -m benchmarks.gateway
    uv run --group dev python -m benchmarks.gateway --against REF    each row first with that commit

The server has the first core for itself; the provider and the SDK share the second. Compare ratios within a
run. The row of one stream runs one after the other, so its least time to the first text is the one that other
programs on the machine disturb least.

The CPU of a token is that of the server, with the starts and the ends of the calls. That of the answer alone
leaves these out: it is the difference between answers of two lengths.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path

import aiohttp

from benchmarks.streaming import Load, at, provider
from benchmarks.trees import LOAD_CORE, Server, trees
from tests.faults.stack import free_port

SECRET = "sty_" + "b" * 43
LIMITS = {"CHAT_RUNNING_PER_PERSON": "1000", "CHAT_PAGES_PER_PERSON": "1000"}


@contextmanager
def gateway(root: Path, port: int) -> Iterator[Server]:
    """Yields a server whose catalog has the provider's model, with a token."""
    with tempfile.TemporaryDirectory(prefix="steady-bench-") as folder:
        server = Server(root, Path(folder), port, LIMITS).start()
        try:
            row = (SECRET[:12], sha256(SECRET.encode()).hexdigest(), '["gateway"]', "2026-01-01 00:00:00")
            path = server.data_dir / "steady.sqlite3"
            with closing(sqlite3.connect(path, timeout=60)) as database, database:
                database.execute(
                    "INSERT INTO chat_apitoken (user_id, name, prefix, digest, scopes, created_at) "
                    "SELECT id, 'x', ?, ?, ?, ? FROM chat_user LIMIT 1",
                    row,
                )
            asyncio.run(_listed(server.url))
            yield server
        finally:
            server.kill()


async def _listed(url: str) -> None:
    headers = {"Authorization": f"Bearer {SECRET}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        while True:
            async with http.get(f"{url}/v1/models/bench") as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(0.2)


def sdk(url: str, count: int, spread: float, key: str = "none") -> tuple[list[float], float]:
    """Returns the milliseconds to the first text of each stream, sorted, and the SDK's own seconds of CPU for
    each token."""
    command = [sys.executable, "-m", "benchmarks.floor", url, str(count), str(spread), key]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return sorted(first * 1000 for first in found["firsts"]), found["cpu"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=500)
    parser.add_argument("--pace", type=float, default=50)
    parser.add_argument("--rounds", type=int, default=30, help="streams one after the other")
    parser.add_argument("--streams", type=int, nargs="*", default=(1, 50, 200))
    parser.add_argument("--against", help="a commit that is measured first")
    options = parser.parse_args()
    os.sched_setaffinity(0, {LOAD_CORE})
    columns = [
        "streams",
        "first text least / p50 / p95, direct (ms)",
        "gateway",
        "CPU a token, SDK (us)",
        "server",
        "ratio",
        "of the answer alone (us)",
        "CPU a call (ms)",
    ]
    print("| " + " | ".join(["", *columns]) + " |")
    print("|:--|" + "--:|" * len(columns))
    with trees(options.against) as measured:
        for count in options.streams:
            for tree in measured:
                tokens = 20 if count == 1 else options.tokens
                load = Load(free_port(), tokens, options.pace)
                cells = measure(tree.path, load, count, options.rounds if count == 1 else count)
                print("| " + " | ".join([tree.name, str(count), *cells]) + " |", flush=True)


def measure(root: Path, load: Load, count: int, streams: int) -> list[str]:
    """Returns the cells of one row."""
    spread = 2 * load.seconds * streams if count == 1 else load.seconds
    short = Load(free_port(), 2, load.pace)
    serving = [provider(it.port, it.tokens, it.pace) for it in (load, short)]
    try:
        with gateway(root, load.port) as server:
            direct, cost = sdk(f"http://127.0.0.1:{load.port}", streams, spread)
            through, used = _used(server, streams, spread)
        with gateway(root, short.port) as server:
            _, of_short = _used(server, streams, spread)
    finally:
        for process in serving:
            process.kill()
            process.wait()
    firsts = [f"{found[0]:.1f} / {at(found, 0.5):.1f} / {at(found, 0.95):.1f}" for found in (direct, through)]
    alone = (used - of_short) / (load.tokens - short.tokens)
    call = max(0.0, of_short - short.tokens * alone)
    token = used / load.tokens
    costs = [f"{cost * 1e6:.0f}", f"{token * 1e6:.0f}", f"{token / cost:.2f}"]
    return [*firsts, *costs, f"{alone * 1e6:.0f}", f"{call * 1e3:.1f}"]


def _used(server: Server, streams: int, spread: float) -> tuple[list[float], float]:
    """Returns the times to the first text, and the server's seconds of CPU for each stream."""
    sdk(server.url, 1, 0, SECRET)  # imports the provider's SDK in the server
    before = server.cpu()
    firsts, _ = sdk(server.url, streams, spread, SECRET)
    return firsts, (server.cpu() - before) / (streams + 1)


if __name__ == "__main__":
    main()
