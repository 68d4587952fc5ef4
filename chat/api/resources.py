"""Rows of the database as the JSON of the API. Only for units of database work."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from chat.actions.errors import InvalidInputError
from chat.api.events import timings_of, usage_of
from chat.files.detect import named_type
from chat.models import (
    Attachment,
    ChatModel,
    Conversation,
    Feedback,
    Generation,
    Knowledge,
    Message,
    Status,
    ToolCallState,
    ToolRun,
)
from chat.models.parameters import Parameters
from chat.rendering.words import translated
from chat.translatable import translatable as _

HIDDEN_PARTS = ("opaque",)  # of providers, for providers


def conversation_json(conversation: Conversation, *, running: bool) -> dict[str, Any]:
    return {
        "id": conversation.pk,
        "title": conversation.title,
        "created_at": conversation.created_at,
        "updated_at": conversation.updated_at,
        "pinned": conversation.pinned_at is not None,
        "archived": conversation.archived_at is not None,
        "running": running,
        "tools": conversation.tools or [],
        "folder": conversation.folder_id,
        "preset": conversation.preset_name,
        "revision": conversation.revision,
    }


def message_json(message: Message) -> dict[str, Any]:
    """The text of a running reply is what the journal has; `message.generation.journal` is prefetched."""
    generation = message.reply
    text = generation.written_so_far if generation and generation.is_live else message.text
    verdict = message.verdict
    return {
        "id": message.pk,
        "conversation": message.conversation_id,
        "parent": message.parent_id,
        "position": message.position,
        "shown": message.shown,
        "role": message.role,
        "text": text,
        "parts": [part for part in message.parts if part["type"] not in HIDDEN_PARTS],
        "created_at": message.created_at,
        "reply": reply_json(generation) if generation else None,
        "feedback": feedback_json(verdict) if verdict else None,
    }


def reply_json(generation: Generation) -> dict[str, Any]:
    error = None
    if generation.error_code:
        error = {"code": generation.error_code, "message": translated(generation.error_message)}
    return {
        "status": generation.status,
        "model": {"id": generation.model_id, "name": generation.model_label},
        "usage": usage_of(generation),
        "timings": timings_of(generation),
        "error": error,
        "continues": generation.continues_id,
        "parameters": Parameters.of(generation.parameters).as_json() or {},
        "asks": asking_json(asking_tool_calls([generation.pk]))
        if generation.status == Status.WAITING
        else [],
    }


def asking_tool_calls(generation_ids: Iterable[UUID]) -> list[ToolRun]:
    """Returns the calls of these waiting generations that need a decision."""
    waiting = ToolRun.objects.filter(generation__in=list(generation_ids), generation__status=Status.WAITING)
    return list(waiting.filter(state=ToolCallState.ASKED))


def asking_json(calls: Iterable[ToolRun]) -> list[dict[str, Any]]:
    return [
        {"id": call.pk, "index": call.number, "name": call.name, "arguments": call.arguments}
        for call in calls
    ]


def file_json(attachment: Attachment) -> dict[str, Any]:
    file = attachment.stored
    assert file is not None
    return {
        "id": attachment.pk,
        "name": attachment.name,
        "size": attachment.size,
        "media_type": named_type(file.media_type, attachment.name),
        "pages": file.pages or None,
        "width": file.width or None,
        "height": file.height or None,
        "tokens": file.tokens,
        "note": str(file.note),
        "message": attachment.message_id,
        "created_at": attachment.created_at,
    }


def knowledge_json(knowledge: Knowledge) -> dict[str, Any]:
    attachment = knowledge.attachment
    file = attachment.stored
    assert file is not None
    return {
        "id": knowledge.pk,
        "name": attachment.name,
        "size": attachment.size,
        "media_type": named_type(file.media_type, attachment.name),
        "state": knowledge.state,
        "tokens": knowledge.tokens,
        "note": str(knowledge.note),
        "created_at": knowledge.created_at,
    }


def feedback_json(feedback: Feedback) -> dict[str, Any]:
    return {"good": feedback.is_good, "reason": feedback.reason, "comment": feedback.comment}


def model_json(model: ChatModel) -> dict[str, Any]:
    return {
        "id": model.pk,
        "name": model.name,
        "label": model.label,
        "provider": model.endpoint_id,
        "context_window": model.context_window,
        "max_output_tokens": model.max_output_tokens,
        "takes_images": model.takes_images,
        "takes_audio": model.takes_audio,
        "reasons": model.reasons,
        "input_price": model.input_price,
        "cached_input_price": model.cached_input_price,
        "output_price": model.output_price,
    }


def aware(moment: datetime) -> datetime:
    """Returns the moment in UTC, also if it names no time zone. Raises `InvalidInputError` for years before
    1970 and after 2200: near the ends of the calendar, arithmetic overflows."""
    try:
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        moment = datetime.min.replace(tzinfo=UTC)
    if not 1970 <= moment.year <= 2200:
        raise InvalidInputError(_("A time must be between the years 1970 and 2200."))
    return moment


def moment_in(text: str) -> datetime:
    """Reads a moment of a cursor. Raises `ValueError`, `InvalidInputError`."""
    return aware(datetime.fromisoformat(text))
