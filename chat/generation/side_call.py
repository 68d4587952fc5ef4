"""Calls of models outside of replies: titles and summaries.

A side call belongs to the owner of a chat, who pays for it. It has no message, no lease and no journal. It is
made once and never repeated by itself, and it ends at its deadline, which begins with the call and not with
the wait in the queue of its endpoint. What it used is in its usage entry, however it ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from uuid import uuid4

from django.conf import settings
from django.db import DatabaseError

from chat.database import run_write
from chat.generation.call_queue import QueueClosedError, QueueTimeoutError
from chat.generation.calls import Call, usage_entry
from chat.generation.running_calls import RunningCalls
from chat.models import ChatModel, Status
from chat.providers.base import ChatRequest, EndpointConfig
from chat.providers.errors import ProviderError
from chat.providers.events import TextDelta

MOST_CHARS = 50_000  # of an answer; a longer one is cut

logger = logging.getLogger(__name__)


class SideCallError(Exception):
    """The model gave no usable answer. The text is a code for the log: "timeout", "empty", the code of a
    provider's error, or how the answer ended."""


class NoPlaceError(SideCallError):
    """The call had no place in the queue of its endpoint in time ("queue"), or the server stops ("restart").
    Nothing was sent to the provider."""


@asynccontextmanager
async def place(
    calls: RunningCalls, owner_id: int, model: ChatModel, *, seconds: float | None = None
) -> AsyncIterator[None]:
    """Enters the block when the owner may call the model, after a wait of at most `seconds`, or those of each
    call. Raises `NoPlaceError`, DatabaseError."""
    try:
        async with calls.queue.place(uuid4(), owner_id, model, seconds):
            yield
    except QueueTimeoutError:
        raise NoPlaceError("queue") from None
    except QueueClosedError:
        raise NoPlaceError("restart") from None


async def ask(
    calls: RunningCalls,
    owner_id: int,
    model: ChatModel,
    endpoint: EndpointConfig,
    request: ChatRequest,
    *,
    purpose: str,
    seconds: float,
) -> str:
    """Returns the model's answer to the request, whose model and output limit are completed from the catalog.
    `purpose` is the `api` of its usage entry. The caller has the place in the queue. The call may take
    `seconds`. Raises `SideCallError`. If the caller is cancelled, the call ends and its usage is still
    stored."""
    limits = (request.max_output_tokens, model.max_output_tokens, settings.CHAT_MAX_OUTPUT_TOKENS)
    most = min((limit for limit in limits if limit), default=None)
    asked = replace(request, model=model.name, max_output_tokens=most)
    call = Call(owner_id, model, endpoint, asked, calls, waits=False)
    try:
        async with asyncio.timeout(seconds):
            text = await _text_of(call)
    except TimeoutError:
        call.ended = "timeout"
        raise SideCallError("timeout") from None
    except ProviderError as error:
        raise SideCallError(error.code) from error
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
