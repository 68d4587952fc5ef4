"""Makes the test database as a copy of one with all tables, and empties it between tests. Django would run
all migrations, and `flush`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from django.db import connection, transaction
from django.test import TransactionTestCase

from tests.servers import prepared_file, store_prepared

# What `migrate` writes. Tests leave it as it is.
_KEPT = {"auth_permission", "chat_schema", "django_content_type"}


def create_quickly() -> None:
    """Makes SQLite's test database a copy of that of an earlier run, which saves 5 s of CPU. `migrate`
    follows and finds all tables. Tests that start a server with an empty database try the migrations."""
    create = connection.creation._create_test_db

    def copy(*args: Any, **options: Any) -> Any:
        name = create(*args, **options)
        for rest in ("-wal", "-shm"):  # of a process that was killed
            Path(name + rest).unlink(missing_ok=True)
        if (prepared := prepared_file("tests")).exists():
            shutil.copy(prepared, name)
        return name

    connection.creation._create_test_db = copy  # type: ignore[method-assign]


def keep_tables() -> None:
    """Keeps the new test database for later runs, and for the other workers that have not begun theirs."""
    prepared = prepared_file("tests")
    if not prepared.exists():
        file = prepared.parent / f"new-{os.getpid()}"
        with connection.cursor() as cursor:
            cursor.execute("VACUUM INTO %s", [str(file)])
        store_prepared(file, prepared)


def empty_quickly() -> None:
    """Makes a test with transactions delete the rows it has left. By default Django runs `flush`, which
    creates all content types and permissions again (45 ms of CPU) and on PostgreSQL truncates 60 tables."""
    TransactionTestCase._fixture_teardown = _delete_rows  # type: ignore[method-assign]


def _delete_rows(_test: TransactionTestCase) -> None:
    quoted = [connection.ops.quote_name(table) for table in sorted(_tables())]
    with connection.cursor() as cursor:
        cursor.execute("SELECT " + ", ".join(f"EXISTS (SELECT 1 FROM {table})" for table in quoted))
        used = [table for table, has_rows in zip(quoted, cursor.fetchone(), strict=True) if has_rows]
        # Foreign keys are checked at the end of a transaction, so the order is of no importance.
        with transaction.atomic():
            for table in used:
                cursor.execute(f"DELETE FROM {table}")


def _tables() -> set[str]:
    return set(connection.introspection.django_table_names(include_views=False)) - _KEPT
