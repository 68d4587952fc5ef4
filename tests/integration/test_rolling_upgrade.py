"""While processes are replaced one after the other, those of the release before run on the new schema.

Slow: real commands of two releases on each database, and a real server on PostgreSQL."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.cookiejar import CookieJar
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from tests.conftest import POSTGRES_URL
from tests.servers import ROOT
from tests.services import fresh_database, is_missing

# The release before: its code must go on working on a database that this code has migrated.
PREVIOUS = "c5da80a667c87e2304251a794029ed41589942c8"
EMAIL, PASSWORD = "ada@example.org", "a long enough passphrase"
_CONTENT = f"""
from django.core.management import call_command
from chat.models import User
call_command("sync_models", "demo", verbosity=0)
User.objects.create_superuser({EMAIL!r}, {PASSWORD!r})
"""
# Without Brotli, which takes most of the time.
_COLLECT = """
import os, sys
sys.modules["brotli"] = None
os.environ["DJANGO_SETTINGS_MODULE"] = "chatproject.settings"
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", "collectstatic", "--no-input", "--verbosity=0"])
"""
_INHERITED = ("PATH", "HOME", "LANG", "VIRTUAL_ENV", "TMPDIR")
_REPLY = re.compile(
    r'<article id="m-([0-9a-f-]+)"[^>]*?data-role="assistant"[^>]*?data-status="(\w+)"', re.DOTALL
)


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of the release before, with its static files. It runs with the packages of this release."""
    known = ["git", "cat-file", "-e", f"{PREVIOUS}^{{commit}}"]
    if subprocess.run(known, cwd=ROOT, check=False, capture_output=True).returncode:
        is_missing(
            f"This clone is shallow: the commit {PREVIOUS[:7]}, with which upgrades are tried, is not in it."
        )
    folder = tmp_path_factory.mktemp("previous")
    archive = subprocess.run(["git", "archive", PREVIOUS], cwd=ROOT, check=True, capture_output=True)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    subprocess.run(
        [sys.executable, "-c", _COLLECT],
        cwd=folder,
        env=_environment(folder, folder),
        check=True,
        timeout=300,
    )
    return folder


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.needs_postgres)])
def env(request: pytest.FixtureRequest, previous: Path, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of an installation with an empty database."""
    env = _environment(previous, tmp_path)
    if request.param == "sqlite":
        yield env
        return
    with fresh_database(POSTGRES_URL) as url:
        yield {**env, "DATABASE_URL": url}


def _environment(previous: Path, data: Path) -> dict[str, str]:
    return {name: os.environ[name] for name in _INHERITED if name in os.environ} | {
        "OLLAMA_URL": "off",
        "SECRET_KEY": "a key of two releases " * 4,
        "STATIC_ROOT": str(previous / "static_root"),
        "STEADY_DATA_DIR": str(data),
    }


def manage(code: Path, env: dict[str, str], *arguments: str, stdin: str = "") -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=code,
        env=env,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def columns(env: dict[str, str]) -> dict[tuple[str, str], bool]:
    """The columns of Steady's own tables: whether a row may be written without saying what is in it."""
    if url := env.get("DATABASE_URL"):
        with psycopg.connect(url) as connection:
            rows = connection.execute(
                "SELECT table_name, column_name, is_nullable = 'YES' OR column_default IS NOT NULL"
                " OR is_identity = 'YES' FROM information_schema.columns WHERE table_name LIKE 'chat\\_%'"
            ).fetchall()
    else:
        with closing(sqlite3.connect(Path(env["STEADY_DATA_DIR"], "steady.sqlite3"))) as connection:
            rows = connection.execute(
                'SELECT m.name, c.name, c."notnull" = 0 OR c.dflt_value IS NOT NULL OR c.pk > 0'
                " FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table'"
                " AND m.name LIKE 'chat\\_%' ESCAPE '\\'"
            ).fetchall()
    return {(table, column): bool(may) for table, column, may in rows}


def check_columns(before: dict[tuple[str, str], bool], after: dict[tuple[str, str], bool]) -> None:
    """What the release before reads is there, and what it does not write has a default."""
    assert len(before) > 50
    assert sorted(before.keys() - after.keys()) == []
    tables = {table for table, _ in before}
    added = {key: may for key, may in after.items() if key not in before and key[0] in tables}
    assert [key for key, may_be_left_out in added.items() if not may_be_left_out] == []


class Visitor:
    """A person with a browser of those days: cookies, forms and pages."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._jar = CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._jar))

    def get(self, path: str) -> str:
        with self._opener.open(self.url + path, timeout=60) as answer:
            return str(answer.read().decode())

    def post(self, path: str, **form: str) -> str:
        token = next(cookie.value or "" for cookie in self._jar if cookie.name == "csrftoken")
        data = urllib.parse.urlencode({**form, "csrfmiddlewaretoken": token}).encode()
        request = urllib.request.Request(
            self.url + path, data, {"Origin": self.url, "Referer": f"{self.url}/"}
        )
        with self._opener.open(request, timeout=60) as answer:
            return str(answer.read().decode())

    def ended(self, path: str) -> tuple[str, str]:
        """The id and the state of the last reply of the chat, once it has ended."""
        until = time.monotonic() + 120
        while time.monotonic() < until:
            found = _REPLY.findall(self.get(path))
            if found and found[-1][1] not in ("queued", "running"):
                return found[-1]
            time.sleep(0.1)
        raise AssertionError("The reply did not end.")


@contextmanager
def serving(code: Path, env: dict[str, str], log: Path) -> Iterator[str]:
    """The address of a server that asks nothing about migrations at its start, as one that has started before
    them. (`serve` refuses a database that is newer than its code.)"""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with log.open("wb") as output:
        server = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "daphne",
                "-b",
                "127.0.0.1",
                "-p",
                str(port),
                "chatproject.asgi:application",
            ],
            cwd=code,
            env=env,
            stdout=output,
            stderr=output,
        )
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until and server.poll() is None:
            with contextlib.suppress(urllib.error.URLError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=60).close()
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def test_a_process_of_the_previous_release_continues_after_the_migration(
    previous: Path, env: dict[str, str], tmp_path: Path
) -> None:
    manage(previous, env, "migrate", "--verbosity=0")
    before = columns(env)
    manage(ROOT, env, "migrate", "--verbosity=0")
    check_columns(before, columns(env))
    if "DATABASE_URL" not in env:
        return  # One process has a SQLite file. It ends before the next one migrates.
    manage(ROOT, env, "shell", "--verbosity=0", stdin=_CONTENT)
    log = tmp_path / "server.log"
    with serving(previous, env, log) as url:
        ada = Visitor(url)
        try:
            ada.get("/accounts/login/")
            page = ada.post("/accounts/login/", login=EMAIL, password=PASSWORD)
            model = re.findall(r'<option value="(\d+)"', page)[0]
            chat = f"/conversations/{uuid4()}/"
            ada.get(chat)
            ada.post(f"{chat}messages/", client_id=str(uuid4()), text="Hello", model=model)
            reply, status = ada.ended(chat)
            assert status == "complete"
            ada.post(f"/messages/{reply}/generations/")
            again, status = ada.ended(chat)
            assert (status, again == reply) == ("complete", False)
            ada.post(f"/messages/{again}/feedback/", good="1")
            ada.post(f"{chat}messages/", client_id=str(uuid4()), text="And more", model=model)
            last, status = ada.ended(chat)
            assert (status, last == again) == ("complete", False)
            ada.post(f"/messages/{last}/", _method="delete")
            ada.post(f"/messages/{last}/restoration/")
            assert ada.ended(chat) == (last, "complete")
            transcripts = ada.get("/admin/chat/conversation/?q=Hello")
            assert chat.split("/")[2] in transcripts
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{error.url} {error.code}\n{log.read_text()[-4000:]}") from error
