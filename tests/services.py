"""External services for tests: a database on the available PostgreSQL; and the message about a missing
service."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

# Everything, at full length and with realistic durations; takes minutes.
LONG = bool(os.environ.get("STEADY_LONG_FAULTS"))
# The one without a window needs a sixth less CPU.
CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")


def is_missing(reason: str) -> NoReturn:
    """Skips the test. With CI=true it fails, so that nothing is left out."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def fresh_database(server_url: str, *, like: str = "") -> Iterator[str]:
    """Yields the URL of a new database on this server, empty or a copy of the one with the URL `like`. It is
    dropped at the end."""
    name = f"steady_test_{secrets.token_hex(4)}"
    template = sql.Identifier(urlsplit(like).path[1:] or "template1")
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), template))
    try:
        yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
    finally:
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
