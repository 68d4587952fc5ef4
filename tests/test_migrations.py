"""The number of the schema: which databases this code accepts."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from chat.models.schema import NUMBER, Schema, record_schema
from tests.conftest import POSTGRES_URL
from tests.forked import run
from tests.servers import ROOT
from tests.services import fresh_database

# The migrations of a database from before the first release: the first one has the name of today's.
_DEVELOPMENT = [
    "0001_initial",
    "0002_catalog_audit",
    "0003_page",
    "0004_model_abilities",
    "0005_streaming_styles",
    "0006_demo_last",
    "0007_transcript_searches",
    "0008_provider_answer",
    "0009_send_key",
    "0010_batches_and_context",
    "0011_probe",
    "0012_housekeeping",
    "0013_honest_failures",
    "0014_audit_chain",
    "0015_log_in_throttle",
    "0016_revisions",
]
_TABLES = (
    "CREATE TABLE django_migrations (id integer PRIMARY KEY, app varchar(255) NOT NULL,"
    " name varchar(255) NOT NULL, applied timestamp)",
    "CREATE TABLE chat_conversation (id char(32) PRIMARY KEY, title varchar(200), version bigint NOT NULL)",
    "INSERT INTO chat_conversation VALUES ('1', 'Kept', 3)",
)


def _statements() -> list[str]:
    """What makes such a database, with a chat in it."""
    others = [key for key in MigrationLoader(None).disk_migrations or () if key[0] != "chat"]
    applied = [*others, *(("chat", name) for name in _DEVELOPMENT)]
    rows = [f"({n}, '{app}', '{name}', CURRENT_TIMESTAMP)" for n, (app, name) in enumerate(applied)]
    return [*_TABLES, f"INSERT INTO django_migrations VALUES {', '.join(rows)}"]


@pytest.mark.django_db
def test_a_migrated_database_has_the_number_of_the_newest_migration() -> None:
    newest = [name for app, name in MigrationLoader(connection).graph.leaf_nodes() if app == "chat"]
    assert [int(name.partition("_")[0]) for name in newest] == [NUMBER]
    record_schema()
    assert Schema.objects.get().number == NUMBER


def _schema(way: str, env: dict[str, str]) -> tuple[int, dict[str, object]]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.new_database", way],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "chatproject.settings", **env},
        check=True,
        capture_output=True,
        text=True,
    )
    count, found = json.loads(done.stdout)
    return count, found


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=pytest.mark.needs_postgres)])
def test_a_new_database_is_the_same_as_one_that_had_all_migrations(database: str, tmp_path: Path) -> None:
    found = []
    for way in ("one by one", "at once"):
        with contextlib.ExitStack() as stack:
            env = {"STEADY_DATA_DIR": str(tmp_path / way)}
            (tmp_path / way).mkdir()
            if database == "postgres":
                env["DATABASE_URL"] = stack.enter_context(fresh_database(POSTGRES_URL))
            count, schema = _schema(way, env)
            assert count >= NUMBER
            assert len(schema) > 35
            found.append(schema)
    one_by_one, at_once = found
    for table in one_by_one.keys() | at_once.keys():
        assert one_by_one.get(table) == at_once.get(table), table


@pytest.mark.django_db
def test_older_code_does_not_lower_the_number_and_migrates_nothing() -> None:
    record_schema()
    Schema.objects.update(number=NUMBER + 1)
    record_schema()
    assert Schema.objects.get().number == NUMBER + 1
    with pytest.raises(CommandError, match="newer than this version of Steady"):
        call_command("migrate", verbosity=0)


def _manage(env: dict[str, str], *arguments: str) -> tuple[int, str]:
    done = run(arguments, ROOT, {"PATH": os.environ["PATH"], "OLLAMA_URL": "off", **env})
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def _is_refused(env: dict[str, str]) -> None:
    code, words = _manage(env, "serve", "127.0.0.1:0")
    assert code == 2
    assert "made by a development version of Steady, from before the first release" in words
    assert "Start with an empty database" in words and "export" in words
    code, words = _manage(env, "migrate")
    assert code == 1
    assert "from before the first release" in words


def test_a_database_from_before_the_first_release_is_refused_and_not_changed(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "steady.sqlite3")) as database:
        for statement in _statements():
            database.execute(statement)
        database.commit()
        before = list(database.iterdump())
        _is_refused({"STEADY_DATA_DIR": str(tmp_path)})
        assert list(database.iterdump()) == before


@pytest.mark.needs_postgres
def test_postgresql_from_before_the_first_release_is_refused_and_not_changed(tmp_path: Path) -> None:
    def content() -> list[object]:
        with psycopg.connect(url) as database:
            tables = database.execute(
                "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
                " ORDER BY 1, 2"
            ).fetchall()
            chats = database.execute("SELECT * FROM chat_conversation").fetchall()
            return [tables, chats, database.execute("SELECT * FROM django_migrations").fetchall()]

    with fresh_database(POSTGRES_URL) as url:
        with psycopg.connect(url) as database:
            for statement in _statements():
                database.execute(statement)
        before = content()
        _is_refused({"STEADY_DATA_DIR": str(tmp_path), "DATABASE_URL": url})
        assert content() == before
