"""Migrates an empty database, and prints what it consists of as JSON.

    python -m tests.new_database "one by one" | "at once"     with all migrations, or with the squashed one

Columns may be in another order. A constraint or index without a name of its own is listed without one.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import django

GENERATED = re.compile(r"_[0-9a-f]{8}(_|$)|^__unnamed|^fk_|linecall|queuedcall")  # by Django or SQLite
SQUASHED = ("chat", "0030_schema")


def migrate(way: str) -> int:
    """Returns how many migrations of `chat` are applied then."""
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    if way == "one by one":
        executor.loader.replace_migrations = False
        executor.loader.build_graph()
    leaves = executor.loader.graph.leaf_nodes()
    executor.migrate([leaf for leaf in leaves if way == "at once" or leaf != SQUASHED])
    return sum(app == "chat" for app, _ in executor.recorder.applied_migrations())


def tables(cursor: Any) -> dict[str, Any]:
    from django.db import connection

    found = {}
    for table in connection.introspection.get_table_list(cursor):
        if not table.name.startswith("chat_") or table.type != "t":
            continue
        columns = connection.introspection.get_table_description(cursor, table.name)
        rules = connection.introspection.get_constraints(cursor, table.name)
        found[table.name] = [
            sorted([it.name, it.type_code, it.display_size, it.null_ok, it.default] for it in columns),
            sorted(
                json.dumps(["" if GENERATED.search(name) else name, rule], default=str, sort_keys=True)
                for name, rule in rules.items()
            ),
        ]
    return found


def statements(cursor: Any) -> dict[str, Any]:
    """Returns what Django's introspection does not show: checks, conditions, triggers."""
    from django.db import connection

    if connection.vendor == "sqlite":
        cursor.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' OR sql LIKE 'CREATE VIRTUAL%'"
        )
        written = sorted(cursor.fetchall())
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND name LIKE 'chat_%'")
        indexes = sorted(sql.partition(" ON ")[2] for _, sql in cursor.fetchall() if sql)
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name LIKE 'chat_%'")
        made = dict(cursor.fetchall())
        checks = {name: _checks(sql) for name, sql in made.items()}
        keys = {}
        for name in made:
            cursor.execute(
                f'SELECT "table", "from", "to", on_delete FROM pragma_foreign_key_list(\'{name}\')'
            )
            keys[name] = sorted(cursor.fetchall())
        return {"written": written, "indexes": indexes, "checks": checks, "keys": keys}
    cursor.execute(
        "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conrelid::regclass::text LIKE 'chat_%' ORDER BY 1, 2"
    )
    rules = cursor.fetchall()
    cursor.execute("SELECT indexdef FROM pg_indexes WHERE tablename LIKE 'chat_%'")
    indexes = sorted(sql.partition(" ON ")[2] for (sql,) in cursor.fetchall())
    return {"rules": rules, "indexes": indexes}


def _checks(sql: str) -> list[str]:
    """Returns the conditions of a table, without the brackets at their end: the last one ends the
    statement."""
    return sorted(found.rstrip(")") for found in re.findall(r"CHECK (.*?)(?:,|$)", sql))


def main() -> None:
    django.setup()
    from django.db import connection

    count = migrate(sys.argv[1])
    with connection.cursor() as cursor:
        found = tables(cursor) | statements(cursor)
    print(json.dumps([count, found], default=str, sort_keys=True))


if __name__ == "__main__":
    main()
