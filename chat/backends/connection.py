"""A PostgreSQL connection that waits for each answer only for a limited time."""

from __future__ import annotations

import time
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool

from chat.backends import patience


class PatientConnection(psycopg.Connection[Any]):
    """Waits for each answer up to `patience.ANSWER_SECONDS`, or until the deadline of `patience.within`."""

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        until = patience.until()
        if until is None or timeout is not None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, max(0.0, until - time.monotonic()))
        except psycopg.OperationalError as error:
            if time.monotonic() < until:
                raise
            self._give_up()
            raise psycopg.OperationalError("the database did not answer in time") from error

    def _give_up(self) -> None:
        self.pgconn.finish()
        pool = getattr(self, "_pool", None)
        if pool is not None:
            pool.drain()


def check(connection: PatientConnection) -> None:
    """Checks that a pooled connection still works. Runs before each use, because after a restart of
    PostgreSQL the pool is full of closed connections."""
    with patience.within(patience.CHECK_SECONDS):
        ConnectionPool.check_connection(connection)
