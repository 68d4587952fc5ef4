"""Which errors a start waits for, and which end it."""

from __future__ import annotations

from threading import Timer

import psycopg
import pytest
from django.db import connection

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
