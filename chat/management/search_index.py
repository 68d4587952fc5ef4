"""The index that makes the search in transcripts quick on PostgreSQL.

Not a migration: it needs the extension pg_trgm, which not every database may have, and is built without
keeping anybody from writing, which no transaction can do. Without it the search finds the same, slowly.
"""

from __future__ import annotations

import logging

from django.db import DatabaseError, connection

from chat.backends import patience
from chat.models import Message

NAME = "chat_message_text_trigrams"

logger = logging.getLogger(__name__)


def ensure_search_index() -> bool:
    """Builds the index where there is none; whether it has. Never inside a transaction."""
    if connection.vendor != "postgresql":
        return False
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE relname = %s",
            [NAME],
        )
        found = cursor.fetchone()
        if found == (True,):
            return False
        try:
            cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        except DatabaseError as error:
            logger.info("The search in transcripts has no index: this database has no pg_trgm (%s).", error)
            return False
        cursor.execute("SET statement_timeout = 0")
        patience.lift(True)
        try:
            if found:  # left half-built by a process that ended
                cursor.execute(f"DROP INDEX CONCURRENTLY {NAME}")
            cursor.execute(
                # As Django writes `icontains`.
                f"CREATE INDEX CONCURRENTLY {NAME} ON {Message._meta.db_table}"
                " USING gin (UPPER(text::text) gin_trgm_ops)"
            )
        finally:
            patience.lift(False)
            cursor.execute("RESET statement_timeout")
    logger.info("The search in transcripts has an index now.")
    return True
