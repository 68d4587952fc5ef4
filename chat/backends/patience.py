"""Time limits for PostgreSQL.

A network that drops packets silently leaves a query without an answer: libpq waits forever, TCP for 15
minutes. Here every query has a deadline. When it passes, the connection is closed, together with all unused
ones in its pool, because they use the same network path.

Without Django, because the settings import it, and without psycopg, which SQLite does not need.
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
# Inside of a transaction: its process is gone or frozen, and its locks block other processes.
IDLE_SECONDS = 15
ANSWER_SECONDS = STATEMENT_SECONDS + 5.0  # the server itself reports slow statements earlier
CHECK_SECONDS = 1.5
CONNECT_SECONDS = 5

_thread = threading.local()


def options(given: dict[str, Any]) -> dict[str, Any]:
    """Returns Django's OPTIONS for a PostgreSQL database: limits on both sides. `given` options override
    them. A given `options` replaces all limits of the server, because PgBouncer accepts none."""
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
        "tcp_user_timeout": 10_000,  # milliseconds that sent data may stay unacknowledged
        "options": " ".join(f"-c {name}={value}" for name, value in limits.items()),
        **given,
    }


def until() -> float | None:
    """Returns the deadline of this thread's next query in monotonic time, or None without a limit."""
    if getattr(_thread, "is_unlimited", False):
        return None
    return float(min(time.monotonic() + ANSWER_SECONDS, getattr(_thread, "until", inf)))


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Limits the time of all queries of this thread in the block together to `seconds` from now."""
    before = getattr(_thread, "until", inf)
    _thread.until = min(before, time.monotonic() + seconds)
    try:
        yield
    finally:
        _thread.until = before


def limited[**P, R](seconds: float, unit: Callable[P, R]) -> Callable[P, R]:
    """Returns `unit` with a limit in seconds for all its queries together."""

    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with within(seconds):
            return unit(*args, **kwargs)

    return run


def lift(is_unlimited: bool) -> None:
    """Removes the limit of this thread, for migrations."""
    _thread.is_unlimited = is_unlimited
