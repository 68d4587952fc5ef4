"""Tickets: addresses that open one stream for some minutes, for programs that cannot send a token, such as
`EventSource` in browsers.

A ticket is signed, not stored. It names the token that it was made with, shares its rate limit and ends with
it: a stream that it opened closes as one with the token does.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.core import signing
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from ninja import Path, Router, Status
from ninja.security.base import AuthBase

from chat.access import replies_for
from chat.actor import Actor, LoggedOutError, TokenClaim, actor_of
from chat.api import schemas
from chat.api.authentication import admitted_as, limit_as, rate_key
from chat.api.encodings import SSE
from chat.api.prompts import replies_to
from chat.api.routing import REFUSALS, ApiRequest, Token
from chat.api.streams import checked_buffer, checked_positions, stream_of
from chat.database import run_unit
from chat.models import Message, Scope, User

router = Router(tags=["Prompts and replies"])

LIFETIME = timedelta(minutes=10)
_SALT = "chat.api.ticket"


class Ticket(AuthBase):
    """Requires a ticket in the address."""

    openapi_type = "http"
    openapi_scheme = "ticket"
    openapi_description = "A ticket, as the last part of the address."
    scope = Scope.READ

    def __init__(self) -> None:
        super().__init__()
        self.is_async = True

    async def __call__(self, request: HttpRequest) -> Actor:
        ticket = request.path.rpartition("/")[2]
        try:
            user_id, token_id, key, kind, topic = signing.loads(ticket, salt=_SALT, max_age=LIFETIME)
        except (signing.BadSignature, ValueError):  # ValueError: of an older release
            user_id, token_id, key = 0, 0, ""
        else:
            request.topic = kind, UUID(topic)  # type: ignore[attr-defined]
        try:
            # Invalid tickets count as invalid tokens of the client's network.
            unit = partial(_actor, TokenClaim(user_id, token_id))
            return await admitted_as(key, request.META.get("REMOTE_ADDR", ""), unit)
        finally:
            request.rate_limit = limit_as(key)  # type: ignore[attr-defined]


@router.post(
    "/prompts/{uuid:prompt_id}/tickets",
    auth=Token(Scope.READ),
    response={201: schemas.Ticket, **REFUSALS},
    operation_id="makePromptTicket",
    summary="Make an address for EventSource",
)
async def ticket_for_prompt(request: ApiRequest, prompt_id: Path[UUID]) -> Status[dict[str, Any]]:
    """Returns an address that streams the replies to the prompt without a token, for 10 minutes."""
    await run_unit(replies_to, request.auth.user, prompt_id)
    return Status(201, _made(request.auth, "prompt", prompt_id))


@router.post(
    "/replies/{uuid:reply_id}/tickets",
    auth=Token(Scope.READ),
    response={201: schemas.Ticket, **REFUSALS},
    operation_id="makeReplyTicket",
    summary="Make an address for EventSource",
)
async def ticket_for_reply(request: ApiRequest, reply_id: Path[UUID]) -> Status[dict[str, Any]]:
    """Returns an address that streams the reply without a token, for 10 minutes."""
    await run_unit(replies_for, request.auth.user, [reply_id])
    return Status(201, _made(request.auth, "reply", reply_id))


@router.get(
    "/streams/{ticket}",
    auth=Ticket(),
    response={200: schemas.Event, **REFUSALS},
    operation_id="streamByTicket",
    summary="Stream with a ticket",
    openapi_extra={"responses": {200: {"description": "The stream. See Event.", "content": {SSE: {}}}}},
)
async def stream(
    request: ApiRequest, ticket: Path[str], after: schemas.After = "", buffer: schemas.Buffer = "none"
) -> HttpResponseBase:
    """Streams server-sent events, as the address that the ticket was made for. `EventSource` resumes by
    itself, with `Last-Event-ID`, while the ticket is valid."""
    checked_buffer(buffer)
    kind, topic = request.topic
    replies = await run_unit(_replies, request.auth.user, kind, topic)
    return stream_of(request, replies, checked_positions(request, after, len(replies)), buffer, SSE)


def _made(actor: Actor, kind: str, topic: UUID) -> dict[str, Any]:
    claim = actor.claim
    assert isinstance(claim, TokenClaim)
    assert actor.token is not None
    key = rate_key(actor.token.digest)
    ticket = signing.dumps([claim.user_id, claim.token_id, key, kind, topic.hex], salt=_SALT)
    expires_at: datetime = timezone.now() + LIFETIME
    return {"stream": f"/api/v1/streams/{ticket}", "expires_at": expires_at}


def _actor(claim: TokenClaim) -> Actor:
    """Returns the actor of the token that the ticket was made with. Raises `LoggedOutError`, `ScopeError`."""
    if not claim.token_id:
        raise LoggedOutError
    actor = actor_of(claim)
    actor.require(Scope.READ)
    return actor


def _replies(user: User, kind: str, topic: UUID) -> list[Message]:
    return replies_to(user, topic) if kind == "prompt" else replies_for(user, [topic])
