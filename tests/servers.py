"""Real server processes for tests: each runs `manage.py serve`, and is stopped and killed like a real one."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from tests.forked import Fork, can_fork, run, start

ROOT = Path(__file__).resolve().parent.parent
ADMIN = "admin@example.org"
PASSWORD = "a long enough passphrase"
_INHERITED = ("PATH", "HOME", "LANG", "VIRTUAL_ENV", "TMPDIR")
_READY = re.compile(r"Steady is ready: (https?://\S+)")


class ServerProcess:
    """`manage.py serve` on a free port with a data directory and environment of its own, started by
    `tests.forked`. If it `is_new`, it is started by its command.

    Its SQLite database is a copy of one that has all tables and the administrator. If it `is_new`, the server
    makes the database, which more than doubles the CPU of a start."""

    def __init__(
        self, data_dir: Path, env: Mapping[str, str] | None = None, port: int = 0, *, is_new: bool = False
    ) -> None:
        self.data_dir, self.port, self._is_new = data_dir, port, is_new
        self.env = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        self.env |= {
            "STEADY_DATA_DIR": str(data_dir),
            "STATIC_ROOT": str(ROOT / ".pytest_cache" / "static"),  # collected once for all servers
            "STEADY_ADMIN_EMAIL": ADMIN,
            "STEADY_ADMIN_PASSWORD": PASSWORD,
            "OLLAMA_URL": "off",
            "CHAT_DRAIN_SECONDS": "2",
            **(env or {}),
        }
        self.url = ""
        self._process: subprocess.Popen[bytes] | Fork | None = None
        self._log = data_dir.parent / f"{data_dir.name}-{id(self)}.log"

    root = ROOT

    def command(self) -> list[str]:
        return [sys.executable, "manage.py", "serve", f"127.0.0.1:{self.port}"]

    def start(self, seconds: float = 300) -> ServerProcess:
        """Returns when the server answers. Raises RuntimeError with its output if it ends or takes too
        long."""
        if not self._is_new and not self.data_dir.exists() and "DATABASE_URL" not in self.env:
            self.data_dir.mkdir(mode=0o700)
            shutil.copy(prepared_database(), self.data_dir / "steady.sqlite3")
        with self._log.open("ab") as log:
            begin = log.tell()
            self._process = self._start(log)
        until = time.monotonic() + seconds
        while time.monotonic() < until and self._process.poll() is None:
            if found := _READY.search(self.log()[begin:]):
                self.port = self.port or int(found[1].rsplit(":", 1)[1])
                self.url = f"http://127.0.0.1:{self.port}"
                try:
                    urllib.request.urlopen(f"{self.url}/healthz", timeout=60).close()
                except OSError as error:
                    self.kill()
                    raise RuntimeError(f"The server answers with an error:\n{self.log()}") from error
                return self
            time.sleep(0.02)
        self.kill()
        raise RuntimeError(f"The server did not start:\n{self.log()}")

    def _start(self, log: IO[bytes]) -> subprocess.Popen[bytes] | Fork:
        command = self.command()
        if command[:2] == [sys.executable, "manage.py"] and not self._is_new and can_fork(self.env):
            with Path(os.devnull).open("rb") as nothing:
                return start(command[2:], self.root, self.env, nothing.fileno(), log.fileno(), log.fileno())
        return subprocess.Popen(command, cwd=self.root, env=self.env, stdout=log, stderr=subprocess.STDOUT)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """Kills it, as the out-of-memory killer does."""
        self._signal(signal.SIGKILL)

    def stop(self) -> int:
        """Stops it, as a service manager does. Returns the exit code."""
        return self._signal(signal.SIGTERM)

    def terminate(self) -> None:
        """Requests the stop without waiting."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float = 120) -> int:
        assert self._process is not None
        return self._process.wait(seconds)

    def _signal(self, number: signal.Signals) -> int:
        if self._process is None or self._process.poll() is not None:
            return self._process.returncode if self._process else 0
        self._process.send_signal(number)
        return self._process.wait(120)

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def manage(self, *arguments: str, stdin: str = "") -> str:
        """Runs another command of `manage.py` in the same environment."""
        result = run(arguments, self.root, self.env, stdin)
        if result.returncode:
            raise RuntimeError(result.stderr)
        return result.stdout

    def add_person(self, email: str) -> None:
        """Adds a user with the administrator's password to its SQLite database, which needs no process."""
        with closing(sqlite3.connect(self.data_dir / "steady.sqlite3", timeout=60)) as database, database:
            database.execute(
                "INSERT INTO chat_user (email, password, first_name, last_name, date_joined, is_active,"
                " is_staff, is_superuser) SELECT ?, password, '', '', date_joined, 1, 0, 0 FROM chat_user"
                " WHERE email = ?",
                (email, ADMIN),
            )


@cache
def prepared_database() -> Path:
    """Returns the file of a SQLite database, to be copied for a server. It is made by a server, once for all
    processes and runs of the tests that have the same migrations and packages."""
    made = prepared_file("server")
    folder = made.parent
    with (folder / "lock").open("w") as lock, TemporaryDirectory(dir=folder) as scratch:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            server = ServerProcess(Path(scratch) / "data", {"STEADY_DEMO": "false"}, is_new=True)
            server.start().stop()
            whole = Path(scratch) / "whole.sqlite3"
            with (
                closing(sqlite3.connect(server.data_dir / "steady.sqlite3")) as source,
                closing(sqlite3.connect(whole)) as copy,
            ):
                source.backup(copy)
            store_prepared(whole, made)
    return made


def prepared_file(name: str) -> Path:
    """Returns where a database with all tables is kept for runs with the same migrations and packages."""
    digest = hashlib.sha256()
    for path in (*sorted((ROOT / "chat" / "migrations").glob("*.py")), ROOT / "uv.lock"):
        digest.update(path.read_bytes())
    folder = ROOT / ".pytest_cache" / "databases"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}-{digest.hexdigest()[:16]}.sqlite3"


def store_prepared(file: Path, made: Path) -> None:
    """Moves a file to its place at once, and deletes those of other migrations. Another run of the tests may
    still use one of today."""
    file.replace(made)
    for older in made.parent.glob(f"{made.name.partition('-')[0]}-*.sqlite3"):
        if older != made and older.stat().st_mtime < time.time() - 86_400:
            older.unlink(missing_ok=True)
