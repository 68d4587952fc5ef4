"""`manage.py backup > file` writes a complete copy of the SQLite database, while the server runs. With
`--files` it writes the files of chats instead, as a tar archive, with any database and any storage."""

from __future__ import annotations

import io
import shutil
import sqlite3
import sys
import tarfile
from contextlib import closing
from pathlib import Path
from tempfile import NamedTemporaryFile, SpooledTemporaryFile
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from chat.files import store
from chat.models import StoredFile

_IN_MEMORY = 16 * 1024 * 1024


class Command(BaseCommand):
    help = "Writes a copy of the SQLite database to standard output, or with --files the files of chats."
    requires_system_checks = ()

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--files", action="store_true", help="the files of chats, as a tar archive")

    def handle(self, *args: Any, **options: Any) -> None:
        if sys.stdout.isatty():
            name = "--files > files.tar" if options["files"] else "> steady.sqlite3"
            raise CommandError(f"Say where the copy goes: manage.py backup {name}")
        if options["files"]:
            self._write_files()
            return
        if not settings.SQLITE:
            raise CommandError("The database is PostgreSQL: use pg_dump (docs/deploy.md).")
        self._write_database()

    def _write_database(self) -> None:
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

    def _write_files(self) -> None:
        missing = 0
        with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as archive:
            for file in StoredFile.objects.filter(sha256__isnull=False).order_by("pk").iterator():
                for name in file.paths:
                    try:
                        _add(archive, name)
                    except OSError as error:
                        missing += StoredFile.objects.filter(pk=file.pk, sha256__isnull=False).exists()
                        self.stderr.write(f"{name}: {error}")
        if missing:
            raise CommandError(f"{missing} files could not be read; the others are in the archive.")


def _add(archive: tarfile.TarFile, name: str) -> None:
    """Adds a file of the storage. Its size must be known before its content is written."""
    with SpooledTemporaryFile(_IN_MEMORY) as copy:
        for data in store.chunks(name):
            copy.write(data)
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = copy.tell(), 0o600
        copy.seek(0, io.SEEK_SET)
        archive.addfile(entry, copy)
