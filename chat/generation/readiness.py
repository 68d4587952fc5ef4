"""Decides whether this process is ready for requests. Each check describes its fault in words.

The checks read values in memory. Only the database check makes a real write. All requests within one second
share the result of that write. The write has its own thread and a deadline, so an unreachable database does
not delay other work.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import time
from collections.abc import Callable

from django.db import DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.models.functions import Now

from chat.backends import held_file
from chat.database import DatabaseThread
from chat.generation.journal import Journal
from chat.generation.recovery import Recovery
from chat.generation.runner import Runner
from chat.live.session_monitor import SessionMonitor
from chat.models import Conversation, Generation, JournalEntry, Message, Probe

logger = logging.getLogger(__name__)

OK = "ok"
SHARED_SECONDS = 1.0  # how long the result of one write is used
WRITE_SECONDS = 5.0  # the limit for one write, including all waits
FILES_SHARE = 0.9  # of the limit of open files
PROBE_SECONDS = 4.0  # the limit for PostgreSQL's part of the write
LOCK_SECONDS = 1  # the limit for a lock held by another program
# The loops run every 0.25, 2 and 3 s, with deadlines of 2 to 5 s.
JOURNAL_SECONDS, SESSIONS_SECONDS, RECOVERY_SECONDS = 10.0, 10.0, 20.0


class Readiness:
    """`checks` maps names to functions. Each returns "ok" or a description of the fault without secrets, and
    does not block."""

    def __init__(
        self, runner: Runner, journal: Journal, recovery: Recovery, session_monitor: SessionMonitor
    ) -> None:
        self._runner = runner
        self._thread = DatabaseThread("readiness", PROBE_SECONDS)
        self._probing: asyncio.Future[tuple[str, str]] | None = None
        self._probed_at = float("-inf")
        self._database, self._migrations = "", ""
        self._migrated = False
        self._wrong: frozenset[str] = frozenset()
        self.checks: dict[str, Callable[[], str]] = {
            "database": lambda: self._database,
            "migrations": lambda: self._migrations,
            "replies": self._replies,
            "journal": lambda: _age_words(journal.alive_at, JOURNAL_SECONDS, _JOURNAL_IS_LATE),
            "sessions": lambda: _age_words(session_monitor.alive_at, SESSIONS_SECONDS, _SESSIONS_ARE_LATE),
            "files": _open_files,
            "recovery": lambda: _age_words(recovery.alive_at, RECOVERY_SECONDS, _RECOVERY_IS_LATE),
        }

    async def results(self) -> dict[str, str]:
        """Returns the result of each check by its name. Logs each change once."""
        await self._probe()
        words = {name: check() for name, check in self.checks.items()}
        self._log_change({name: word for name, word in words.items() if word != OK})
        return words

    def _log_change(self, wrong: dict[str, str]) -> None:
        before, self._wrong = self._wrong, frozenset(wrong)
        if self._wrong == before:
            return
        if not wrong:
            logger.info("The process is ready for requests again.")
        elif self._runner.accepting:
            logger.warning(
                "The process is not ready for requests: %s",
                " ".join(f"{name}: {wrong[name]}" for name in wrong),
            )

    def _replies(self) -> str:
        return OK if self._runner.accepting else "No new replies: the server is starting or stopping."

    async def _probe(self) -> None:
        """Uses the result of the last second, or waits at most `WRITE_SECONDS` for a new one."""
        now = time.monotonic()
        if self._probing is None or self._probing.done():
            if now - self._probed_at < SHARED_SECONDS:
                return
            self._probed_at = now
            self._probing = asyncio.ensure_future(self._thread.run(self._try_database))
        try:
            async with asyncio.timeout(max(0.0, self._probed_at + WRITE_SECONDS - now)):
                self._database, self._migrations = await asyncio.shield(self._probing)
        except TimeoutError:
            if not self._probing.done():
                seconds = time.monotonic() - self._probed_at
                self._database = f"The database has not finished a write for {seconds:.0f} s."

    def _try_database(self) -> tuple[str, str]:
        if held_file.is_gone():
            return f"{held_file.GONE}. Restart it.", "unknown"
        reached = False
        try:
            # A running process has loaded its migrations, and applied migrations stay applied.
            if not self._migrated:
                executor = MigrationExecutor(connection)
                self._migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
            reached = True
            if self._migrated:
                _write()
        except DatabaseError as error:
            # The reason may contain the address of the database, so the response omits it.
            logger.debug("The test write to the database failed: %s", error)
            words = "The database takes no writes." if reached else "The database cannot be reached."
            return words, OK if self._migrated else "unknown"
        return OK, OK if self._migrated else _MIGRATIONS_MISSING


_MIGRATIONS_MISSING = "Migrations are missing: run manage.py migrate or restart Steady."
_JOURNAL_IS_LATE = "Running replies were last saved {seconds:.0f} s ago."
_SESSIONS_ARE_LATE = "Open pages were last checked against log-outs {seconds:.0f} s ago."
_RECOVERY_IS_LATE = "Interrupted replies were last searched for {seconds:.0f} s ago."


def _age_words(alive_at: float | None, limit: float, words: str) -> str:
    """Returns "ok", or `words` with the age in seconds if the last success is older than `limit` seconds.
    `alive_at` is its monotonic time; None before the start and after the stop."""
    if alive_at is None or (seconds := time.monotonic() - alive_at) <= limit:
        return OK
    return words.format(seconds=seconds)


def _open_files() -> str:
    """Each page uses a connection. A process at its limit of open files cannot accept another one."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        used = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - thousands of names, no paths needed
    except OSError:  # not Linux
        return OK
    if used < most * FILES_SHARE:
        return OK
    return f"{used} of {most} files and connections are open. Raise the limit (LimitNOFILE, ulimit -n)."


def _write() -> None:
    """Commits a write. On PostgreSQL also checks that no other program locks the tables of a prompt."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {LOCK_SECONDS * 1000}")  # this thread's connection
    with transaction.atomic():
        if connection.vendor == "postgresql":
            models = (Conversation, Message, Generation, JournalEntry)
            tables = ", ".join(connection.ops.quote_name(model._meta.db_table) for model in models)
            with connection.cursor() as cursor:
                cursor.execute(
                    f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'; LOCK TABLE {tables} IN ROW EXCLUSIVE MODE"
                )
        row = Probe(pk=1, written_at=Now())
        Probe.objects.bulk_create(
            [row], update_conflicts=True, unique_fields=["id"], update_fields=["written_at"]
        )
