"""Streams, stops, retries, continues and rates a reply."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpResponseBase
from ninja import Path, Router, Status

from chat.access import replies_for
from chat.actions.feedback import rate_reply, remove_rating
from chat.actions.reply import ReplyOptions, retry_or_continue, stop_reply
from chat.api import schemas
from chat.api.encodings import SSE
from chat.api.prompts import client_id_of
from chat.api.resources import feedback_json
from chat.api.routing import REFUSALS, ApiRequest, Token
from chat.api.streams import (
    JSON,
    STREAMED,
    check_stream,
    checked_buffer,
    checked_positions,
    stream_of,
    wanted_type,
)
from chat.database import run_unit, run_write
from chat.models import Message, Scope, User

router = Router(tags=["Prompts and replies"])


@router.get(
    "/replies/{uuid:reply_id}/events",
    auth=Token(Scope.READ),
    response={200: schemas.Event, **REFUSALS},
    operation_id="streamReply",
    summary="Stream a reply",
    openapi_extra=STREAMED,
)
async def stream_reply(
    request: ApiRequest,
    reply_id: Path[UUID],
    after: schemas.After = "",
    buffer: schemas.Buffer = "none",
) -> HttpResponseBase:
    """Streams one reply from its start, or after the event with the id `after`."""
    checked_buffer(buffer)
    positions = checked_positions(request, after, 1)
    replies = await run_unit(replies_for, request.auth.user, [reply_id])
    return stream_of(request, replies, positions, buffer, wanted_type(request, default=SSE))


@router.delete(
    "/replies/{uuid:reply_id}/generation",
    auth=Token(Scope.CHAT),
    response={204: None, **REFUSALS},
    operation_id="stopReply",
    summary="Stop a reply",
)
async def stop(request: ApiRequest, reply_id: Path[UUID]) -> Status[None]:
    """Stops a running reply in any process, and keeps its text so far. Does nothing if it has ended."""
    await run_write(stop_reply, request.auth.user, reply_id)
    return Status(204, None)


@router.post(
    "/replies/{uuid:reply_id}/generations",
    auth=Token(Scope.CHAT),
    response={200: schemas.Sent, 201: schemas.Sent, **REFUSALS},
    operation_id="replyAgain",
    summary="Retry or continue a reply",
    openapi_extra=STREAMED,
)
async def again(
    request: ApiRequest,
    reply_id: Path[UUID],
    body: schemas.NewReply,
    idempotency_key: schemas.Key = "",
    buffer: schemas.Buffer = "none",
) -> HttpResponseBase | Status[dict[str, Any]]:
    """Starts another reply to the same prompt, by the same model or another one, or one that goes on after
    the text of this one. The old reply is kept as a variant. Streams the new one if `Accept` asks for it.
    The same `Idempotency-Key` starts nothing again: it returns the reply of the first request (200 in place
    of 201), or streams it from its start."""
    checked_buffer(buffer)
    media_type = wanted_type(request, default=JSON)
    check_stream(request, media_type, 1)
    reply, is_new = await run_write(_again, request.auth.user, reply_id, body, idempotency_key)
    events = f"/api/v1/replies/{reply.pk}/events"
    if media_type != JSON:
        response = stream_of(request, [reply], [0], buffer, media_type)
        response.headers["Content-Location"] = events
        return response
    sent = {
        "conversation": reply.conversation_id,
        "prompt": reply.parent_id,
        "replies": [reply.pk],
        "events": events,
        "repeated": not is_new,
    }
    return Status(201 if is_new else 200, sent)


@router.put(
    "/replies/{uuid:reply_id}/feedback",
    auth=Token(Scope.CHAT),
    response={200: schemas.Feedback, **REFUSALS},
    operation_id="rateReply",
    summary="Rate a reply",
)
async def rate(request: ApiRequest, reply_id: Path[UUID], body: schemas.Feedback) -> dict[str, Any]:
    """Stores your rating in place of an earlier one."""

    def judge() -> dict[str, Any]:
        user = request.auth.user
        _message, feedback = rate_reply(
            user, reply_id, is_good=body.good, reason=body.reason, comment=body.comment
        )
        return feedback_json(feedback)

    return await run_write(judge)


@router.delete(
    "/replies/{uuid:reply_id}/feedback",
    auth=Token(Scope.CHAT),
    response={204: None, **REFUSALS},
    operation_id="unrateReply",
    summary="Remove a rating",
)
async def unrate(request: ApiRequest, reply_id: Path[UUID]) -> Status[None]:
    await run_write(remove_rating, request.auth.user, reply_id)
    return Status(204, None)


def _again(user: User, reply_id: UUID, body: schemas.NewReply, key: str) -> tuple[Message, bool]:
    client_id = client_id_of(user, key) if key else None
    again = retry_or_continue(
        user, reply_id, ReplyOptions(body.model), continues=body.continue_, client_id=client_id
    )
    return replies_for(user, [again.message.pk])[0], again.is_new
