"""Files: upload in pieces, download to their owner, and removal before they are sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import unquote
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.utils.cache import get_conditional_response
from django.utils.http import content_disposition_header
from django.utils.translation import gettext_noop
from django.views.decorators.http import require_http_methods

from chat.access import attachment_for, upload_of
from chat.actions.attachment import receive_piece, remove_attachment
from chat.actions.errors import InvalidInputError, TooLongError
from chat.files import store
from chat.files.detect import IMAGES, UNKNOWN
from chat.models import Attachment
from chat.views.answers import PersonRequest, for_people

_WHOLE = 2 * 1024 * 1024  # a file up to this size is one piece of the response
# Nothing in a file runs, loads or shows anything, also where a browser opens it as a page.
_SANDBOX = "sandbox; default-src 'none'; img-src 'self'; style-src 'unsafe-inline'"


@require_http_methods(["GET", "HEAD", "PATCH", "DELETE"])
@for_people
def attachment(request: PersonRequest, attachment_id: UUID) -> HttpResponseBase:
    """PATCH takes the piece of an upload at `Upload-Offset` of a file with `Upload-Length` bytes, named
    `Upload-Name` (percent-encoded); the answer says how many bytes are here. GET returns the file, with
    `thumbnail` a small picture. DELETE removes a file that is not sent."""
    match request.method:
        case "PATCH":
            return _take(request, attachment_id)
        case "DELETE":
            remove_attachment(request.user, attachment_id)
            return HttpResponse(status=204)
        case _:
            found = attachment_for(request.user, attachment_id)
            return file_response(request, found, thumbnail="thumbnail" in request.GET)


def file_response(
    request: HttpRequest, attachment: Attachment, *, thumbnail: bool = False
) -> HttpResponseBase:
    """Returns the file as what it is by its content. Only pictures are shown by a browser; everything else is
    a download. The browser may keep it, but asks each time whether it may still show it."""
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
        "Content-Encoding": "identity",  # it is compressed already
    }
    for header, value in headers.items():
        response.headers[header] = value
    return response


def _take(request: PersonRequest, attachment_id: UUID) -> HttpResponseBase:
    upload_of(request.user, attachment_id)
    try:
        offset = int(request.headers.get("Upload-Offset", ""))
        size = int(request.headers.get("Upload-Length", ""))
        announced = int(request.headers.get("Content-Length") or 0)
    except ValueError:
        offset = size = announced = -1
    if not (0 <= offset <= size < 2**60) or announced < 0:
        raise InvalidInputError(gettext_noop("The page sent something that cannot be read. Reload it."))
    if announced > store.PIECE_BYTES:
        raise TooLongError(gettext_noop("The page sent too much at once. Reload it."))
    data = request.read(store.PIECE_BYTES + 1)
    if len(data) > store.PIECE_BYTES:
        raise TooLongError(gettext_noop("The page sent too much at once. Reload it."))
    name = unquote(request.headers.get("Upload-Name", ""))
    found, here = receive_piece(
        request.user, attachment_id, name=name, size=size, offset=offset, data=bytes(data)
    )
    return JsonResponse({"received": here, "file": _facts(found) if found.stored_id else None})


def _facts(attachment: Attachment) -> dict[str, object]:
    """Returns what the composer shows of a complete file."""
    file = attachment.stored
    assert file is not None
    return {
        "id": str(attachment.pk),
        "name": attachment.name,
        "size": attachment.size,
        "image": file.media_type in IMAGES and bool(file.thumbnail),
        "note": str(file.note),
    }


def _content(name: str, size: int) -> HttpResponseBase:
    if size <= _WHOLE:
        return _whole(name)
    return StreamingHttpResponse(_pieces(name), headers={"Content-Length": str(size)})


def _whole(name: str) -> HttpResponse:
    """The type is that of a thumbnail: JPEG, or PNG where the picture has transparent places."""
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
