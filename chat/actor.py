"""Who makes a request: a user, by a session of a browser or by an API token.

A claim is what the request shows of it, and what is checked again while a stream is open. `holding` checks
many claims at once. An `Actor` is a claim that holds, with its user and its scopes: access reads the user,
routes of the API require a scope, the session monitor watches the claim, limits count by `key`, and audit
entries name `token`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db.models import Exists
from django.utils import timezone

from chat.models import ApiToken, Scope, User
from chat.models.prepared import Prepared
from chat.models.user import user_by_id

_CHUNK = 500  # ids in one query
_session_key = Prepared(
    lambda key, now: Session.objects.filter(session_key=key, expire_date__gt=now).values_list(
        "pk", flat=True
    ),
    str,
    datetime,
)
_user_with_session = Prepared(
    lambda pk, key, now: User.objects.filter(
        Exists(Session.objects.filter(session_key=key, expire_date__gt=now)), pk=pk
    ),
    int,
    str,
    datetime,
)


@dataclass(frozen=True, slots=True)
class SessionClaim:
    """`session_hash` is the password fingerprint that the session was opened with."""

    user_id: int
    session_key: str
    session_hash: str


@dataclass(frozen=True, slots=True)
class TokenClaim:
    user_id: int
    token_id: int


type Claim = SessionClaim | TokenClaim


class LoggedOutError(Exception):
    """The claim does not hold: the session or token has ended, the password of the session has changed, or
    the user is not active any more."""


class ScopeError(Exception):
    """The token does not have the `scope`, or its user may not use it any more."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope.value)
        self.scope = scope


@dataclass(frozen=True, slots=True)
class Actor:
    """`scopes` are those that count now: only superusers have `ADMIN`. `token` is None for a session."""

    user: User
    claim: Claim
    scopes: frozenset[Scope]
    token: ApiToken | None = None

    @classmethod
    def by_token(cls, user: User, token: ApiToken) -> Actor:
        """Returns the actor of a token that is valid."""
        scopes = {scope for scope in Scope if scope in token.scopes}
        if Scope.CHAT in scopes:
            scopes.add(Scope.READ)
        if not user.is_superuser:
            scopes.discard(Scope.ADMIN)
        return cls(user, TokenClaim(user.pk, token.pk), frozenset(scopes), token)

    @property
    def key(self) -> str:
        """Returns the key for limits."""
        claim = self.claim
        return f"token:{claim.token_id}" if isinstance(claim, TokenClaim) else f"user:{claim.user_id}"

    def require(self, scope: Scope) -> None:
        """Raises `ScopeError`."""
        if scope not in self.scopes:
            raise ScopeError(scope)


def actor_of(claim: Claim) -> Actor:
    """Returns the actor in the present state, for the unit of work that acts. Raises `LoggedOutError`."""
    if isinstance(claim, TokenClaim):
        user = user_by_id.first(claim.user_id)
        if user is None or not holding([claim], [user]):
            raise LoggedOutError
        return Actor.by_token(user, ApiToken.objects.get(pk=claim.token_id))
    user = _user_with_session.first(claim.user_id, claim.session_key, timezone.now())
    if user is None or not user.is_active or claim.session_hash not in _hashes_of(user):
        raise LoggedOutError
    scopes = frozenset(Scope) if user.is_superuser else frozenset(Scope) - {Scope.ADMIN}
    return Actor(user, claim, scopes)


def user_of_session(claim: SessionClaim) -> User:
    """Returns the user of a session whose row has just been read. Raises `LoggedOutError`."""
    user = user_by_id.first(claim.user_id)
    if user is None or not is_session_of(user, claim):
        raise LoggedOutError
    return user


def is_session_of(user: User, claim: SessionClaim) -> bool:
    """Returns whether this user may use the session, whose row has just been read."""
    return user.pk == claim.user_id and user.is_active and claim.session_hash in _hashes_of(user)


def holding(claims: Collection[Claim], people: Collection[User] | None = None) -> set[Claim]:
    """Returns the claims that still hold. `people` are the users of these claims, if they have just been
    read. Queries only the kinds of claims that there are."""
    if people is None:
        people = []
        for ids in in_chunks([claim.user_id for claim in claims]):
            people += User.objects.filter(pk__in=ids).only("pk", "password", "is_active")
    active = {user.pk: user for user in people if user.is_active}
    sessions = [it for it in claims if isinstance(it, SessionClaim) and it.user_id in active]
    tokens = [it for it in claims if isinstance(it, TokenClaim) and it.user_id in active]
    return {*_holding_sessions(sessions, active), *_holding_tokens(tokens)}


def in_chunks[T](values: Collection[T]) -> Iterator[list[T]]:
    """Yields each value once, in lists for one query each."""
    unique = list(dict.fromkeys(values))
    for first in range(0, len(unique), _CHUNK):
        yield unique[first : first + _CHUNK]


def _holding_sessions(claims: list[SessionClaim], active: dict[int, User]) -> Iterator[Claim]:
    hashes = {user_id: _hashes_of(active[user_id]) for user_id in {claim.user_id for claim in claims}}
    keys: set[str] = set()
    if len(claims) == 1:
        keys = set(_session_key.all(claims[0].session_key, timezone.now()))
    else:
        for chunk in in_chunks([claim.session_key for claim in claims]):
            rows = Session.objects.filter(session_key__in=chunk, expire_date__gt=timezone.now())
            keys |= set(rows.values_list("session_key", flat=True))
    for claim in claims:
        if claim.session_key in keys and claim.session_hash in hashes[claim.user_id]:
            yield claim


def _hashes_of(user: User) -> set[str]:
    """Returns the password fingerprints of valid sessions of this user, also those of former secret keys."""
    return {user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()}


def _holding_tokens(claims: list[TokenClaim]) -> Iterator[Claim]:
    valid: set[tuple[int, int]] = set()
    if settings.STEADY_API_TOKENS:
        for chunk in in_chunks([claim.token_id for claim in claims]):
            valid |= set(ApiToken.objects.valid().filter(pk__in=chunk).values_list("user_id", "pk"))
    yield from (claim for claim in claims if (claim.user_id, claim.token_id) in valid)
