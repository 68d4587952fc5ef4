"""The live page as server-sent events, for networks that block WebSockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.translation import get_language
from django.views.decorators.http import require_GET

from chat.access import NotFoundError
from chat.actor import LoggedOutError
from chat.database import run_unit
from chat.live.session_monitor import Viewer
from chat.runtime import current
from chat.transports.feed import Frame, frames
from chat.transports.viewers import viewer_of

# Prevents proxies from storing, buffering or compressing a stream.
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Content-Encoding": "identity"}

# The protocol has no acks and the server no backpressure: unread data accumulates in memory.
RESPONSE_BYTES = 1024 * 1024  # after the first frame; then the response ends, and an active client reconnects
RETRY = 200  # ms until the client reconnects


@require_GET
async def events(request: HttpRequest, conversation_id: UUID) -> HttpResponseBase:
    """Streams events from `Last-Event-ID`, else from `?revision=`. The id of each event is the page's
    revision after it. The stream ends with an event named after the reason, `revoked`, `gone` or `restart`,
    or without one if it has become long: then the client reconnects."""
    revision = request.headers.get("Last-Event-ID") or request.GET.get("revision", "0")
    if not (revision.isascii() and revision.isdigit() and len(revision) < 19):
        return HttpResponse("The revision is not a number.", status=400, content_type="text/plain")
    session_key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    limits = current().sse_limits
    if not limits.allows_session(session_key):
        return _too_many()
    try:
        viewer = await run_unit(viewer_of, session_key, conversation_id)
    except LoggedOutError:
        return HttpResponse("Log in first.", status=401, content_type="text/plain")
    except NotFoundError as error:
        return HttpResponse(str(error), status=404, content_type="text/plain")
    if not limits.allows_user(viewer.user_id):
        return _too_many()
    return StreamingHttpResponse(
        _stream(viewer, conversation_id, int(revision), get_language() or settings.LANGUAGE_CODE),
        content_type="text/event-stream",
        headers=HEADERS,
    )


def _too_many() -> HttpResponse:
    words = "You have too many pages open. Close some, or wait a moment."
    return HttpResponse(words, status=429, content_type="text/plain", headers={"Retry-After": "5"})


async def _stream(
    viewer: Viewer, conversation_id: UUID, revision: int, language: str
) -> AsyncIterator[bytes]:
    pages = current().sse_limits.open
    if not pages.enter(viewer.user_id):  # many were accepted at the same moment
        return
    try:
        with current().metrics.open_page("sse"):
            yield b": connected\n\n"  # reveals a buffering proxy at once
            async with aclosing(frames(viewer, conversation_id, revision, language)) as stream:
                allowance = None
                async for frame in stream:
                    size = 0
                    for event in _events(frame):
                        size += len(event)
                        yield event
                    allowance = RESPONSE_BYTES if allowance is None else allowance - size
                    if allowance <= 0:
                        return
    finally:
        pages.leave(viewer.user_id)


def _events(frame: Frame) -> Iterator[bytes]:
    for update in frame.updates[:-1]:
        yield encoded(update)
    if frame.updates:
        yield encoded(frame.updates[-1], event_id=frame.revision)
    elif not frame.closed:
        yield b": heartbeat\n\n"
    if frame.closed:
        yield encoded("", name=frame.closed)


def encoded(data: str, *, name: str = "", event_id: int | None = None) -> bytes:
    """Returns one event. Each line break of any kind in `data` starts a new `data:` line, so no content can
    end the event or begin another."""
    lines = [f"event: {name}"] if name else []
    if event_id is not None:
        lines += [f"id: {event_id}", f"retry: {RETRY}"]
    if "\r" in data:
        data = data.replace("\r\n", "\n").replace("\r", "\n")
    lines += [f"data: {line}" for line in data.split("\n")]
    return ("\n".join(lines) + "\n\n").encode()
