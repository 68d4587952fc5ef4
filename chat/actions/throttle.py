"""Slows down attempts to guess passwords or codes, and locks nobody out.

Each attempt is counted before it is checked, so a hundred parallel attempts count as a hundred. There are
three counts. Each allows some failures and then requires a wait that doubles:

    account and network   5 failures, up to 15 minutes: one network guesses the password of one account
    network              50 failures, up to 15 minutes: one network tries many accounts
    account              30 failures, up to 10 seconds: many networks guess the password of one account.
                         Not for a network from which this account has logged in before

In one day as many failures are forgotten as are allowed, bit by bit. So the mistakes of many people behind
one address do not add up over months. The counts are in the database. They hold for all processes, and a
stranger cannot evict the counts of others (as in a cache).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac

from chat.actions.errors import ActionError
from chat.models import LogInThrottle
from chat.rate_limit import network_of
from chat.translatable import translatable as _

FORGET = timedelta(days=1)
KEEP_SUCCESS = timedelta(days=90)


class TooManyAttemptsError(ActionError):
    """`seconds` is the time until the next attempt is accepted. Nothing was checked."""

    status = 429
    code = "too_many_attempts"

    def __init__(self, seconds: int) -> None:
        super().__init__(_("Too many failed attempts. Wait {seconds} s, then try again."), seconds=seconds)
        self.seconds = seconds


class Attempt:
    """`succeed` is called after the password or code was correct."""

    def __init__(self) -> None:
        self.succeeded = False

    def succeed(self) -> None:
        self.succeeded = True


@contextmanager
def attempt(account: str, address: str) -> Iterator[Attempt]:
    """Counts one attempt at `account` (the typed name or the key of a user) from the IP `address`. An attempt
    without `succeed` stays counted. Raises `TooManyAttemptsError`."""
    counted = _count(_limits(account, address))
    it = Attempt()
    try:
        yield it
    finally:
        if it.succeeded:
            _forgive(counted)


def delete_old_counts() -> int:
    """Deletes expired counts. Returns their number."""
    now = timezone.now()
    old = LogInThrottle.objects.filter(updated_at__lt=now - FORGET, succeeded_at=None)
    older = LogInThrottle.objects.filter(updated_at__lt=now - KEEP_SUCCESS)
    return int(old.delete()[0] + older.delete()[0])


class _Limit(NamedTuple):
    key: str
    free: int
    longest: float  # seconds


def _limits(account: str, address: str) -> tuple[_Limit, _Limit, _Limit]:
    account, network = account.strip().lower(), network_of(address)
    return (
        _Limit(_key("pair", account, network), 5, 900),
        _Limit(_key("network", network), 50, 900),
        _Limit(_key("account", account), 30, 10),
    )


def _key(*words: str) -> str:
    return salted_hmac("steady.log-in-throttle", "\0".join(words), algorithm="sha256").hexdigest()[:32]


@transaction.atomic
def _count(limits: tuple[_Limit, ...]) -> dict[str, datetime | None]:
    """Returns the keys that this attempt counts for, the first for account and network together, with the
    wait that it adds to each. Raises `TooManyAttemptsError`."""
    now = timezone.now()
    rows = _locked(limit.key for limit in limits)
    is_known_here = rows[limits[0].key].succeeded_at is not None
    counted = limits[:2] if is_known_here else limits
    waits = [retry_at for limit in counted if (retry_at := rows[limit.key].retry_at) and retry_at > now]
    if waits:
        raise TooManyAttemptsError(max(1, round((max(waits) - now).total_seconds() + 0.5)))
    for limit in counted:
        row = rows[limit.key]
        _forget(row, limit, now)
        row.failures += 1
        row.retry_at = _retry_at(row.failures, limit, now)
        row.save()
    return {limit.key: rows[limit.key].retry_at for limit in counted}


def _forget(row: LogInThrottle, limit: _Limit, now: datetime) -> None:
    """Moves `updated_at` by the time of the forgotten failures, so that no fraction is lost."""
    each = FORGET / limit.free
    forgotten = max(0, int((now - row.updated_at) / each))
    row.updated_at = now if forgotten >= row.failures else row.updated_at + forgotten * each
    row.failures = max(0, row.failures - forgotten)


def _retry_at(failures: int, limit: _Limit, now: datetime) -> datetime | None:
    beyond = failures - limit.free
    return now + timedelta(seconds=min(limit.longest, 2.0 ** min(beyond, 20))) if beyond >= 0 else None


@transaction.atomic
def _forgive(counted: dict[str, datetime | None]) -> None:
    """Forgives all failures of this account and network together after a success. The other two counts lose
    only this attempt. Otherwise one correct password would hide a hundred wrong ones."""
    now = timezone.now()
    rows = _locked(counted)
    pair, *others = (rows[key] for key in counted)
    pair.failures, pair.retry_at, pair.succeeded_at, pair.updated_at = 0, None, now, now
    pair.save()
    for row in others:
        row.failures = max(0, row.failures - 1)
        row.retry_at = None if row.retry_at == counted[row.key] else row.retry_at
        row.save()


def _locked(keys: Iterable[str]) -> dict[str, LogInThrottle]:
    """Returns the rows by key, always locked in the same order."""
    keys = sorted(keys)
    LogInThrottle.objects.bulk_create([LogInThrottle(key=key) for key in keys], ignore_conflicts=True)
    return {
        row.key: row for row in LogInThrottle.objects.select_for_update().filter(key__in=keys).order_by("key")
    }
