"""Django's SQLite backend. Each connection, statement and commit checks that the file is still there."""

from __future__ import annotations

from typing import Any

from django.db.backends.sqlite3 import base

from chat.backends import held_file


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        self._require_file()  # otherwise SQLite creates a new one
        return super().get_new_connection(conn_params)

    def create_cursor(self, name: str | None = None) -> Any:
        self._require_file()
        return super().create_cursor(name)

    def _commit(self) -> None:
        super()._commit()  # type: ignore[misc]
        # After the commit: acknowledged data was written while the file was at its path.
        with self.wrap_database_errors:
            self._require_file()

    def _require_file(self) -> None:
        if held_file.is_gone(self.settings_dict["NAME"]):
            raise self.Database.OperationalError(held_file.GONE)
