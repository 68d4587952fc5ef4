"""Sends a prompt and streams its replies."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4, uuid5

from django.http import HttpResponseBase
from ninja import Path, Router, Status

from chat.access import message_for, replies_for
from chat.actions.errors import InvalidInputError
from chat.actions.send import Sent, mismatch, send_message
from chat.api import schemas
from chat.api.encodings import SSE
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
from chat.models import Generation, Message, Role, Scope, User
from chat.translatable import translatable as _

router = Router(tags=["Prompts and replies"])


@router.post(
    "/prompts",
    auth=Token(Scope.CHAT),
    response={200: schemas.Sent, 201: schemas.Sent, **REFUSALS},
    operation_id="sendPrompt",
    summary="Send a prompt",
    openapi_extra=STREAMED,
)
async def send_prompt(
    request: ApiRequest,
    body: schemas.NewPrompt,
    idempotency_key: schemas.Key = "",
    buffer: schemas.Buffer = "none",
) -> HttpResponseBase | Status[dict[str, Any]]:
    """Stores the prompt and starts one reply for each model. With `Accept: text/event-stream`,
    `application/x-ndjson` or `text/plain` the response is the stream of the replies. Else it says where that
    stream is. The same `Idempotency-Key` starts nothing again: it returns the prompt and the replies of the
    first request (200 in place of 201), or streams them from their start."""
    checked_buffer(buffer)
    media_type = wanted_type(request, default=JSON)
    check_stream(request, media_type, len(set(body.models)))
    sent, replies = await run_write(send_unit, request.auth.user, idempotency_key, body)
    if media_type != JSON:
        response = stream_of(request, replies, [0] * len(replies), buffer, media_type)
        response.headers["Content-Location"] = _events_of(sent.message)
        return response
    return Status(201 if sent.is_new else 200, sent_json(sent, replies))


@router.get(
    "/prompts/{uuid:prompt_id}/events",
    auth=Token(Scope.READ),
    response={200: schemas.Event, **REFUSALS},
    operation_id="streamPrompt",
    summary="Stream the replies to a prompt",
    openapi_extra=STREAMED,
)
async def stream_prompt(
    request: ApiRequest,
    prompt_id: Path[UUID],
    after: schemas.After = "",
    buffer: schemas.Buffer = "none",
) -> HttpResponseBase:
    """Streams the replies that the prompt asked for together: from their start, or after the event with the
    id `after`; also after their end, and whatever process produces them."""
    checked_buffer(buffer)
    replies = await run_unit(replies_to, request.auth.user, prompt_id)
    positions = checked_positions(request, after, len(replies))
    return stream_of(request, replies, positions, buffer, wanted_type(request, default=SSE))


def send_unit(user: User, key: str, body: schemas.NewPrompt) -> tuple[Sent, list[Message]]:
    client_id = client_id_of(user, key)
    conversation = body.conversation
    if conversation is None and body.edits is not None:
        conversation = message_for(user, body.edits).conversation_id
    sent = send_message(
        user,
        # The same for a repeated request.
        conversation or uuid5(client_id, "conversation"),
        client_id=client_id,
        text=body.text,
        model_ids=[*body.models],
        attachments=body.attachments,
        edits=body.edits,
        removed_attachments=body.removed_attachments,
        tools=body.tools,
        parameters=None if body.parameters is None else body.parameters.model_dump(),
    )
    replies = replies_to(user, sent.message.pk)
    asked = {reply.generation.model_id for reply in replies}
    if not sent.is_new and None not in asked and asked != set(body.models):
        raise mismatch()
    return sent, replies


def client_id_of(user: User, key: str) -> UUID:
    """Returns the client id of a request with this idempotency key: itself if it is a UUID."""
    if not key:
        return uuid4()
    try:
        return UUID(key)
    except ValueError:
        return uuid5(UUID(int=user.pk), key)


def replies_to(user: User, prompt_id: UUID) -> list[Message]:
    """Returns the replies that were asked for with the prompt, without later retries."""
    prompt = message_for(user, prompt_id)
    if prompt.role != Role.USER:
        raise InvalidInputError(_("This is not a prompt."))
    generations = Generation.objects.filter(message__parent=prompt).order_by("message__position")
    rows = list(generations.values_list("message_id", "batch"))
    return replies_for(user, [message_id for message_id, batch in rows if batch == rows[0][1]])


def _events_of(prompt: Message) -> str:
    return f"/api/v1/prompts/{prompt.pk}/events"


def sent_json(sent: Sent, replies: list[Message]) -> dict[str, Any]:
    return {
        "conversation": sent.message.conversation_id,
        "prompt": sent.message.pk,
        "replies": [reply.pk for reply in replies],
        "events": _events_of(sent.message),
        "repeated": not sent.is_new,
    }
