"""Files: upload in pieces, download to their owner, and removal before they are sent."""

from __future__ import annotations

from urllib.parse import unquote
from uuid import UUID

from django.http import HttpResponse, HttpResponseBase, JsonResponse
from django.utils.translation import gettext_noop
from django.views.decorators.http import require_http_methods

from chat.access import attachment_for, upload_of
from chat.actions.attachment import receive_piece, remove_attachment
from chat.actions.errors import InvalidInputError, TooLongError
from chat.downloads import file_response
from chat.files import store
from chat.files.detect import IMAGES
from chat.models import Attachment
from chat.views.fields import UNREADABLE
from chat.views.responses import UserRequest, for_users


@require_http_methods(["GET", "HEAD", "PATCH", "DELETE"])
@for_users
def attachment(request: UserRequest, attachment_id: UUID) -> HttpResponseBase:
    """PATCH takes the piece of an upload at `Upload-Offset` of a file with `Upload-Length` bytes, named
    `Upload-Name` (percent-encoded); the response says how many bytes are stored. GET returns the file, with
    `thumbnail` a small picture. DELETE removes a file that is not sent."""
    match request.method:
        case "PATCH":
            return _receive(request, attachment_id)
        case "DELETE":
            remove_attachment(request.user, attachment_id)
            return HttpResponse(status=204)
        case _:
            found = attachment_for(request.user, attachment_id)
            return file_response(request, found, thumbnail="thumbnail" in request.GET)


def _receive(request: UserRequest, attachment_id: UUID) -> HttpResponseBase:
    upload_of(request.user, attachment_id)
    try:
        offset = int(request.headers.get("Upload-Offset", ""))
        size = int(request.headers.get("Upload-Length", ""))
        announced = int(request.headers.get("Content-Length") or 0)
    except ValueError:
        offset = size = announced = -1
    if not (0 <= offset <= size < 2**60) or announced < 0:
        raise InvalidInputError(UNREADABLE)
    if announced > store.PIECE_BYTES:
        raise TooLongError(gettext_noop("The page sent too much at once. Reload it."))
    data = request.read(store.PIECE_BYTES + 1)
    if len(data) > store.PIECE_BYTES:
        raise TooLongError(gettext_noop("The page sent too much at once. Reload it."))
    name = unquote(request.headers.get("Upload-Name", ""))
    found, received = receive_piece(
        request.user, attachment_id, name=name, size=size, offset=offset, data=bytes(data)
    )
    return JsonResponse({"received": received, "file": _facts(found) if found.stored_id else None})


def _facts(attachment: Attachment) -> dict[str, object]:
    """Returns what the composer shows of a complete file."""
    file = attachment.stored
    assert file is not None
    return {
        "id": str(attachment.pk),
        "name": attachment.name,
        "size": attachment.size,
        "image": file.media_type in IMAGES and bool(file.thumbnail),
        "audio": file.media_type if file.media_type.startswith("audio/") else "",
        "note": str(file.note),
    }
