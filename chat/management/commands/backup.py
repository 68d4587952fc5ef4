"""`manage.py backup > file` writes a complete copy of the SQLite database, while the server runs."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection


class Command(BaseCommand):
    help = "Writes a copy of the SQLite database to standard output."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.SQLITE:
            raise CommandError("The database is PostgreSQL: use pg_dump (docs/deploy.md).")
        if sys.stdout.isatty():
            raise CommandError("Say where the copy goes: manage.py backup > steady.sqlite3")
        database = Path(connection.settings_dict["NAME"])
        # Beside the original, where there is space for it, readable for its owner only (mode 600). Its name
        # is deleted before it has content, so a backup killed at any time leaves no user data behind.
        with NamedTemporaryFile(prefix=".backup-", dir=database.parent, delete=False) as copy:
            try:
                target = sqlite3.connect(copy.name)
            finally:
                Path(copy.name).unlink()
            with closing(target), closing(sqlite3.connect(database)) as source:
                target.execute("PRAGMA journal_mode = OFF")  # no second file, which would need the name
                source.backup(target)
            shutil.copyfileobj(copy, sys.stdout.buffer)
