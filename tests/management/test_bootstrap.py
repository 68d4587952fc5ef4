"""Which errors a start waits for, and which end it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Timer

import psycopg
import pytest
from django.db import connection
from pytest_django.fixtures import Settings

from chat.management import bootstrap
from tests.conftest import POSTGRES_URL


@pytest.mark.needs_postgres
@pytest.mark.django_db(transaction=True)
def test_a_start_waits_for_the_migrations_of_another_however_long_they_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("One process has a SQLite database.")
    short = "-c lock_timeout=200ms -c statement_timeout=300ms"
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "options", short)
    name = connection.settings_dict["NAME"]
    with psycopg.connect(POSTGRES_URL, dbname=name, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [bootstrap._LOCK])
        released: list[bool] = []

        def release() -> None:
            released.append(True)
            other.execute("SELECT pg_advisory_unlock(%s)", [bootstrap._LOCK])

        done = Timer(1.0, release)
        done.start()
        with bootstrap.alone():
            assert released
        done.join()


def test_processes_that_start_at_once_collect_static_files_once(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path
) -> None:
    settings.STATIC_ROOT = tmp_path / "static"
    collections, both_wait = [], Event()

    def collect(*_: object, **__: object) -> None:
        collections.append(1)
        both_wait.wait(60)

    looked: list[str] = []

    def fingerprint() -> str:
        looked.append("")
        return "the same files"

    monkeypatch.setattr(bootstrap, "call_command", collect)
    monkeypatch.setattr(bootstrap, "_static_fingerprint", fingerprint)
    with ThreadPoolExecutor(2) as threads:
        starts = [threads.submit(bootstrap.collect_static) for _ in range(2)]
        until = time.monotonic() + 60
        while len(looked) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        both_wait.set()
        assert sorted(start.result() for start in starts) == [False, True]
    assert collections == [1]
