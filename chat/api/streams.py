"""Streams of replies as responses, and the choice between a stream and JSON."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from django.db import DatabaseError
from django.http import StreamingHttpResponse
from django.utils.translation import gettext

from chat.access import NotFoundError
from chat.actions.errors import InvalidInputError
from chat.actor import Actor
from chat.api import events
from chat.api.authentication import check_room, watched
from chat.api.encodings import (
    HEADERS,
    MEDIA_TYPES,
    NDJSON,
    SSE,
    TEXT,
    Positions,
    encoded,
    parsed_positions,
)
from chat.api.events import Event
from chat.api.problems import ProblemError, problem_of
from chat.api.reply_events import reply_events
from chat.api.routing import ApiRequest, with_limits
from chat.live.buffering import parsed_buffer
from chat.models import Message
from chat.translatable import translatable as _

logger = logging.getLogger(__name__)

JSON = "application/json"
STALLED_SECONDS = 30.0  # that a client may read nothing
LAST_SECONDS = 2.0  # the same, after its token has ended or while the server stops

# For the OpenAPI document: the media types of a stream, beside JSON.
STREAMED = {
    "responses": {
        200: {
            "description": "The stream. See Event.",
            "content": {SSE: {}, NDJSON: {}, TEXT: {}},
        }
    }
}


def wanted_type(request: ApiRequest, *, default: str) -> str:
    """Returns the media type that the client prefers: `default` if it accepts anything, or none of them."""
    offered = [default, *(it for it in MEDIA_TYPES if it != default)]
    return request.get_preferred_type(offered) or default


def checked_buffer(buffer: str) -> str:
    """Raises `InvalidInputError`."""
    try:
        parsed_buffer(buffer)
    except ValueError:
        words = _("Unknown buffer. Use none, word, sentence, line, size:N or time:MS.")
        raise InvalidInputError(words) from None
    return buffer


def checked_positions(request: ApiRequest, after: str, count: int) -> list[int]:
    """Returns where to resume: after `Last-Event-ID`, else after `?after=`. Raises `InvalidInputError`."""
    return positions_of(request.headers.get("Last-Event-ID", "").strip() or after, count)


def positions_of(after: str, count: int) -> list[int]:
    """Returns one position for each of `count` replies. Raises `InvalidInputError`."""
    try:
        return parsed_positions(after, count)
    except ValueError:
        words = _("`after` must be the ID of an event: for each reply a number, with dots between them.")
        raise InvalidInputError(words) from None


def check_stream(request: ApiRequest, media_type: str, count: int) -> None:
    """Raises `ProblemError` or `InvalidInputError` if such a stream of `count` replies would be refused,
    before anything is started for it."""
    if media_type != JSON:
        check_room(request.auth)
    if media_type == TEXT and count > 1:
        raise InvalidInputError(_("Plain text can carry one reply. Ask for one model, or for events."))


def stream_of(
    request: ApiRequest, replies: Sequence[Message], after: Sequence[int], buffer: str, media_type: str
) -> StreamingHttpResponse:
    """Returns the stream of these replies. Raises as `check_stream`."""
    check_stream(request, media_type, len(replies))
    # Who reads plain text can count nothing else: its positions are characters of the visible text.
    skip, after = (after[0], [0]) if media_type == TEXT else (0, after)
    send_timeout = SendTimeout()
    events = guarded_events(request.auth, replies, after, buffer, send_timeout)
    body = send_timeout.sending(encoded(events, media_type, skip=skip))
    content_type = media_type if media_type == SSE else f"{media_type}; charset=utf-8"
    response = StreamingHttpResponse(body, content_type=content_type, headers=HEADERS)
    with_limits(request, response)
    return response


class SendTimeout:
    """Limits how long the client of a response may read nothing. What is under way is limited by the server,
    which takes no more until the client has read."""

    def __init__(self) -> None:
        self._seconds = STALLED_SECONDS
        self._sender: asyncio.Task[Any] | None = None
        self._chunks: AsyncGenerator[bytes] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def shorten(self) -> None:
        """The stream ends: the client may read its last event, but not keep the stream open."""
        self._seconds = LAST_SECONDS
        if self._timer is not None:
            self._begin()

    async def sending(self, chunks: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        """Yields the chunks to one task, which is cancelled if it cannot send one in time."""
        self._sender, self._chunks = asyncio.current_task(), chunks
        async with aclosing(chunks):
            async for chunk in chunks:
                self._begin()
                try:
                    yield chunk
                finally:
                    self._end()

    def _begin(self) -> None:
        self._end()
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._give_up)

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        assert self._sender is not None and self._chunks is not None
        self._sender.cancel()
        # Django leaves this to the garbage collector, which comes late for a task that was cancelled.
        self._closing = asyncio.create_task(self._chunks.aclose())


async def guarded_events(
    actor: Actor,
    replies: Sequence[Message],
    after: Sequence[int],
    buffer: str,
    send_timeout: SendTimeout | None = None,
) -> AsyncGenerator[Event]:
    """Yields the events, with the positions after them, while the actor's token is valid. What goes wrong
    becomes the last event: the response has begun."""
    positions = Positions([reply.pk for reply in replies], after)
    try:
        async with (
            watched(actor) as viewer,
            aclosing(reply_events(viewer, actor.user, replies, after, buffer)) as stream,
        ):
            if send_timeout is not None:
                viewer.on_close = send_timeout.shorten
            async for event in stream:
                yield positions.placed(event)
    except (ProblemError, NotFoundError, DatabaseError) as error:
        problem = problem_of(error)
        event = events.stream_error(problem.code, problem.detail, recoverable=problem.status != 404)
        yield positions.placed(event)
    except Exception:
        logger.exception("A stream broke; the client can resume it.")
        words = gettext("Something went wrong in Steady. Resume after the last event that you have.")
        yield positions.placed(events.stream_error("internal", words, recoverable=True))
