"""How long Steady waits for PostgreSQL.

A network that drops packets without a word leaves a query without an answer for as long as one is willing to
wait: libpq waits for ever, and TCP for 15 minutes. Here every query has a deadline. When it passes, the
connection is closed, and with it all that lie unused in its pool: they came by the same way.

Without Django, so that the settings can name it, and without psycopg, which SQLite does not need.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Any

STATEMENT_SECONDS = 30
LOCK_SECONDS = 20
IDLE_SECONDS = 15  # inside of a transaction: its process is gone or frozen, and its locks hold up others
ANSWER_SECONDS = STATEMENT_SECONDS + 5.0  # the server itself says sooner what takes too long
CHECK_SECONDS = 1.5
CONNECT_SECONDS = 5

_thread = threading.local()


def options(given: dict[str, Any]) -> dict[str, Any]:
    """Django's OPTIONS of a PostgreSQL database: limits on both sides, over which `given` ones win. A given
    `options` replaces the server's limits as a whole, as PgBouncer takes none."""
    limits = {
        "statement_timeout": f"{STATEMENT_SECONDS}s",
        "lock_timeout": f"{LOCK_SECONDS}s",
        "idle_in_transaction_session_timeout": f"{IDLE_SECONDS}s",
    }
    return {
        "connect_timeout": CONNECT_SECONDS,
        "keepalives": 1,
        "keepalives_idle": 10,
        "keepalives_interval": 3,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,  # milliseconds that what was sent may stay unacknowledged
        "options": " ".join(f"-c {name}={value}" for name, value in limits.items()),
        **given,
    }


def until() -> float | None:
    """When this thread's next query must be answered, in monotonic time; None: when it will be."""
    if getattr(_thread, "is_unlimited", False):
        return None
    return float(min(time.monotonic() + ANSWER_SECONDS, getattr(_thread, "until", inf)))


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """All queries of this thread in the block are answered within so many seconds from now, or fail."""
    before = getattr(_thread, "until", inf)
    _thread.until = min(before, time.monotonic() + seconds)
    try:
        yield
    finally:
        _thread.until = before


def limited[**P, R](seconds: float, unit: Callable[P, R]) -> Callable[P, R]:
    """`unit`, all of whose queries together may take so many seconds."""

    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with within(seconds):
            return unit(*args, **kwargs)

    return run


def lift(is_unlimited: bool) -> None:
    """Whether this thread waits for as long as it takes, as a migration must."""
    _thread.is_unlimited = is_unlimited
