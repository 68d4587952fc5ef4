"""Prepares what the server needs: the data directory, the database, static files.

Every step is idempotent and costs next to nothing if there is nothing to do. Must not know of HTTP.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import resource
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.db import DatabaseError, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor

from chat.backends import held_file
from chat.management.errors import StartError
from chat.models.schema import UnsuitableDatabaseError, check_schema, record_schema

_LOCK = 0x57EAD1  # an arbitrary number that only Steady uses in its database
_CONNECT_SECONDS = 5
_OPEN_FILES = 65_536
_BACKUP_SECONDS = 24 * 3600.0  # older ones are not being written any more

# The lock of this process on its SQLite database. The operating system releases it when the process ends,
# also after kill -9.
_lock_file: IO[str] | None = None


def prepare_directories() -> None:
    """Creates the data directory, and hides files created from now on from other users of this machine.
    Raises `StartError` if it cannot be created or written."""
    os.umask(0o077)
    _allow_open_files()
    try:
        settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(_unwritable(settings.DATA_DIR), code=2) from error
    if not os.access(settings.DATA_DIR, os.W_OK | os.X_OK):
        raise StartError(_unwritable(settings.DATA_DIR), code=2)
    if settings.SQLITE:
        database = Path(connection.settings_dict["NAME"])
        _restrict_to_owner(database)
        _remove_abandoned_backups(database.parent)


def _allow_open_files() -> None:
    """Raises the limit of open files to the maximum for this process. Each open page uses a connection."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (min(most, _OPEN_FILES) if most > 0 else _OPEN_FILES, most)
        )


def _remove_abandoned_backups(folder: Path) -> None:
    """Deletes the files of killed backups, from versions that wrote a backup to a folder of its own."""
    for left in folder.glob(".backup-*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _BACKUP_SECONDS:
                shutil.rmtree(left)


def _restrict_to_owner(database: Path) -> None:
    """Lets only the owner read a file that everyone on this machine may read. A right of the group alone is
    intended, and kept."""
    for suffix in ("", "-wal", "-shm", ".lock"):
        with suppress(OSError):  # The file does not exist or belongs to another user.
            path = Path(f"{database}{suffix}")
            if path.stat().st_mode & 0o007:
                path.chmod(0o600)


def lock_sqlite() -> None:
    """Locks the database for this process until it ends. SQLite serves exactly one server process, because
    two processes cannot communicate without Redis. Raises `StartError` if another process has the lock."""
    global _lock_file
    if not settings.SQLITE or _lock_file is not None:
        return
    path = Path(f"{connection.settings_dict['NAME']}.lock")
    try:
        lock = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise StartError(_unwritable(path.parent), code=2) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.seek(0)
        owner = lock.read().strip()
        lock.close()
        raise StartError(
            f"Another Steady server (process {owner or 'unknown'}) is using {path.with_suffix('')}. "
            "Stop it first. To run several servers, use PostgreSQL and Redis: docs/deploy.md."
        ) from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    _lock_file = lock


def prepare_database() -> str:
    """Runs the migrations if needed. Returns a description of what was done, "" for nothing. Several
    processes may call this at the same time. Raises `StartError` if the database is locked, unreachable,
    newer than this code, or older than the first release."""
    try:
        with alone():
            executor = MigrationExecutor(connection)
            is_new = not executor.loader.applied_migrations
            check_schema()
            if not executor.migration_plan(executor.loader.graph.leaf_nodes()):
                record_schema()  # The process that migrated may have ended before it.
                return ""
            call_command("migrate", interactive=False, verbosity=0)
            return (
                f"A new database was made {_database_place()}." if is_new else "The database is up to date."
            )
    except UnsuitableDatabaseError as error:
        raise StartError(str(error), code=1 if error.is_newer else 2) from error
    except DatabaseError as error:
        raise StartError(database_words(error)) from error
    finally:
        connection.close()


def hold_sqlite_file() -> None:
    """Refuses all writes from now on, and thus all acknowledgements, after the file of the SQLite database is
    deleted or replaced."""
    if settings.SQLITE:
        held_file.hold(connection.settings_dict["NAME"])


@contextmanager
def alone() -> Iterator[None]:
    """Lets one process at a time prepare the database, in the block. Checks before that it can be written,
    with a connection of its own, because the pool would try for 30 s. Raises `DatabaseError`."""
    with _direct_connection() as direct, direct.cursor() as cursor:
        if direct.vendor == "postgresql":
            # Another process may run migrations, which have no time limit.
            cursor.execute("SET lock_timeout = 0; SET statement_timeout = 0")
            cursor.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        else:
            cursor.execute("BEGIN IMMEDIATE")
            cursor.execute("ROLLBACK")
        yield


def collect_static() -> bool:
    """Collects static files if they or their storage have changed. Returns True if it did."""
    root = Path(settings.STATIC_ROOT)
    stamp = root / ".fingerprint"
    fingerprint = _static_fingerprint()
    try:
        if stamp.exists() and stamp.read_text(encoding="utf-8") == fingerprint:
            return False
        root.mkdir(parents=True, exist_ok=True)
        with (root / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Another process may have collected them meanwhile, and may read them now.
            if stamp.exists() and stamp.read_text(encoding="utf-8") == fingerprint:
                return False
            call_command("collectstatic", interactive=False, verbosity=0)
            stamp.write_text(fingerprint, encoding="utf-8")
    except OSError as error:
        raise StartError(_unwritable(root), code=2) from error
    return True


@contextmanager
def _direct_connection() -> Iterator[BaseDatabaseWrapper]:
    options = {key: value for key, value in connection.settings_dict["OPTIONS"].items() if key != "pool"}
    options["timeout" if settings.SQLITE else "connect_timeout"] = _CONNECT_SECONDS
    settings_dict = {**connection.settings_dict, "OPTIONS": options}
    direct = type(connections["default"])(settings_dict, "default")
    try:
        yield direct
    finally:
        direct.close()


def _static_fingerprint() -> str:
    """Returns a value that changes with any static file and with their storage. Compares content: the files
    of an image have other times than the originals."""
    digest = hashlib.sha256(repr((settings.STORAGES["staticfiles"], settings.STATIC_URL)).encode())
    for finder in get_finders():
        for name, storage in finder.list(None):
            content = hashlib.sha256(Path(storage.path(name)).read_bytes()).hexdigest()
            digest.update(f"{name} {content}\n".encode())
    return digest.hexdigest()


def _database_place() -> str:
    name = connection.settings_dict["NAME"]
    if settings.SQLITE:
        return f"at {Path(name).absolute()}"
    return f"in {name} on {connection.settings_dict['HOST'] or 'this machine'}"


def _unwritable(path: Path) -> str:
    return (
        f"{path} cannot be written. Give the server's user the right to write there, or set "
        "STEADY_DATA_DIR to another place."
    )


def database_words(error: DatabaseError) -> str:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if "locked" in reason:
        return (
            "The database is locked by another program, perhaps a backup or another Steady. "
            "Wait until it is done, then start again."
        )
    return (
        f"The database cannot be used ({reason}). Check DATABASE_URL, that the database is running, "
        "and that the server's user may write to it."
    )
