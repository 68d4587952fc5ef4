"""Calls of models outside of replies: titles and summaries.

A side call belongs to the owner of a chat, who pays for it. It has no message, no lease and no journal. It is
made once and never repeated by itself, and it ends at its deadline. What it used is in its usage entry,
however it ended.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from dataclasses import replace

from django.conf import settings
from django.db import DatabaseError

from chat.database import run_write
from chat.generation.calls import Call, CallEndedError, usage_entry
from chat.generation.running_calls import Calls
from chat.models import ChatModel, Status
from chat.providers.base import ChatRequest, EndpointConfig
from chat.providers.errors import ProviderError
from chat.providers.events import TextDelta

MOST_CHARS = 50_000  # of an answer; a longer one is cut

logger = logging.getLogger(__name__)


class SideCallError(Exception):
    """The model gave no usable answer. The text is a code for the log: "timeout", "empty", the code of a
    provider's error, or how the answer ended."""


async def ask(
    calls: Calls,
    owner_id: int,
    model: ChatModel,
    endpoint: EndpointConfig,
    request: ChatRequest,
    *,
    purpose: str,
    seconds: float,
    waits: bool = True,
) -> str:
    """Returns the model's answer to the request, whose model and output limit are completed from the catalog.
    `purpose` is the `api` of its usage entry. On an endpoint with a line it `waits` for its turn, within
    `seconds`. Raises `SideCallError`. If the caller is cancelled, the call ends and its usage is still
    stored."""
    limits = (request.max_output_tokens, model.max_output_tokens, settings.CHAT_MAX_OUTPUT_TOKENS)
    most = min((limit for limit in limits if limit), default=None)
    asked = replace(request, model=model.name, max_output_tokens=most)
    call = Call(owner_id, model, endpoint, asked, calls, waits=waits)
    try:
        async with asyncio.timeout(seconds):
            text = await _text_of(call)
    except TimeoutError:
        call.ended = "timeout"
        raise SideCallError("timeout") from None
    except ProviderError as error:
        raise SideCallError(error.code) from error
    except CallEndedError as error:
        raise SideCallError(error.reason) from error
    finally:
        await asyncio.shield(_book(call, purpose))
    if call.status not in (Status.COMPLETE, Status.LENGTH) or not text.strip():
        raise SideCallError(str(call.status) if text.strip() else "empty")
    return text


async def _text_of(call: Call) -> str:
    pieces, length = [], 0
    async with aclosing(call.events()) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                pieces.append(event.text)
                length += len(event.text)
                if length > MOST_CHARS:
                    break
    return "".join(pieces)[:MOST_CHARS]


async def _book(call: Call, purpose: str) -> None:
    """Stores the usage. A failure is logged: it must not harm the reply."""
    if call.seconds is None:  # it was cancelled before it began
        return
    entry = usage_entry(call, user_id=call.user_id, api=purpose)
    try:
        await run_write(entry.save, force_insert=True)
    except DatabaseError as error:
        logger.error("The usage of a call for a %s could not be stored: %s", purpose, error)
