"""`manage.py restore_files < steady.tar` puts the files of a backup back, into the folder or the bucket where
this server keeps files. It takes what the database refers to and nothing else, and says what is missing and
what is damaged."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tarfile
from tempfile import SpooledTemporaryFile
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from chat.files import store
from chat.management.commands.backup import FOLDER, IN_MEMORY
from chat.models import StoredFile


class Command(BaseCommand):
    help = "Reads an archive of `backup --all` or `backup --files` from standard input, and stores its files."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        if sys.stdin.isatty():
            raise CommandError("Say where the archive is: manage.py restore_files < steady.tar")
        files = StoredFile.objects.filter(sha256__isnull=False)
        # The SHA-256 of a file; "" for what was made from it.
        wanted = {
            name: file.sha256 if name == file.path else "" for file in files.iterator() for name in file.paths
        }
        number, damaged = 0, []
        try:
            with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as archive:
                for entry in archive:
                    name = entry.name.removeprefix(FOLDER)
                    content = archive.extractfile(entry) if entry.isreg() and name in wanted else None
                    if content is not None:
                        with SpooledTemporaryFile(IN_MEMORY) as copy:  # a bucket's client reads it twice
                            shutil.copyfileobj(content, copy)
                            copy.seek(0)
                            if (
                                wanted[name]
                                and hashlib.file_digest(copy, "sha256").hexdigest() != wanted[name]
                            ):
                                damaged.append(name)
                                continue
                            copy.seek(0)
                            store.restore(name, copy)
                        del wanted[name]
                        number += 1
        except tarfile.TarError as error:
            raise CommandError(f"The archive cannot be read: {error}.") from error
        except OSError as error:
            raise CommandError(f"A file could not be stored: {error}.") from error
        missing = sorted(name for name in wanted if not store.exists(name))
        self.stdout.write(f"{number} stored. {len(missing)} are missing.")
        if damaged:
            raise CommandError("\n".join(["Damaged in the archive, so not stored:", *sorted(damaged)]))
        if missing:
            raise CommandError("\n".join(["Neither in the archive nor in the storage:", *missing]))
