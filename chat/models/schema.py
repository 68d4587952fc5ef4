"""The number of the database's schema. It tells whether a database fits this code, also after migrations were
squashed: their names cannot."""

from __future__ import annotations

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.migrations.recorder import MigrationRecorder

NUMBER = 31  # The number of the newest migration of `chat`: raise it with each one.

_NEWER = (
    "The database is newer than this version of Steady: its schema has the number {number}, and this version "
    "knows {known}. Go back to the newer version, or restore the backup made before the upgrade "
    "(docs/upgrade.md)."
)
_BEFORE_THE_FIRST_RELEASE = (
    "The database was made by a development version of Steady, from before the first release, and cannot be "
    "upgraded. Nothing in it was changed. Start with an empty database: move this one away, or set "
    "STEADY_DATA_DIR or DATABASE_URL to another one. To keep its chats, export them with the version that "
    "made it (docs/upgrade.md)."
)


class Schema(models.Model):
    """One row: the highest `NUMBER` of the code that has migrated this database."""

    number = models.PositiveIntegerField()

    class Meta:
        verbose_name = "schema"

    def __str__(self) -> str:
        return str(self.number)


class UnsuitableDatabaseError(Exception):
    """The database does not fit this code. `str(error)` says why and what to do. `is_newer` is False for a
    database from before the first release."""

    def __init__(self, words: str, *, is_newer: bool) -> None:
        super().__init__(words)
        self.is_newer = is_newer


def check_schema(using: str = DEFAULT_DB_ALIAS) -> None:
    """Raises `UnsuitableDatabaseError`. Accepts an empty database and one of an older release. Only reads."""
    connection = connections[using]
    if not any(app == "chat" for app, _ in MigrationRecorder(connection).applied_migrations()):
        return
    with connection.cursor() as cursor:
        has_number = Schema._meta.db_table in connection.introspection.table_names(cursor)
    if not has_number:
        raise UnsuitableDatabaseError(_BEFORE_THE_FIRST_RELEASE, is_newer=False)
    number = max(Schema.objects.using(using).values_list("number", flat=True), default=0)
    if number > NUMBER:
        raise UnsuitableDatabaseError(_NEWER.format(number=number, known=NUMBER), is_newer=True)


def record_schema(using: str = DEFAULT_DB_ALIAS) -> None:
    """Writes down that this code has migrated the database. Older code lowers no number."""
    rows = Schema.objects.using(using)
    rows.bulk_create([Schema(pk=1, number=NUMBER)], ignore_conflicts=True)
    rows.filter(number__lt=NUMBER).update(number=NUMBER)
