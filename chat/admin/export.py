"""Conversations as JSON Lines: one conversation per line, with its messages and replies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import batched
from typing import Any
from uuid import UUID

import orjson
from django.db.models import Prefetch

from chat.database import run_unit
from chat.models import Conversation, Generation, Message
from chat.parts import Opaque, loaded, stored

_BATCH = 20
_CONVERSATION = ("id", "title", "created_at", "updated_at", "deleted_at")
_MESSAGE = ("id", "position", "shown", "role", "created_at", "text")
_GENERATION = (
    *("id", "model_label", "status", "queued_at", "started_at", "first_token_at", "finished_at"),
    *("input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens", "usage_estimated"),
    *("finish_reason", "error_code", "error_message"),
)


async def conversations_as_json_lines(conversation_ids: list[UUID]) -> AsyncIterator[bytes]:
    """Reads a few conversations at a time: memory is limited by the longest of them. Omits those that were
    erased meanwhile."""
    for ids in batched(conversation_ids, _BATCH, strict=False):
        yield await run_unit(_lines, list(ids))


def _lines(ids: list[UUID]) -> bytes:
    messages = Message.objects.select_related("generation").order_by("position")
    conversations = Conversation.objects.select_related("owner").prefetch_related(
        Prefetch("messages", queryset=messages)
    )
    found = conversations.in_bulk(ids)
    return b"".join(
        orjson.dumps(_conversation(found[pk]), option=orjson.OPT_APPEND_NEWLINE) for pk in ids if pk in found
    )


def _conversation(conversation: Conversation) -> dict[str, Any]:
    return {
        **_fields(conversation, _CONVERSATION),
        "owner": conversation.owner.email,
        "messages": [_message(message) for message in conversation.messages.all()],
    }


def _message(message: Message) -> dict[str, Any]:
    generation = getattr(message, "generation", None)
    return {
        **_fields(message, _MESSAGE),
        "parent": message.parent_id,
        # A provider's opaque data (signatures, encrypted reasoning) is of no use to anyone else.
        "parts": stored(part for part in loaded(message.parts) if not isinstance(part, Opaque)),
        "generation": generation and _generation(generation),
    }


def _generation(generation: Generation) -> dict[str, Any]:
    return {
        **_fields(generation, _GENERATION),
        "cost": None if generation.cost is None else str(generation.cost),
    }


def _fields(source: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(source, name) for name in names}
