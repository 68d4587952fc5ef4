"""`manage.py serve` in real processes: its start, the reasons why it does not start, and its end."""

from __future__ import annotations

import io
import os
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import POSTGRES_URL
from tests.forked import run
from tests.servers import ROOT, ServerProcess
from tests.services import fresh_database


def _fails(server: ServerProcess, address: str = "127.0.0.1:0") -> tuple[int, str]:
    """Returns the exit code and the message of a start that must fail."""
    ended = run(["serve", address], ROOT, server.env)
    assert "Traceback" not in ended.stderr
    return ended.returncode, ended.stderr


@pytest.fixture
def server(tmp_path: Path) -> ServerProcess:
    return ServerProcess(tmp_path / "data")


def test_a_second_start_has_nothing_to_prepare(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data", is_new=True).start()
    assert f"A new database was made at {server.data_dir / 'steady.sqlite3'}." in server.log()
    assert server.stop() == 0
    said = len(server.log())
    server.start()
    assert server.stop() == 0
    again = server.log()[said:]
    assert "up to date" not in again
    assert "new database" not in again
    assert "collected" not in again


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_zero(server: ServerProcess, number: signal.Signals) -> None:
    server.start()
    assert server._signal(number) == 0
    assert "Traceback" not in server.log()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{server.url}/healthz", timeout=60)


def test_a_repeated_signal_during_the_end_counts_once(server: ServerProcess) -> None:
    server.start()
    while server.is_running:
        server.terminate()
        time.sleep(
            0.01
        )  # A process that gets signals without a pause does nothing else, and is ended as stalled.
    assert server.stop() == 0


def test_a_killed_server_leaves_no_lock_behind(server: ServerProcess) -> None:
    server.start()
    server.kill()
    server.start()
    assert server.stop() == 0


def test_a_port_in_use_is_reported(server: ServerProcess) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, words = _fails(server, str(port))
    assert code == 1
    assert f"Port {port} on 127.0.0.1 cannot be used: address already in use." in words


def test_an_invalid_address_is_reported(server: ServerProcess) -> None:
    code, words = _fails(server, "::1:80")
    assert code == 2
    assert "'::1:80' is not an address to serve on." in words
    from chat.management.errors import StartError
    from chat.management.server import listen, parse_address  # imports Twisted

    for address in ("http", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:99999", "nowhere.invalid:80"):
        with pytest.raises(StartError, match=address.partition(":")[0]) as told:
            listen(*parse_address(address))
        assert told.value.code == 2


def test_an_address_of_another_machine_is_reported(server: ServerProcess) -> None:
    code, words = _fails(server, "192.0.2.1:8769")
    assert code == 2
    assert "This machine has no address 192.0.2.1." in words
    assert "Stop what is" not in words


def test_a_second_server_on_one_sqlite_is_refused(server: ServerProcess) -> None:
    server.start()
    code, words = _fails(server)
    assert code == 1
    assert f"Another Steady server (process {server.pid})" in words
    assert server.stop() == 0


_LIFESPAN = """
import asyncio
from chatproject.asgi import application

async def main():
    wishes = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive():
        return {"type": next(wishes)}

    async def send(message):
        print(message["type"], message.get("message", ""))

    await application({"type": "lifespan"}, receive, send)

asyncio.run(main())
"""


def test_another_asgi_server_on_its_sqlite_is_refused(server: ServerProcess) -> None:
    def another() -> list[str]:
        command = [sys.executable, "-c", _LIFESPAN]
        return subprocess.check_output(command, cwd=ROOT, env=server.env, text=True, timeout=300).splitlines()

    server.start()
    (refused,) = another()
    assert refused.startswith(f"lifespan.startup.failed Another Steady server (process {server.pid})")
    assert server.stop() == 0
    assert [line.strip() for line in another()] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_stored_text_is_unreadable_for_other_accounts_of_the_machine(server: ServerProcess) -> None:
    server.start()
    made = {path.name: _mode(path) for path in server.data_dir.iterdir()}
    server.kill()
    assert {"steady.sqlite3", "steady.sqlite3-wal", "steady.sqlite3-shm", "secret_key"} <= made.keys()
    assert set(made.values()) == {0o600}
    assert _mode(server.data_dir) == 0o700
    (server.data_dir / "steady.sqlite3").chmod(0o644)  # as former versions left them
    (server.data_dir / "steady.sqlite3.lock").chmod(0o640)  # as an operator may want it
    server.start()
    now = [_mode(server.data_dir / f"steady.sqlite3{suffix}") for suffix in ("", ".lock")]
    assert now == [0o600, 0o640]
    assert server.stop() == 0


_FILE = """
from chat.actions.attachment import receive_file
from chat.models import User
receive_file(User.objects.get(email="ada@example.org"), [b"Notes"], name="notes.txt", size=5)
"""
_READ = """
from chat.files import store
from chat.models import Attachment
print([(it.owner.email, it.name, store.read(it.stored.path)) for it in Attachment.objects.all()])
"""


def test_a_backup_of_a_running_server_is_restored_elsewhere(server: ServerProcess, tmp_path: Path) -> None:
    def backup(*options: str) -> tuple[bytes, str]:
        command = [sys.executable, "manage.py", "backup", *options]
        ended = subprocess.run(
            command, cwd=ROOT, env=server.env, capture_output=True, check=True, timeout=300
        )
        return ended.stdout, ended.stderr.decode()

    server.start()
    server.add_person("ada@example.org")
    database, said = backup()
    assert database.startswith(b"SQLite format 3") and not said
    server.manage("shell", "--verbosity=0", stdin=_FILE)
    database, said = backup()
    assert "1 files of chats (1 MB) are not in it. With them: manage.py backup --all > steady.tar" in said
    archive, said = backup("--all")
    assert not said and not list(server.data_dir.glob(".backup*"))
    assert server.stop() == 0

    (tmp_path / "new").mkdir()
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        assert {entry.mode for entry in files} == {0o600}
        files.extractall(tmp_path / "new", filter="data")
    with closing(sqlite3.connect(tmp_path / "new" / "steady.sqlite3")) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    new = ServerProcess(tmp_path / "new")
    assert new.manage("shell", "--verbosity=0", stdin=_READ).strip() == (
        "[('ada@example.org', 'notes.txt', b'Notes')]"
    )


def test_a_backup_that_is_killed_leaves_nothing_behind(server: ServerProcess) -> None:
    server.start()
    with closing(sqlite3.connect(server.data_dir / "steady.sqlite3")) as database, database:
        database.execute("CREATE TABLE large AS SELECT zeroblob(4000000) AS zeros")  # more than a pipe holds
    command = [sys.executable, "manage.py", "backup"]
    with subprocess.Popen(command, cwd=ROOT, env=server.env, stdout=subprocess.PIPE) as backup:
        assert backup.stdout is not None
        # The copy is complete, and is being written out.
        assert backup.stdout.read(16) == b"SQLite format 3\0"
        backup.kill()
    assert not list(server.data_dir.glob(".backup*"))
    assert server.stop() == 0


def test_the_remains_of_a_killed_backup_of_an_earlier_version_are_deleted(server: ServerProcess) -> None:
    left, fresh = server.data_dir / ".backup-old", server.data_dir / ".backup-new"
    for folder in (left, fresh):
        folder.mkdir(parents=True)
        (folder / "copy").write_text("what people wrote")
    os.utime(left, (0, 0))
    server.start()
    assert not left.exists()
    assert fresh.exists(), "it may be running"
    assert server.stop() == 0


def test_a_process_with_few_free_file_descriptors_is_not_ready(server: ServerProcess) -> None:
    server.start()
    assert resource.prlimit(server.pid, resource.RLIMIT_NOFILE)[0] >= 4096, "raised as far as may be"
    urllib.request.urlopen(f"{server.url}/readyz").close()
    used = len(list(Path(f"/proc/{server.pid}/fd").iterdir()))
    most = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (used + 3, most))
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{server.url}/readyz")
    assert caught.value.code == 503
    assert "LimitNOFILE" in caught.value.read().decode()
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (most, most))
    urllib.request.urlopen(f"{server.url}/readyz").close()
    assert server.stop() == 0


def test_a_locked_database_is_reported(server: ServerProcess) -> None:
    server.start()
    server.stop()
    other = sqlite3.connect(server.data_dir / "steady.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    code, words = _fails(server)
    other.close()
    assert code == 1
    assert "locked by another program" in words


def test_a_database_newer_than_the_code_is_reported(server: ServerProcess) -> None:
    server.start()
    server.stop()
    database = sqlite3.connect(server.data_dir / "steady.sqlite3")
    with database:
        database.execute("UPDATE chat_schema SET number = 9999")
    database.close()
    code, words = _fails(server)
    assert code == 1
    assert "newer than this version of Steady: its schema has the number 9999" in words


def test_a_file_that_is_no_database_is_reported(server: ServerProcess) -> None:
    server.data_dir.mkdir()
    (server.data_dir / "steady.sqlite3").write_text("something else entirely")
    code, words = _fails(server)
    assert code == 1
    assert "file is not a database" in words


def test_an_unreachable_database_is_reported_without_its_password(server: ServerProcess) -> None:
    server.env["DATABASE_URL"] = "postgres://steady:hidden@127.0.0.1:1/steady"
    code, words = _fails(server)
    assert code == 1
    assert "The database cannot be used" in words
    assert "hidden" not in words


@pytest.mark.parametrize("has_key", [True, False])
def test_a_read_only_data_directory_is_reported(server: ServerProcess, has_key: bool) -> None:
    server.data_dir.write_text("a file, not a directory")
    server.env["STEADY_DATA_DIR"] = str(server.data_dir / "below")
    if has_key:
        server.env["SECRET_KEY"] = "a key of its own, longer than fifty characters are"
    code, words = _fails(server)
    assert code == 2
    assert "STEADY_DATA_DIR" in words


def test_a_wrong_setting_is_reported(server: ServerProcess) -> None:
    server.env["STEADY_DEMO"] = "perhaps"
    code, words = _fails(server)
    assert code == 2
    assert "STEADY_DEMO='perhaps' is neither true nor false" in words


@pytest.mark.needs_postgres
def test_processes_that_start_at_once_migrate_one_after_the_other(tmp_path: Path) -> None:
    with fresh_database(POSTGRES_URL) as database:
        env = {"DATABASE_URL": database, "SECRET_KEY": "three processes, one key " * 3}
        servers = [ServerProcess(tmp_path / str(number), env) for number in range(3)]
        running = [
            subprocess.Popen(
                [sys.executable, "manage.py", "serve", "127.0.0.1:0"],
                cwd=ROOT,
                env=server.env,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for server in servers
        ]
        migrated = 0
        for process in running:
            assert process.stdout is not None
            said = ""
            for line in process.stdout:
                said += line
                if line.startswith("Data: "):
                    break
            migrated += "A new database was made" in said
            assert "Steady is ready" in said, said
        for process in running:
            process.terminate()
        assert [process.wait(300) for process in running] == [0, 0, 0]
        for process in running:
            assert process.stdout is not None
            process.stdout.close()
        assert migrated == 1


_TWO_ADMINISTRATORS = """
import threading
from concurrent.futures import ThreadPoolExecutor
from chat.actions import first_admin
from chat.management.commands import serve
from chat.models import User

both_looked = threading.Barrier(2)
look = first_admin._admin_exists

def slowly():
    found = look()
    try:
        both_looked.wait(1)
    except threading.BrokenBarrierError:
        pass  # The other is not let in.
    return found

first_admin._admin_exists = slowly
with ThreadPoolExecutor() as threads:
    assert list(threads.map(lambda _: serve._first_admin(), range(2))) == [None, None]
assert User.objects.get().is_superuser
"""


@pytest.mark.needs_postgres
def test_processes_that_start_at_once_make_one_administrator(tmp_path: Path) -> None:
    """Between checking for an administrator and creating one, each waits a moment for the others."""
    with fresh_database(POSTGRES_URL) as database:
        server = ServerProcess(
            tmp_path, {"DATABASE_URL": database, "SECRET_KEY": "two processes, one key " * 3}
        )
        server.manage("migrate", "--verbosity=0")
        server.manage("shell", "--verbosity=0", stdin=_TWO_ADMINISTRATORS)
