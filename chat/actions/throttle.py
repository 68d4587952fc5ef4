"""Slows down who guesses passwords or codes, and locks nobody out.

Each attempt is counted before it is checked, so that a hundred at once are a hundred. Each of three counts
allows some failures and then asks for a wait that doubles:

    account and network   5 failures, up to 15 minutes: somebody guesses one account's password
    network              50 failures, up to 15 minutes: somebody tries many accounts
    account              30 failures, up to 10 seconds: many networks guess one account's password. Not for a
                         network from which this account was logged in to before

A day forgets as many failures as are allowed, little by little: the mistakes that many people behind one
address make over the months are none of a guesser. The counts are in the database: they hold for all
processes, and what one stranger does empties nobody's (a cache would lose them).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac

from chat.actions.errors import ActionError
from chat.models import LogInThrottle

FORGET = timedelta(days=1)
KEEP_SUCCESS = timedelta(days=90)


class TooManyAttemptsError(ActionError):
    """`seconds` until the next attempt is taken. Nothing was checked."""

    status = 429
    code = "too_many_attempts"

    def __init__(self, seconds: int) -> None:
        super().__init__("Too many failed attempts. Wait {seconds} s, then try again.", seconds=seconds)
        self.seconds = seconds


class Attempt:
    """`succeed` is called when the password or code was right."""

    def __init__(self) -> None:
        self.succeeded = False

    def succeed(self) -> None:
        self.succeeded = True


@contextmanager
def attempt(account: str, address: str) -> Iterator[Attempt]:
    """Counts one attempt at `account` (what was typed, or a person's key) from the IP `address`. One that
    does not `succeed` stays counted. Raises `TooManyAttemptsError`."""
    counted = _count(_limits(account, address))
    it = Attempt()
    try:
        yield it
    finally:
        if it.succeeded:
            _take_back(counted)


def forget_old() -> int:
    """Deletes counts that matter no more; returns how many."""
    now = timezone.now()
    old = LogInThrottle.objects.filter(updated_at__lt=now - FORGET, succeeded_at=None)
    older = LogInThrottle.objects.filter(updated_at__lt=now - KEEP_SUCCESS)
    return int(old.delete()[0] + older.delete()[0])


class _Limit(NamedTuple):
    key: str
    free: int
    longest: float  # seconds


def _limits(account: str, address: str) -> tuple[_Limit, _Limit, _Limit]:
    account, network = account.strip().lower(), _network(address)
    return (
        _Limit(_key("pair", account, network), 5, 900),
        _Limit(_key("network", network), 50, 900),
        _Limit(_key("account", account), 30, 10),
    )


def _network(address: str) -> str:
    """An IPv6 customer has a whole /64."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((ip, 64), strict=False)) if ip.version == 6 else str(ip)


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
    """`updated_at` moves on by the time for which failures are forgotten, so that no part of it is lost."""
    each = FORGET / limit.free
    forgotten = max(0, int((now - row.updated_at) / each))
    row.updated_at = now if forgotten >= row.failures else row.updated_at + forgotten * each
    row.failures = max(0, row.failures - forgotten)


def _retry_at(failures: int, limit: _Limit, now: datetime) -> datetime | None:
    beyond = failures - limit.free
    return now + timedelta(seconds=min(limit.longest, 2.0 ** min(beyond, 20))) if beyond >= 0 else None


@transaction.atomic
def _take_back(counted: dict[str, datetime | None]) -> None:
    """A success forgives its account and network together. The other two lose only what this attempt added:
    else one right password in between would hide a hundred wrong ones."""
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
    """The rows by key, always locked in one order."""
    keys = sorted(keys)
    LogInThrottle.objects.bulk_create([LogInThrottle(key=key) for key in keys], ignore_conflicts=True)
    return {
        row.key: row for row in LogInThrottle.objects.select_for_update().filter(key__in=keys).order_by("key")
    }
