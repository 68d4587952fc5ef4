"""Streams of replies as responses, and the choice between a stream and JSON."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from django.db import DatabaseError
from django.http import StreamingHttpResponse
from django.utils.translation import gettext

from chat.access import NotFoundError
from chat.actions.errors import InvalidInputError
from chat.actor import Actor
from chat.api import events
from chat.api.authentication import streams, watched
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
from chat.api.follow import follow
from chat.api.problems import ProblemError, problem_of
from chat.api.routing import ApiRequest, with_limits
from chat.live.buffering import parsed_buffer
from chat.models import Message
from chat.translatable import translatable as _

logger = logging.getLogger(__name__)

JSON = "application/json"

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
        words = _("`after` must be the id of an event: for each reply a number, with dots between them.")
        raise InvalidInputError(words) from None


def check_stream(request: ApiRequest, media_type: str, count: int) -> None:
    """Raises `ProblemError` or `InvalidInputError` if such a stream of `count` replies would be refused,
    before anything is started for it."""
    if media_type != JSON:
        streams.check_room(request.auth)
    if media_type == TEXT and count > 1:
        raise InvalidInputError(_("Plain text can carry one reply. Ask for one model, or for events."))


def stream_of(
    request: ApiRequest, replies: Sequence[Message], after: Sequence[int], buffer: str, media_type: str
) -> StreamingHttpResponse:
    """Returns the stream of these replies. Raises as `check_stream`."""
    check_stream(request, media_type, len(replies))
    body = encoded(guarded(request.auth, replies, after, buffer), media_type)
    content_type = media_type if media_type == SSE else f"{media_type}; charset=utf-8"
    response = StreamingHttpResponse(body, content_type=content_type, headers=HEADERS)
    with_limits(request, response)
    return response


async def guarded(
    actor: Actor, replies: Sequence[Message], after: Sequence[int], buffer: str
) -> AsyncGenerator[Event]:
    """Yields the events, with the positions after them, while the actor's token is valid. What goes wrong
    becomes the last event: the response has begun."""
    positions = Positions([reply.pk for reply in replies], after)
    try:
        async with (
            watched(actor) as viewer,
            aclosing(follow(viewer, actor.user, replies, after, buffer)) as stream,
        ):
            async for event in stream:
                yield positions.placed(event)
    except (ProblemError, NotFoundError, DatabaseError) as error:
        problem = problem_of(error)
        event = events.broken(problem.code, problem.detail, recoverable=problem.status != 404)
        yield positions.placed(event)
    except Exception:
        logger.exception("A stream broke; the client can resume it.")
        words = gettext("Something went wrong in Steady. Resume after the last event that you have.")
        yield positions.placed(events.broken("internal", words, recoverable=True))
