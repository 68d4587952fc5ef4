"""A real server in a process of its own, as people start it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 90.0
END_SECONDS = 60.0
# What the tests' own environment may not decide for the server.
_FOREIGN = re.compile(
    r"^(DJANGO_|STEADY_|CHAT_|DATABASE_URL|REDIS_URL|SECRET_KEY|DEBUG|OPENAI|ANTHROPIC|GEMINI|GOOGLE|OLLAMA|PYTEST|STATIC_ROOT)"
)


def clean_environment(data: Path, **settings: str) -> dict[str, str]:
    """The environment of a machine that has never heard of Steady: no keys, no services, a data directory."""
    inherited = {name: value for name, value in os.environ.items() if not _FOREIGN.match(name)}
    return {**inherited, "STEADY_DATA_DIR": str(data), "OLLAMA_URL": "off", **settings}


@dataclass
class Server:
    """A started server and what it has said so far."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    _queue: Queue[str | None] = field(default_factory=Queue)

    @property
    def url(self) -> str:
        return self.find(r"Steady is ready: (\S+)")

    @property
    def welcome_url(self) -> str:
        return self.find(r"(\S+/welcome/\S+)")

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def find(self, pattern: str) -> str:
        found = re.search(pattern, self.output)
        assert found, f"The server never said {pattern}:\n{self.output}"
        return found[1]

    def wait_for(self, pattern: str, seconds: float = START_SECONDS) -> str:
        """Reads on until a line matches. Fails when the server ends first or takes longer."""
        while not (self.lines and re.search(pattern, self.lines[-1])):
            try:
                line = self._queue.get(timeout=seconds)
            except Empty:
                raise AssertionError(f"No {pattern} within {seconds:g} s:\n{self.output}") from None
            if line is None:
                raise AssertionError(f"The server ended before {pattern}:\n{self.output}")
            self.lines.append(line.rstrip("\n"))
        return self.lines[-1]

    def stop(self, how: int = signal.SIGTERM) -> int:
        """Sends the signal and returns the exit code. The rest of what it says is in `output`."""
        self.process.send_signal(how)
        return self.wait()

    def wait(self) -> int:
        code = self.process.wait(END_SECONDS)
        while (line := self._queue.get(timeout=END_SECONDS)) is not None:
            self.lines.append(line.rstrip("\n"))
        return code

    def read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._queue.put(line)
        self._queue.put(None)


@contextmanager
def start(
    environment: dict[str, str],
    address: str = "127.0.0.1:0",
    *,
    command: Sequence[str] = (),
    cwd: Path = ROOT,
) -> Iterator[Server]:
    """Runs `manage.py serve` and ends it at the latest with the block. Does not wait for anything."""
    process = subprocess.Popen(
        [*(command or [sys.executable, "manage.py"]), "serve", address],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    server = Server(process)
    reader = threading.Thread(target=server.read, daemon=True)
    reader.start()
    try:
        yield server
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(END_SECONDS)
        reader.join(END_SECONDS)
        assert process.stdout is not None
        process.stdout.close()


@contextmanager
def serve(data: Path, **settings: str) -> Iterator[Server]:
    """A server that is ready. Its static files are collected once for all tests."""
    settings = {"STATIC_ROOT": str(ROOT / ".pytest_cache" / "static"), **settings}
    with start(clean_environment(data, **settings)) as server:
        server.wait_for("^Data: ")
        yield server
