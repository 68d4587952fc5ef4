"""Tokens in requests: their limits, and their end while a stream is open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from pytest_django.fixtures import Settings

from chat.actions.api_token import digest_of, make_token, revoke_tokens
from chat.actor import LoggedOutError, ScopeError
from chat.api import authentication
from chat.api.authentication import actor_with, bearer_of, limit_of, rate_headers, watched
from chat.api.problems import ProblemError, problem_of
from chat.database import run_unit
from chat.models import ApiToken, Scope, User
from chat.rate_limit import RateLimits
from chat.runtime import Runtime

pytestmark = pytest.mark.django_db(transaction=True)


def secret_of(person: User, *scopes: str) -> str:
    return make_token(person, name="x", scopes=scopes or ("chat",))[1]


@pytest.mark.parametrize(
    ("header", "secret"),
    [("Bearer sty_1", "sty_1"), ("bearer  sty_1 ", "sty_1"), ("Basic sty_1", ""), ("sty_1", ""), ("", "")],
)
def test_the_token_is_read_from_its_header(header: str, secret: str) -> None:
    assert bearer_of({"Authorization": header}) == secret


async def test_a_token_acts_within_its_scopes(person: User) -> None:
    secret = await run_unit(secret_of, person, "read")
    assert (await actor_with(secret, Scope.READ, "192.0.2.1")).user == person
    with pytest.raises(ScopeError) as refused:
        await actor_with(secret, Scope.CHAT, "192.0.2.1")
    problem = problem_of(refused.value)
    assert (problem.status, problem.code) == (403, "missing_scope")
    assert 'scope="chat"' in problem.headers["WWW-Authenticate"]


async def test_a_request_without_a_valid_token_has_no_actor(person: User) -> None:
    for secret in ("", "sty_unknown"):
        with pytest.raises(LoggedOutError) as refused:
            await actor_with(secret, Scope.READ, "192.0.2.1")
        assert problem_of(refused.value).status == 401


async def test_many_requests_are_refused_before_a_query(
    person: User, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime.token_requests = RateLimits(burst=2, per_second=0.01)
    secret = await run_unit(secret_of, person)
    await actor_with(secret, Scope.READ, "192.0.2.1")
    assert rate_headers(limit_of(secret)) == {
        "RateLimit-Policy": '"token";q=2;w=200',
        "RateLimit": '"token";r=1;t=100',
    }
    await actor_with(secret, Scope.READ, "192.0.2.1")
    monkeypatch.setattr(authentication, "run_unit", None)
    with pytest.raises(ProblemError) as refused:
        await actor_with(secret, Scope.READ, "192.0.2.1")
    problem = refused.value.problem
    assert (problem.status, problem.code) == (429, "rate_limited")
    assert 90 < int(problem.headers["Retry-After"]) <= 100


async def test_random_tokens_are_refused_before_a_query_and_use_no_memory(
    person: User, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime.token_failures = RateLimits(burst=3, per_second=0.01)
    used, unused = await run_unit(secret_of, person), await run_unit(secret_of, person)
    await actor_with(used, Scope.READ, "2001:db8::1")
    for number in range(3):
        with pytest.raises(LoggedOutError):
            await actor_with(f"sty_{number:043}", Scope.READ, f"2001:db8::{number}")
    for secret in (f"sty_{9:043}", unused):
        with monkeypatch.context() as without, pytest.raises(ProblemError) as refused:
            without.setattr(authentication, "run_unit", None)
            await actor_with(secret, Scope.READ, "2001:db8::5")
        assert refused.value.problem.status == 429
    # A token that was valid here, and other networks, are not affected.
    await actor_with(used, Scope.READ, "2001:db8::1")
    await actor_with(unused, Scope.READ, "192.0.2.7")
    assert list(runtime.token_requests._limits) == [digest_of(it)[:16] for it in (used, unused)]


@pytest.mark.parametrize("end", ["revoked", "deactivated"])
async def test_the_session_monitor_ends_the_streams_of_a_token(
    end: str, person: User, make_user: Callable[..., User], runtime: Runtime
) -> None:
    other = await run_unit(make_user, "other@example.org")
    actor = await actor_with(await run_unit(secret_of, person), Scope.CHAT, "192.0.2.1")
    stays = await actor_with(await run_unit(secret_of, other), Scope.CHAT, "192.0.2.1")
    closed = asyncio.Event()
    async with watched(actor) as viewer, watched(stays) as remaining:
        viewer.on_close = closed.set
        await runtime.session_monitor.check()
        assert not viewer.closed
        if end == "revoked":
            await run_unit(revoke_tokens, ApiToken.objects.filter(user=person), by=None)
        else:
            await run_unit(User.objects.filter(pk=person.pk).update, is_active=False)
        await runtime.session_monitor.check()
        assert closed.is_set()
        assert (viewer.closed, remaining.closed) == ("revoked", "")


async def test_a_user_has_a_limited_number_of_streams(person: User, settings: Settings) -> None:
    settings.CHAT_PAGES_PER_PERSON = 1
    actor = await actor_with(await run_unit(secret_of, person), Scope.CHAT, "192.0.2.1")
    async with watched(actor):
        with pytest.raises(ProblemError) as refused:
            async with watched(actor):
                pass
        assert refused.value.problem.code == "limit_reached"
    async with watched(actor):
        pass
