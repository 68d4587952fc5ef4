"""The index that speeds up the transcript search on PostgreSQL.

It is not a migration: it needs the extension pg_trgm, which may be missing, and is built without blocking
writes, which is impossible in a transaction. Without it the search has the same results and is slow.
"""

from __future__ import annotations

import logging

from django.db import DatabaseError, connection

from chat.backends import patience
from chat.models import Message

NAME = "chat_message_text_trigrams"

logger = logging.getLogger(__name__)


def ensure_search_index() -> bool:
    """Builds the index if it is missing. Returns whether it did. Must not run inside a transaction."""
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
            logger.info(
                "The transcript search has no index, because the database has no pg_trgm (%s).", error
            )
            return False
        cursor.execute("SET statement_timeout = 0")
        patience.lift(True)
        try:
            if found:  # left unfinished by a process that ended
                cursor.execute(f"DROP INDEX CONCURRENTLY {NAME}")
            cursor.execute(
                # The expression of Django's `icontains`.
                f"CREATE INDEX CONCURRENTLY {NAME} ON {Message._meta.db_table}"
                " USING gin (UPPER(text::text) gin_trgm_ops)"
            )
        finally:
            patience.lift(False)
            cursor.execute("RESET statement_timeout")
    logger.info("The transcript search has an index now.")
    return True
