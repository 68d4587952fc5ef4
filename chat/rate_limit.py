"""Limits how often something may happen, in the memory of one process."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from functools import lru_cache


class RateLimit:
    """A token bucket: `burst` at once, `per_second` in the long run."""

    def __init__(self, *, burst: int, per_second: float) -> None:
        self.burst, self.per_second = burst, per_second
        self._tokens, self._at = float(burst), time.monotonic()

    def allows(self) -> bool:
        """Counts one more, or returns false and counts nothing."""
        self._refill()
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    @property
    def remaining(self) -> int:
        """Returns how many are allowed at once now."""
        self._refill()
        return int(self._tokens)

    @property
    def seconds_to_next(self) -> float:
        """Returns the time until one more is allowed; 0 if one is allowed now."""
        self._refill()
        return max(0.0, (1 - self._tokens) / self.per_second)

    @property
    def seconds_to_full(self) -> float:
        """Returns the time until `burst` are allowed at once again."""
        self._refill()
        return (self.burst - self._tokens) / self.per_second

    def _refill(self) -> None:
        now = time.monotonic()
        self._tokens = min(self.burst, self._tokens + (now - self._at) * self.per_second)
        self._at = now


class RateLimits:
    """One `RateLimit` for each key. Keeps the `most` keys that were used last."""

    KEY_LENGTH = 64  # the rest of a key is ignored: some keys are cookies, and are kept

    def __init__(self, *, burst: int, per_second: float, most: int = 10_000) -> None:
        self._burst, self._per_second, self._most = burst, per_second, most
        self._limits: OrderedDict[str, RateLimit] = OrderedDict()

    def allows(self, key: str) -> bool:
        """Counts one more for `key`, or returns false and counts nothing."""
        return self.of(key).allows()

    def known(self, key: str) -> RateLimit | None:
        """Returns the limit of `key` if there is one."""
        return self._limits.get(key[: self.KEY_LENGTH])

    def of(self, key: str) -> RateLimit:
        """Returns the limit of `key`."""
        key = key[: self.KEY_LENGTH]
        limit = self._limits.get(key)
        if limit is None:
            limit = self._limits[key] = RateLimit(burst=self._burst, per_second=self._per_second)
            if len(self._limits) > self._most:
                self._limits.popitem(last=False)
        self._limits.move_to_end(key)
        return limit


class TimeLimit:
    """Limits the time that work may take: `burst` seconds at once, `per_second` seconds of each second in the
    long run. Work is never refused; who exceeded the limit is served later."""

    def __init__(self, burst: float, per_second: float) -> None:
        self._burst, self._per_second = burst, per_second
        self._left, self._at = burst, time.monotonic()

    @property
    def is_exceeded(self) -> bool:
        return self._left + (time.monotonic() - self._at) * self._per_second < 0

    def spend(self, seconds: float) -> None:
        """Counts work that took this time."""
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._per_second) - seconds
        self._at = now


@lru_cache(1_000)
def network_of(address: str) -> str:
    """Returns the network of an IP address. An IPv6 customer has a whole /64. A server that listens on `[::]`
    sees an IPv4 address mapped into IPv6, where all of them share one /64."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip
    return str(ipaddress.ip_network((ip, 64), strict=False)) if ip.version == 6 else str(ip)
