"""`manage.py backup --all > steady.tar` writes a SQLite database and the files of chats, while the server is
running too. Without an option it writes the database alone. With `--files` it writes the files alone, of any
database, from a folder or a bucket. `manage.py restore_files` puts files back."""

from __future__ import annotations

import io
import shutil
import sqlite3
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile, SpooledTemporaryFile
from typing import IO, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection
from django.db.models import Count, Sum

from chat.files import store
from chat.models import StoredFile

DATABASE, FOLDER = "steady.sqlite3", "files/"  # in the archive, as in the data directory
IN_MEMORY = 16 * 1024 * 1024  # bytes of a file; a larger one is copied on the disk


class Command(BaseCommand):
    help = "Writes a copy of the SQLite database to standard output, with --all also the files of chats."
    requires_system_checks = ()

    def add_arguments(self, parser: Any) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--all", action="store_true", help="the database and the files, as a tar archive")
        what.add_argument("--files", action="store_true", help="the files of chats alone, as a tar archive")

    def handle(self, *args: Any, **options: Any) -> None:
        if sys.stdout.isatty():
            name = "--files > files.tar" if options["files"] else "--all > steady.tar"
            raise CommandError(f"Say where the copy goes: manage.py backup {name}")
        if options["files"]:
            with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as archive:
                missing = self._add_files(archive)
            _check(missing)
            return
        if not settings.SQLITE:
            raise CommandError(
                "The database is PostgreSQL: use pg_dump, and manage.py backup --files (docs/deploy.md)."
            )
        if options["all"]:
            self._write_all()
        else:
            with _copy_of_database() as copy:
                shutil.copyfileobj(copy, sys.stdout.buffer)
            self._warn_about_files()

    def _write_all(self) -> None:
        """The files follow the database: so the archive has every file of the chats in it, but those that are
        deleted for good meanwhile."""
        with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as archive:
            with _copy_of_database() as copy:
                _add(archive, copy, DATABASE)
            missing = self._add_files(archive, FOLDER)
        _check(missing)

    def _warn_about_files(self) -> None:
        try:
            found = StoredFile.objects.filter(sha256__isnull=False).aggregate(
                number=Count("pk"), size=Sum("size")
            )
        except DatabaseError:  # of a release without files
            return
        if found["number"]:
            size = -(-found["size"] // 1024**2)
            self.stderr.write(
                f"This is the database alone. {found['number']} files of chats ({size} MB) are not in it. "
                "With them: manage.py backup --all > steady.tar"
            )

    def _add_files(self, archive: tarfile.TarFile, folder: str = "") -> int:
        """Returns how many could not be read. Raises OSError if the archive cannot be written."""
        missing = 0
        files = StoredFile.objects.filter(sha256__isnull=False).order_by("pk")
        # All at once: an open query would keep the server from shortening its write-ahead log meanwhile.
        for pk, *names in list(files.values_list("pk", "path", "thumbnail", "readable")):
            for name in filter(None, names):
                with SpooledTemporaryFile(IN_MEMORY) as copy:
                    try:
                        for data in store.chunks(name):
                            copy.write(data)
                    except OSError as error:
                        missing += files.filter(pk=pk).exists()
                        self.stderr.write(f"{name}: {error}")
                    else:
                        _add(archive, copy, folder + name)
        return missing


def _check(missing: int) -> None:
    if missing:
        raise CommandError(f"{missing} files could not be read; the others are in the archive.")


@contextmanager
def _copy_of_database() -> Iterator[IO[bytes]]:
    """Returns a file with a copy of the SQLite database."""
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
        yield copy


def _add(archive: tarfile.TarFile, copy: IO[bytes], name: str) -> None:
    """Adds a file. Its size must be known before its content is written."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = copy.seek(0, io.SEEK_END), 0o600, int(time.time())
    copy.seek(0)
    archive.addfile(entry, copy)
