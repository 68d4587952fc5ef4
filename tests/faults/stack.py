"""A whole installation for the fault tests: real server processes, their database and Redis, a scripted
provider, and direct access to the database."""

from __future__ import annotations

import asyncio
import atexit
import os
import re
import shutil
import socket
import sqlite3
import ssl
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import trustme
from psycopg.rows import dict_row

from tests.providers.wire import Entry, Wire, serve
from tests.servers import ADMIN, ROOT, ServerProcess
from tests.services import fresh_database

BACKENDS = ("sqlite", "postgres")
POSTGRES_URL = os.environ.get("STEADY_TEST_DATABASE_URL", "")
MANY = "100000"


@dataclass
class Stack:
    """`processes` share one database; with SQLite there is one."""

    backend: str
    folder: Path
    wire: Wire
    database_url: str = ""
    redis: Redis | None = None
    env: dict[str, str] = field(default_factory=dict)
    processes: list[ServerProcess] = field(default_factory=list)

    async def add_process(self, port: int = 0, **env: str) -> ServerProcess:
        """Starts one more server process; port 0 chooses a free one."""
        name = "data" if self.backend == "sqlite" else f"data{len(self.processes)}"
        process = ServerProcess(self.folder / name, {**self.env, **env}, port)
        self.processes.append(process)
        await asyncio.to_thread(process.start)
        return process

    @property
    def url(self) -> str:
        return self.processes[0].url

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Returns rows of the database without Django; `?` stands for a value."""
        if self.backend == "postgres":
            with psycopg.connect(self.database_url, row_factory=dict_row) as postgres:
                return list(postgres.execute(query.replace("?", "%s"), values))  # type: ignore[arg-type]
        path = self.folder / "data" / "steady.sqlite3"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as sqlite:
            sqlite.row_factory = sqlite3.Row
            bound = [value.hex if isinstance(value, UUID) else value for value in values]
            return [dict(row) for row in sqlite.execute(query, bound)]

    def execute(self, query: str, *values: Any) -> None:
        """Changes the database without Django."""
        if self.backend == "postgres":
            with psycopg.connect(self.database_url) as postgres:
                postgres.execute(query.replace("?", "%s"), values)  # type: ignore[arg-type]
            return
        with closing(sqlite3.connect(self.folder / "data" / "steady.sqlite3", timeout=30)) as sqlite, sqlite:
            sqlite.execute(query, [value.hex if isinstance(value, UUID) else value for value in values])

    def prompts(self, client_id: UUID) -> list[dict[str, Any]]:
        return self.rows("SELECT * FROM chat_message WHERE client_id = ?", client_id)

    def replies(self, conversation_id: UUID) -> list[dict[str, Any]]:
        """Returns the replies of a conversation with their generations, in order."""
        return self.rows(
            "SELECT g.*, m.text, m.parts, m.position, m.id AS message FROM chat_generation g"
            " JOIN chat_message m ON m.id = g.message_id WHERE g.conversation_id = ? ORDER BY m.position",
            conversation_id,
        )

    def calls(self, mark: str) -> list[Entry]:
        """Returns the provider's requests for the prompt with this mark."""
        return [entry for entry in self.wire.log if mark in str(entry.body)]

    def logs(self) -> str:
        return "\n".join(process.log() for process in self.processes)


class Redis:
    """A separate Redis that can be stopped and emptied."""

    def __init__(self, folder: Path) -> None:
        self.port, self._folder = free_port(), folder
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Redis:
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--save", "", "--dir", str(self._folder)],
            stdout=subprocess.DEVNULL,
        )
        wait_for_port(self.port)
        return self

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@asynccontextmanager
async def stack(backend: str, *, processes: int = 1, **env: str) -> AsyncIterator[Stack]:
    """A running installation, which is removed afterwards."""
    async with AsyncExitStack() as cleanup:
        folder = Path(tempfile.mkdtemp(prefix="steady-faults-"))
        cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        wire = await cleanup.enter_async_context(serve())
        it = Stack(backend, folder, wire)
        it.env = {**_env(wire), **env}
        if backend == "postgres":
            prepared = await asyncio.to_thread(_prepared_postgres)
            it.database_url = cleanup.enter_context(fresh_database(POSTGRES_URL, like=prepared))
            it.redis = Redis(folder)
            cleanup.callback(it.redis.kill)
            it.redis.start()
            it.env |= {
                "DATABASE_URL": it.database_url,
                "REDIS_URL": it.redis.url,
                "SECRET_KEY": "the processes of one installation share it " * 2,
            }
        cleanup.callback(lambda: [process.kill() for process in it.processes])
        for _ in range(processes):
            await it.add_process()
        yield it


@cache
def _prepared_postgres() -> str:
    """Returns the URL of a database with all tables and the administrator, for copying. It is made once and
    dropped at exit."""
    cleanup = ExitStack()
    atexit.register(cleanup.close)
    folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="steady-seed-")))
    database_url = cleanup.enter_context(fresh_database(POSTGRES_URL))
    ServerProcess(folder / "data", {"DATABASE_URL": database_url, "STEADY_DEMO": "false"}).start().stop()
    return database_url


def _env(wire: Wire) -> Mapping[str, str]:
    return {
        "OPENAI_COMPATIBLE_URL": wire.base_url("openai_compatible"),
        "OPENAI_COMPATIBLE_API_KEY": "sk-canary-of-the-fault-tests",
        "STEADY_DEMO": "false",
        "CHAT_RUNNING_PER_PERSON": MANY,
        "CHAT_PAGES_PER_PERSON": MANY,
        "STEADY_ADMIN_EMAIL": ADMIN,
    }


@contextmanager
def nginx(folder: Path, port: int, *upstreams: int, file: str = "nginx.conf") -> Iterator[ssl.SSLContext]:
    """Runs an nginx on `port` with a configuration file of the project in front of these processes. Only
    names, addresses and ports in it are replaced. Yields the TLS context of a client that trusts it."""
    config = (ROOT / "deploy" / file).read_text(encoding="utf-8")
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "chat.example.org")
    certificate.private_key_pem.write_to_path(folder / "privkey.pem")
    for pem in certificate.cert_chain_pems:
        pem.write_to_path(folder / "fullchain.pem", append=True)
    replaced = (
        ("listen 80;", f"listen 127.0.0.1:{port if 'listen 443' not in config else free_port()};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("/etc/ssl/steady", str(folder)),
        ("/var/log/nginx", str(folder)),
        ("app:8000", f"127.0.0.1:{upstreams[0]}"),
    )
    for theirs, ours in replaced:
        config = config.replace(theirs, ours)
    shipped = re.search(r" server 127.0.0.1:8000( [^;]*)?;", config)
    if shipped:
        servers = " ".join(f"server 127.0.0.1:{each}{shipped[1] or ''};" for each in upstreams)
        config = config.replace(shipped[0], servers)
    (folder / "steady.conf").write_text(config, encoding="utf-8")
    temporary = " ".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = folder / "nginx.conf"
    main.write_text(
        f"daemon off; pid {folder}/nginx.pid; worker_processes 1; error_log {folder}/nginx.log;\n"
        "events { worker_connections 4096; }\n"
        f"http {{ access_log off; {temporary}\ninclude {folder}/steady.conf; }}\n",
        encoding="utf-8",
    )
    process = subprocess.Popen(["nginx", "-c", str(main), "-e", str(folder / "nginx.log")])
    try:
        wait_for_port(port)
        trust = ssl.create_default_context()
        authority.configure_trust(trust)
        yield trust
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int) -> None:
    for _ in range(1000):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise RuntimeError(f"Nothing listens on port {port}.")


def memory(pid: int) -> int:
    """Returns the resident bytes of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096
