"""Files as responses. The callers check who may read them: `chat.views` for owners and share links,
`chat.admin` for reviewers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.cache import get_conditional_response
from django.utils.http import content_disposition_header

from chat.files import store
from chat.files.detect import IMAGES, UNKNOWN
from chat.models import Attachment

_WHOLE = 2 * 1024 * 1024  # a file up to this size is one piece of the response
# Nothing in a file runs or loads anything, even if a browser opens it as a page.
_SANDBOX = "sandbox; default-src 'none'; img-src 'self'; style-src 'unsafe-inline'"


def file_response(
    request: HttpRequest, attachment: Attachment, *, thumbnail: bool = False
) -> HttpResponseBase:
    """Returns the file with the media type of its content. A browser shows pictures and downloads everything
    else. It may cache the file, but must validate it before each use."""
    file = attachment.stored
    assert file is not None
    is_small = thumbnail and bool(file.thumbnail)
    is_picture = file.media_type in IMAGES
    etag = f'"{file.sha256}{"-small" if is_small else ""}"'
    response: HttpResponseBase | None = get_conditional_response(request, etag=etag)
    if response is None:
        response = _whole(file.thumbnail) if is_small else _content(file.path, file.size)
        if not is_small:
            response.headers["Content-Type"] = file.media_type if is_picture else UNKNOWN
    headers = {
        "ETag": etag,
        "Content-Disposition": content_disposition_header(not is_picture, attachment.name) or "attachment",
        "Cache-Control": "private, no-cache",
        "Content-Security-Policy": _SANDBOX,
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Content-Encoding": "identity",  # most files are already compressed
    }
    for header, value in headers.items():
        response.headers[header] = value
    return response


def _content(name: str, size: int) -> HttpResponseBase:
    if size <= _WHOLE:
        return _whole(name)
    return StreamingHttpResponse(_pieces(name), headers={"Content-Length": str(size)})


def _whole(name: str) -> HttpResponse:
    """Returns a response with the whole content, and the media type of a thumbnail: PNG or JPEG."""
    content = store.read(name)
    is_png = content.startswith(b"\x89PNG")
    return HttpResponse(content, content_type="image/png" if is_png else "image/jpeg")


async def _pieces(name: str) -> AsyncIterator[bytes]:
    pieces = store.chunks(name)
    try:
        while data := await asyncio.to_thread(next, pieces, b""):
            yield data
    finally:
        await asyncio.to_thread(pieces.close)  # type: ignore[attr-defined]
