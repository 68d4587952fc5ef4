"""Replies side by side, and what a model was sent."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from ninja import Path, Router, Status

from chat.access import message_for, summary_for
from chat.actions.comparison import compare_reply, keep_reply
from chat.api import schemas
from chat.api.resources import message_json
from chat.api.routing import REFUSALS, ApiRequest, Token
from chat.database import run_unit, run_write
from chat.generation.sent_request import what_was_sent
from chat.models import Scope, User

router = Router(tags=["Prompts and replies"])


@router.post(
    "/replies/{uuid:reply_id}/comparisons",
    auth=Token(Scope.CHAT),
    response={201: schemas.Sent, **REFUSALS},
    operation_id="compareReply",
    summary="Add a reply by another model",
)
async def compare(
    request: ApiRequest, reply_id: Path[UUID], body: schemas.Compared
) -> Status[dict[str, Any]]:
    """Starts a reply by another model to the same prompt, beside this one. A prompt to several models starts
    such replies at once. A model that is answering the prompt already is refused with `conflict`."""
    added = await run_write(compare_reply, request.auth.user, reply_id, body.model)
    reply = added.message
    sent = {
        "conversation": reply.conversation_id,
        "prompt": reply.parent_id,
        "replies": [reply.pk],
        "events": f"/api/v1/replies/{reply.pk}/events",
        "repeated": False,
    }
    return Status(201, sent)


@router.put(
    "/replies/{uuid:reply_id}/kept",
    auth=Token(Scope.CHAT),
    response={200: schemas.Message, **REFUSALS},
    operation_id="keepReply",
    summary="Keep one of several replies",
)
async def keep(request: ApiRequest, reply_id: Path[UUID]) -> dict[str, Any]:
    """Shows this reply alone: the chat goes on from it. The replies beside it are kept as variants, and are
    stopped if they run. Counts as a good rating, unless you have rated the reply."""
    return await run_write(_kept, request.auth.user, reply_id)


@router.get(
    "/replies/{uuid:reply_id}/sent",
    auth=Token(Scope.READ),
    response={200: schemas.SentRequest, **REFUSALS},
    operation_id="getSentRequest",
    summary="Get what the model was sent",
)
async def get_sent(request: ApiRequest, reply_id: Path[UUID]) -> dict[str, Any]:
    """Returns the system prompts, messages and parameters of the last request for a reply that has ended."""
    return await run_unit(_sent, request.auth.user, reply_id)


@router.get(
    "/summaries/{uuid:summary_id}",
    auth=Token(Scope.READ),
    response={200: schemas.Summary, **REFUSALS},
    operation_id="getSummary",
    summary="Get a summary",
)
async def get_summary(request: ApiRequest, summary_id: Path[UUID]) -> dict[str, Any]:
    """Returns the summary of the earlier messages of a chat, which models get in place of them."""
    found = await run_unit(summary_for, request.auth.user, summary_id)
    return {
        "id": found.pk,
        "conversation": found.conversation_id,
        "covers": found.covers_id,
        "text": found.text,
        "model": found.model_label,
        "created_at": found.created_at,
    }


def _kept(user: User, reply_id: UUID) -> dict[str, Any]:
    keep_reply(user, reply_id)
    return message_json(message_for(user, reply_id))


def _sent(user: User, reply_id: UUID) -> dict[str, Any]:
    found = what_was_sent(user, reply_id)
    return {
        "recorded": found.request is not None,
        "system": [{"source": source, "text": text} for source, text in found.system],
        "turns": [{"kind": turn.kind, "text": turn.text, "model": turn.model} for turn in found.turns],
        "left_out": found.left_out,
        "summary": found.generation.summary_id,
        "options": found.request.options if found.request else {},
        "tools": found.request.tools if found.request else [],
    }
