"""Who a request of a program is from, and how much it may ask for.

The API takes tokens and nothing else. A cookie opens no route here, so no other site can use one, and no
route needs a CSRF token.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial

from django.conf import settings
from django.utils.translation import gettext

from chat.access import NotFoundError
from chat.actions.api_token import digest_of, use_token
from chat.actions.errors import ActionError
from chat.actor import Actor, LoggedOutError, ScopeError
from chat.api.problems import Problem, ProblemError
from chat.database import run_unit
from chat.live.session_monitor import Viewer
from chat.models import Scope
from chat.rate_limit import RateLimit, network_of
from chat.runtime import current


def is_clear_text(forwarded_proto: str) -> bool:
    """Returns whether a request with this `X-Forwarded-Proto` reached the proxy without TLS, so that its
    token is refused. Django redirects such requests itself; this is for those that it does not see."""
    proto = forwarded_proto.partition(",")[0].strip()  # as Django reads it
    return settings.HTTPS and settings.TRUST_PROXY and proto not in {"https", "wss"}


def bearer_of(headers: Mapping[str, str]) -> str:
    """Returns the token of the header `Authorization: Bearer`, or an empty string."""
    scheme, _space, secret = headers.get("Authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""


async def actor_with(secret: str, scope: Scope | None, address: str) -> Actor:
    """Returns the actor with this secret, and counts one request. With None any scope will do. Raises
    `ScopeError`, and as `admitted`."""
    actor = await admitted(secret, address, partial(use_token, secret))
    if scope is not None:
        actor.require(scope)
    return actor


async def admitted[T](secret: str, address: str, unit: Callable[[], T]) -> T:
    """Runs a unit of work that begins with the check of this secret, and counts one request. `address` is the
    client's. Raises `LoggedOutError`, and `ProblemError` for too many requests, before the first query: of
    this token, or with invalid ones from the client's network."""
    if not secret:
        raise LoggedOutError
    return await admitted_as(rate_key(digest_of(secret)), address, unit)


async def admitted_as[T](key: str, address: str, unit: Callable[[], T]) -> T:
    """As `admitted`, for a request whose token has this `rate_key`."""
    limit = limit_as(key)
    failures = current().token_failures.of(network_of(address))
    if limit is not None:
        count_request(limit)
    elif not failures.remaining:
        words = gettext("Too many requests without a valid token. Wait a moment.")
        headers = {"Retry-After": str(max(1, math.ceil(failures.seconds_to_next)))}
        raise ProblemError(Problem(429, "rate_limited", words, headers))
    try:
        result = await run_unit(unit)
    except LoggedOutError:
        failures.allows()
        raise
    except (ScopeError, NotFoundError, ActionError):  # the token is valid
        if limit is None:
            count_request(_limit(key))
        raise
    if limit is None:
        count_request(_limit(key))
    return result


def count_request(limit: RateLimit) -> None:
    """Raises `ProblemError` for too many requests."""
    if not limit.allows():
        words = gettext("Too many requests with this token. Wait a moment.")
        raise ProblemError(Problem(429, "rate_limited", words, rate_headers(limit, refused=True)))


def known_limit(secret: str) -> RateLimit | None:
    """Returns the limit of a token that was valid in this process."""
    return limit_as(rate_key(digest_of(secret)))


def limit_as(key: str) -> RateLimit | None:
    """As `known_limit`, for the token with this `rate_key`."""
    return current().token_requests.known(key)


def limit_of(secret: str) -> RateLimit:
    """Returns the limit of a valid token. An invalid one must not take a place among them."""
    return _limit(rate_key(digest_of(secret)))


def rate_key(digest: str) -> str:
    """Returns the name of a token's limit. It may be in an address: it is too short to search a token by."""
    return digest[:16]


def _limit(key: str) -> RateLimit:
    return current().token_requests.of(key)


def rate_headers(limit: RateLimit, *, refused: bool = False) -> dict[str, str]:
    """Returns the headers of draft-ietf-httpapi-ratelimit-headers, in requests and seconds, and
    `Retry-After` for a refusal."""
    window = math.ceil(limit.burst / limit.per_second)
    headers = {
        "RateLimit-Policy": f'"token";q={limit.burst};w={window}',
        "RateLimit": f'"token";r={limit.remaining};t={math.ceil(limit.seconds_to_full)}',
    }
    return {**headers, "Retry-After": str(max(1, math.ceil(limit.seconds_to_next)))} if refused else headers


def check_room(actor: Actor) -> None:
    """Raises `ProblemError` if the user has as many open streams as allowed."""
    if not current().token_streams.has_room(actor.user.pk):
        raise _too_many_streams()


def _too_many_streams() -> ProblemError:
    words = gettext("You have too many streams open. Close some, or wait a moment.")
    return ProblemError(Problem(429, "limit_reached", words, {"Retry-After": "5"}))


@asynccontextmanager
async def watched(actor: Actor) -> AsyncIterator[Viewer]:
    """Counts a stream of this actor and watches its claim. `viewer.on_close` is called when the token ends
    or the server stops; see `Viewer.closed`. Raises `ProblemError`."""
    runtime, user_id = current(), actor.user.pk
    if not runtime.token_streams.enter(user_id):
        raise _too_many_streams()
    try:
        viewer = Viewer(actor.claim)
        with runtime.session_monitor.guarding(viewer):
            yield viewer
    finally:
        runtime.token_streams.leave(user_id)
