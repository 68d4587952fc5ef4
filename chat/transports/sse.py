"""The same live page as server-sent events, for where no WebSocket gets through."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.translation import get_language
from django.views.decorators.http import require_GET

from chat.access import may_open
from chat.database import run_unit
from chat.live.sentinel import Viewer
from chat.transports.feed import frames
from chat.transports.people import viewer_of

# So that no proxy keeps, holds back or compresses a stream.
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Content-Encoding": "identity"}


@require_GET
async def events(request: HttpRequest, conversation_id: UUID) -> HttpResponseBase:
    """From `Last-Event-ID`, else `?version=`, on. Each event's id is the page's version with it. It ends
    with an event named after the reason: `revoked`, `gone` or `restart`."""
    version = request.headers.get("Last-Event-ID") or request.GET.get("version", "0")
    if not (version.isascii() and version.isdigit() and len(version) < 19):
        return HttpResponse("The version is not a number.", status=400, content_type="text/plain")
    found = await viewer_of(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
    if found is None:
        return HttpResponse("Log in first.", status=401, content_type="text/plain")
    user, viewer = found
    if not await run_unit(may_open, user, conversation_id):
        return HttpResponse("There is no such conversation.", status=404, content_type="text/plain")
    return StreamingHttpResponse(
        _stream(viewer, conversation_id, int(version), get_language() or settings.LANGUAGE_CODE),
        content_type="text/event-stream",
        headers=HEADERS,
    )


async def _stream(viewer: Viewer, conversation_id: UUID, version: int, language: str) -> AsyncIterator[bytes]:
    yield b": connected\n\n"  # so that a buffering proxy shows itself at once
    async with aclosing(frames(viewer, conversation_id, version, language)) as stream:
        async for frame in stream:
            for step in frame.steps[:-1]:
                yield encoded(step)
            if frame.steps:
                yield encoded(frame.steps[-1], event_id=frame.version)
            elif not frame.closed:
                yield b": quiet\n\n"
            if frame.closed:
                yield encoded("", name=frame.closed)


def encoded(data: str, *, name: str = "", event_id: int | None = None) -> bytes:
    """One event. A line break of any kind in `data` starts a new `data:` line, so no content can end the
    event or begin another."""
    lines = [f"event: {name}"] if name else []
    if event_id is not None:
        lines.append(f"id: {event_id}")
    text = data.replace("\r\n", "\n").replace("\r", "\n")
    lines += [f"data: {line}" for line in text.split("\n")]
    return ("\n".join(lines) + "\n\n").encode()
