"""Whether this process should be given work: a list of checks, each of which says in words what is wrong.

Answers come from memory, but for a real write to the database, whose result serves all who ask within a
second. It runs on a thread of its own and has a deadline: a database that is away holds up nobody.
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
SHARED_SECONDS = 1.0  # that one write's result is good for
WRITE_SECONDS = 5.0  # that a write may take, whatever it waits for
FILES_SHARE = 0.9  # of the files that may be open
PROBE_SECONDS = 4.0  # that PostgreSQL may take for it
LOCK_SECONDS = 1  # that it waits for a lock of another program
# The loops of this process look each 0.25, 2 and 3 s, and have deadlines of 2 to 5.
JOURNAL_SECONDS, SESSIONS_SECONDS, RECOVERY_SECONDS = 10.0, 10.0, 20.0


class Readiness:
    """`checks` are named functions that return "ok" or what is wrong, without secrets, at once."""

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
            "journal": lambda: _age_words(journal.alive_at, JOURNAL_SECONDS, _JOURNAL_STANDS),
            "sessions": lambda: _age_words(session_monitor.alive_at, SESSIONS_SECONDS, _SESSIONS_STAND),
            "files": _open_files,
            "recovery": lambda: _age_words(recovery.alive_at, RECOVERY_SECONDS, _RECOVERY_STANDS),
        }

    async def look(self) -> dict[str, str]:
        """Each check's name and words. What changes is logged, once."""
        await self._probe()
        words = {name: check() for name, check in self.checks.items()}
        self._tell({name: word for name, word in words.items() if word != OK})
        return words

    def _tell(self, wrong: dict[str, str]) -> None:
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
        """Has the result of a write of the last second, or waits for one, at most `WRITE_SECONDS`."""
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
            # What is on disk cannot change under a running process, and applied migrations stay applied.
            if not self._migrated:
                executor = MigrationExecutor(connection)
                self._migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
            reached = True
            if self._migrated:
                _write()
        except DatabaseError as error:
            # The reason may name the database's address: it is for the log, not for the response.
            logger.debug("The test write to the database failed: %s", error)
            words = "The database takes no writes." if reached else "The database cannot be reached."
            return words, OK if self._migrated else "unknown"
        return OK, OK if self._migrated else _MIGRATIONS_MISSING


_MIGRATIONS_MISSING = "Migrations are missing: run manage.py migrate or restart Steady."
_JOURNAL_STANDS = "Running replies were last saved {seconds:.0f} s ago."
_SESSIONS_STAND = "Open pages were last checked against log-outs {seconds:.0f} s ago."
_RECOVERY_STANDS = "Interrupted replies were last looked for {seconds:.0f} s ago."


def _age_words(alive_at: float | None, limit: float, words: str) -> str:
    """`alive_at` is the monotonic time of the last success; None before the start and after the stop."""
    if alive_at is None or (seconds := time.monotonic() - alive_at) <= limit:
        return OK
    return words.format(seconds=seconds)


def _open_files() -> str:
    """Each page takes a connection, and a process that has no file left can take none."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        used = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - thousands of names, not paths
    except OSError:  # no Linux
        return OK
    if used < most * FILES_SHARE:
        return OK
    return f"{used} of {most} files and connections are open. Raise the limit (LimitNOFILE, ulimit -n)."


def _write() -> None:
    """A committed write, and proof that no other program locks the tables of a prompt."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {LOCK_SECONDS * 1000}")  # of this thread's connection
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
