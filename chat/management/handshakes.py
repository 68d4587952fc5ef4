"""Refuses WebSocket handshakes that arrive too fast, before the application sees them.

A handshake that the application refuses costs the event loop several milliseconds: the upgrade of the
connection, the ASGI application and the check of the session. One that is refused here costs the parsing of
its request. The limits of a session are those of a user with many tabs. The limits of a network are for all
users behind one address, also when all of them reconnect after a restart.

A refusal is sent after some seconds, at a random time. So clients that all reconnect at once do so less often
and at different times.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http.cookie import parse_cookie

from chat.live.stream_limits import opening_limits
from chat.rate_limit import RateLimits, network_of

NETWORK_BURST, NETWORK_PER_SECOND = 1_000, 100
MOST_UNDER_WAY = 256  # handshakes of one network that wait for the application
RETRY_AFTER = 5  # seconds
HELD_SECONDS = 1.0, 4.0  # before a refusal is sent, at least and at most
AT_ONCE, SPACING = 4, 0.05  # handshakes of a session that begin at once, and seconds before each further one
MOST_PACED = 4_096  # sessions whose times are remembered
MOST_HELD = 256  # of this process; further refusals are sent at once, so that no descriptors run out


class Handshakes:
    """The handshakes of a process. `networks` are the limits of networks."""

    def __init__(self, networks: RateLimits | None = None) -> None:
        self._sessions = opening_limits()
        self._networks = networks or RateLimits(burst=NETWORK_BURST, per_second=NETWORK_PER_SECOND)
        self._under_way: Counter[str] = Counter()  # by network
        self._held = 0
        self._waiting: deque[Callable[[], None]] = deque()
        self._next: dict[int, float] = {}  # when the handshake after those so far is due, by session

    def enqueue(self, start: Callable[[], None], session_key: str | None = None) -> None:
        """Calls `start` in a later turn of the event loop, and one in each turn. So other requests are served
        between the handshakes of a crowd, and not after all of them. Those of one session are spread over
        time: what follows a handshake costs several times as much."""
        loop = asyncio.get_running_loop()
        if wait := self._wait(session_key, loop.time()):
            loop.call_later(wait, self._add, start)
        else:
            self._add(start)

    def _wait(self, session_key: str | None, now: float) -> float:
        if not session_key:
            return 0.0
        if len(self._next) >= MOST_PACED:
            self._next = {key: due for key, due in self._next.items() if due > now}
        key = hash(session_key)
        due = max(self._next.get(key, 0.0), now)
        self._next[key] = due + SPACING
        return max(0.0, due - now - (AT_ONCE - 1) * SPACING)

    def _add(self, start: Callable[[], None]) -> None:
        self._waiting.append(start)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._start_next)

    def _start_next(self) -> None:
        start = self._waiting.popleft()
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._start_next)
        start()

    def hold(self, refuse: Callable[[], None]) -> None:
        """Calls `refuse` later, or now if too many are held."""
        if self._held >= MOST_HELD:
            refuse()
            return

        def end() -> None:
            self._held -= 1
            refuse()

        self._held += 1
        delay = random.uniform(*HELD_SECONDS)  # noqa: S311 - no secret
        asyncio.get_running_loop().call_later(delay, end)

    def allows(self, network: str, session_key: str | None) -> bool:
        """Counts a handshake, or returns false. One that its session's limit refuses does not count for its
        network, which other people share."""
        if self._under_way[network] >= MOST_UNDER_WAY:
            return False
        if session_key and not self._sessions.allows(session_key):
            return False
        return self._networks.allows(network)

    def begin(self, network: str) -> Callable[[], None]:
        """Counts a handshake as under way until the returned function is called."""
        self._under_way[network] += 1
        under_way = True

        def end() -> None:
            nonlocal under_way
            if under_way:
                under_way = False
                self._under_way[network] -= 1
                if not self._under_way[network]:
                    del self._under_way[network]

        return end


def is_handshake(headers: Any) -> bool:
    """Returns whether a request with these headers (Twisted's) asks for a WebSocket."""
    return [value.lower() for value in headers.getRawHeaders(b"upgrade", ())][:1] == [b"websocket"]


def client_network(headers: Any, peer: str) -> str:
    """Returns the network of the client. Behind a trusted proxy it is the last one in `X-Forwarded-For`: a
    client can forge those before it."""
    forwarded = headers.getRawHeaders(b"x-forwarded-for", ()) if settings.TRUST_PROXY else ()
    last = forwarded[-1].rpartition(b",")[2].strip().decode("latin-1") if forwarded else ""
    return network_of((last or peer)[: RateLimits.KEY_LENGTH])


def bearer_in(headers: Any) -> str:
    """Returns the token of the header `Authorization: Bearer`, or an empty string."""
    value = (headers.getRawHeaders(b"authorization") or [b""])[0].decode("latin-1")
    scheme, _space, secret = value.partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""


def session_key_in(headers: Any) -> str | None:
    cookies = b"; ".join(headers.getRawHeaders(b"cookie", ()))
    return parse_cookie(cookies.decode("latin-1")).get(settings.SESSION_COOKIE_NAME)
