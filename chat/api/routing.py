"""What the routes of the JSON API have in common: who asks, and how a refusal looks."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from ninja.renderers import BaseRenderer
from ninja.security.base import AuthBase

from chat.actor import Actor
from chat.api.authentication import actor_with, bearer_of, known_limit, rate_headers
from chat.api.problems import MEDIA_TYPE, Problem
from chat.models import Scope
from chat.rate_limit import RateLimit

# The answers that each route may give beside its own. The description of the API adds their schema: ninja
# would build a Pydantic model for each status of each route, half a second at every start.
REFUSALS: dict[Any, Any] = {frozenset({400, 401, 403, 404, 405, 409, 413, 429, 500, 503, 507}): None}


class ApiRequest(HttpRequest):
    """A request with a valid token."""

    auth: Actor
    topic: tuple[str, UUID]  # of a stream with a ticket: "prompt" or "reply", and its id
    rate_limit: RateLimit | None


class Token(AuthBase):
    """Requires a token with this scope. Cookies are not looked at."""

    openapi_type = "http"
    openapi_scheme = "bearer"
    openapi_description = "A personal API token from the settings: `Authorization: Bearer sty_...`"
    is_async = True

    def __init__(self, scope: Scope) -> None:
        super().__init__()
        self.is_async = True
        self.scope = scope

    async def __call__(self, request: HttpRequest) -> Actor:
        secret = bearer_of(request.headers)
        try:
            return await actor_with(secret, self.scope, request.META.get("REMOTE_ADDR", ""))
        finally:
            request.rate_limit = known_limit(secret)  # type: ignore[attr-defined]


class Renderer(BaseRenderer):
    media_type = "application/json"

    def render(self, request: HttpRequest, data: Any, *, response_status: int) -> bytes:
        return orjson.dumps(data, default=str)


def with_limits[R: HttpResponseBase](request: HttpRequest, response: R) -> R:
    """Adds the headers about the token's limit, if the request had a token."""
    limit = getattr(request, "rate_limit", None)
    if limit is not None:
        for name, value in rate_headers(limit).items():
            response.headers.setdefault(name, value)
    return response


def refused(request: HttpRequest, problem: Problem) -> HttpResponse:
    body = orjson.dumps(problem.as_json())
    response = HttpResponse(body, status=problem.status, content_type=MEDIA_TYPE, headers=problem.headers)
    response._has_been_logged = problem.status >= 500  # type: ignore[attr-defined]  # by the caller
    return with_limits(request, response)
