"""A restart of PostgreSQL under a running server causes no failed page."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import psycopg
import pytest

from tests.conftest import POSTGRES_URL
from tests.servers import ServerProcess
from tests.services import fresh_database

pytestmark = pytest.mark.needs_postgres


def test_after_all_connections_are_lost_the_next_page_is_served(tmp_path: Path) -> None:
    with fresh_database(POSTGRES_URL) as database:
        server = ServerProcess(tmp_path / "data", {"DATABASE_URL": database}).start()
        try:
            with psycopg.connect(POSTGRES_URL, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                    [database.rsplit("/", 1)[1]],
                )
            for _ in range(6):
                with urllib.request.urlopen(f"{server.url}/accounts/login/", timeout=60) as page:
                    assert page.status == 200
                with urllib.request.urlopen(f"{server.url}/readyz", timeout=60) as page:
                    assert page.status == 200
        finally:
            server.stop()
