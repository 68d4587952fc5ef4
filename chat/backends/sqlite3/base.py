"""Django's SQLite backend. Each connection, statement and commit checks that the file is still there, and the
transactions of a process take SQLite's lock in the order in which they asked for it."""

from __future__ import annotations

from typing import Any

from django.db.backends.sqlite3 import base

from chat.backends import held_file
from chat.backends.queue_lock import QueueLock

_LONG, _MOST = 8 * 1024, 1000  # characters of a statement, and the number of statements
_converted: dict[str, str] = {}
_lock = QueueLock()


class _Cursor(base.SQLiteCursorWrapper):
    """Translates the marks of values once for each statement."""

    def convert_query(self, query: str, *, param_names: Any = None) -> Any:
        if param_names is not None or len(query) > _LONG:
            return super().convert_query(query, param_names=param_names)
        converted = _converted.get(query)
        if converted is None:
            if len(_converted) >= _MOST:
                _converted.clear()
            converted = _converted[query] = super().convert_query(query)
        return converted


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
        return self.connection.cursor(factory=_Cursor)

    def _savepoint(self, sid: str) -> None:
        self._execute_at_once(self.ops.savepoint_create_sql(sid))

    def _savepoint_rollback(self, sid: str) -> None:
        self._execute_at_once(self.ops.savepoint_rollback_sql(sid))

    def _savepoint_commit(self, sid: str) -> None:
        self._execute_at_once(self.ops.savepoint_commit_sql(sid))

    def _execute_at_once(self, statement: str) -> None:
        """Executes a statement without values or results, without the layers of a cursor."""
        self._require_file()
        with self.wrap_database_errors:
            self.connection.execute(statement)

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
