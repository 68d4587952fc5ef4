"""Django's SQLite backend. Each connection, statement and commit checks that the file is still there, and the
transactions of a process take SQLite's lock in the order in which they asked for it."""

from __future__ import annotations

from typing import Any

from django.db.backends.sqlite3 import base

from chat.backends import held_file
from chat.backends.queue_lock import QueueLock

_lock = QueueLock()


class DatabaseWrapper(base.DatabaseWrapper):
    """`has_committed` is set by each commit, and reset by its reader."""

    transaction_mode: str | None
    has_committed = False
    _has_lock = False

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        self._require_file()  # otherwise SQLite creates a new one
        return super().get_new_connection(conn_params)

    def create_cursor(self, name: str | None = None) -> Any:
        self._require_file()
        return super().create_cursor(name)

    def _start_transaction_under_autocommit(self) -> None:
        if self.transaction_mode == "IMMEDIATE" and not self._has_lock:
            # SQLite's own waiting polls with pauses, so a busy thread would always be faster than all others.
            [milliseconds] = self.connection.execute("PRAGMA busy_timeout").fetchone()
            self._has_lock = _lock.acquire(milliseconds / 1000)
            if not self._has_lock:
                with self.wrap_database_errors:
                    raise self.Database.OperationalError("database is locked")
        try:
            super()._start_transaction_under_autocommit()  # type: ignore[misc]
        except BaseException:
            self._release_lock()
            raise

    def _commit(self) -> None:
        super()._commit()  # type: ignore[misc]
        self.has_committed = True
        self._release_lock()
        # After the commit: acknowledged data was written while the file was at its path.
        with self.wrap_database_errors:
            self._require_file()

    def _rollback(self) -> None:
        super()._rollback()  # type: ignore[misc]
        self._release_lock()

    def _close(self) -> None:
        try:
            super()._close()  # type: ignore[misc]
        finally:
            self._release_lock()

    def _release_lock(self) -> None:
        if self._has_lock:
            self._has_lock = False
            _lock.release()

    def _require_file(self) -> None:
        if held_file.is_gone(self.settings_dict["NAME"]):
            raise self.Database.OperationalError(held_file.GONE)
