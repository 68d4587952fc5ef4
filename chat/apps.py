from typing import Any

from django.apps import AppConfig
from django.core.management.base import CommandError
from django.db import connections
from django.db.models.signals import post_migrate, pre_migrate
from django.dispatch import Signal
from django.utils.translation import gettext_lazy as _

from chat.backends import patience


class ChatConfig(AppConfig):
    name = "chat"
    verbose_name = _("Chats, models and people")

    def ready(self) -> None:
        from chat import checks  # noqa: F401  (registers the system checks)

        pre_migrate.connect(_check_schema, sender=self)
        pre_migrate.connect(_take_time, sender=self)
        post_migrate.connect(_take_time, sender=self)
        post_migrate.connect(_record_schema, sender=self)


def _take_time(signal: Signal, using: str, **_: Any) -> None:
    """Removes the time limits of queries for migrations, here and at the server."""
    connection = connections[using]
    if connection.vendor != "postgresql":
        return
    patience.lift(signal is pre_migrate)
    with connection.cursor() as cursor:
        for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            cursor.execute(f"SET {name} = 0" if signal is pre_migrate else f"RESET {name}")


def _check_schema(using: str, **_: Any) -> None:
    from chat.models.schema import UnsuitableDatabaseError, check_schema

    try:
        check_schema(using)
    except UnsuitableDatabaseError as error:
        raise CommandError(str(error)) from error


def _record_schema(using: str, **_: Any) -> None:
    from chat.models.schema import record_schema

    record_schema(using)
