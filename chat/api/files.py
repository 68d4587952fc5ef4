"""Files: upload, list, download, and removal before they are sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db.models import Q
from django.http import HttpResponseBase, StreamingHttpResponse
from django.utils.http import content_disposition_header
from ninja import Path, Router, Status
from ninja.params import functions as parameters

from chat.access import attachment_for, attachments_of
from chat.actions.attachment import receive_file, receive_piece, remove_attachment
from chat.actions.errors import InvalidInputError, TooLongError
from chat.api import schemas
from chat.api.bodies import RAW, Body
from chat.api.pages import Cursor, Limit, decoded, encoded, page_of
from chat.api.resources import file_json, moment_in
from chat.api.routing import REFUSALS, ApiRequest, Token, with_limits
from chat.database import run_unit
from chat.files import store
from chat.models import Attachment, Scope, User
from chat.models.attachment import NAME_LENGTH
from chat.translatable import translatable as _

router = Router(tags=["Files"])

Name = Annotated[
    str, parameters.Query(min_length=1, max_length=NAME_LENGTH, description="The name of the file.")
]
Position = Annotated[int, parameters.Query(ge=0, lt=2**60)]


@router.get(
    "/files",
    auth=Token(Scope.READ),
    response={200: schemas.FilePage, **REFUSALS},
    operation_id="listFiles",
    summary="List your files",
)
async def list_files(
    request: ApiRequest,
    cursor: Cursor = "",
    limit: Limit = 50,
    sent: Annotated[
        bool | None, parameters.Query(description="Only those of messages, or only those that are not sent.")
    ] = None,
) -> dict[str, Any]:
    """Returns your files, the last uploaded first."""
    return await run_unit(_page, request.auth.user, sent, cursor, limit)


@router.post(
    "/files",
    auth=Token(Scope.CHAT),
    response={201: schemas.File, **REFUSALS},
    operation_id="uploadFile",
    summary="Upload a file",
    openapi_extra=RAW,
)
async def upload(request: ApiRequest, name: Name) -> Status[dict[str, Any]]:
    """Stores the body of the request as a file. Its type is detected from the content, not from the name or
    `Content-Type`. Name its id in `attachments` of a prompt within 24 hours; otherwise it is deleted."""
    user, body = request.auth.user, Body(request)

    def receive() -> dict[str, Any]:
        return file_json(receive_file(user, body.pieces(), name=name, size=body.size))

    # Not a unit of database work: it reads pictures and documents, and writes to the storage.
    return Status(201, await sync_to_async(receive)())


@router.patch(
    "/files/{uuid:file_id}",
    auth=Token(Scope.CHAT),
    response={200: schemas.Piece, **REFUSALS},
    operation_id="uploadPiece",
    summary="Upload a file in pieces",
    openapi_extra=RAW,
)
async def upload_piece(
    request: ApiRequest, file_id: Path[UUID], name: Name, size: Position, offset: Position = 0
) -> dict[str, Any]:
    """Takes the bytes at `offset` of a file of `size` bytes, at most 1 MB. The first piece of an unused id
    begins an upload. A piece that was sent before changes nothing, so it can be sent again."""
    user, body = request.auth.user, Body(request)
    if body.size > store.PIECE_BYTES:
        raise TooLongError(_("A piece may have at most {limit} bytes."), limit=store.PIECE_BYTES)
    if offset > size:
        raise InvalidInputError(_("`offset` must not be behind the end of the file."))

    def receive() -> dict[str, Any]:
        data = b"".join(body.pieces())
        found, here = receive_piece(user, file_id, name=name, size=size, offset=offset, data=data)
        return {"received": here, "file": file_json(found) if found.stored_id else None}

    return await sync_to_async(receive)()


@router.get(
    "/files/{uuid:file_id}",
    auth=Token(Scope.READ),
    response={200: schemas.File, **REFUSALS},
    operation_id="getFile",
    summary="Get a file's description",
)
async def get_file(request: ApiRequest, file_id: Path[UUID]) -> dict[str, Any]:
    return await run_unit(lambda: file_json(attachment_for(request.auth.user, file_id)))


@router.get(
    "/files/{uuid:file_id}/content",
    auth=Token(Scope.READ),
    response={200: None, **REFUSALS},
    operation_id="downloadFile",
    summary="Download a file",
    openapi_extra={
        "responses": {200: {"description": "The file.", "content": {"application/octet-stream": {}}}}
    },
)
async def download(request: ApiRequest, file_id: Path[UUID]) -> HttpResponseBase:
    """Returns the bytes of the file, as they were uploaded."""
    return content_of(request, await run_unit(attachment_for, request.auth.user, file_id))


@router.delete(
    "/files/{uuid:file_id}",
    auth=Token(Scope.CHAT),
    response={204: None, **REFUSALS},
    operation_id="deleteFile",
    summary="Delete a file that is not sent",
)
async def delete(request: ApiRequest, file_id: Path[UUID]) -> Status[None]:
    """Deletes a file that is in no message, or an upload that is not complete. Files of messages are deleted
    with them."""
    # Not a unit of database work: it deletes from the storage, for which no other write should wait.
    await sync_to_async(remove_attachment)(request.auth.user, file_id)
    return Status(204, None)


def content_of(request: ApiRequest, attachment: Attachment) -> HttpResponseBase:
    """Returns the bytes of a file that the user may see."""
    file = attachment.stored
    assert file is not None
    headers = {
        "Content-Length": str(file.size),
        "Content-Disposition": content_disposition_header(True, attachment.name) or "attachment",
        "Cache-Control": "no-store",
        # Nothing in the file runs or loads anything, also where a browser opens it.
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
        "Content-Encoding": "identity",
    }
    response = StreamingHttpResponse(
        _pieces(file.path), content_type="application/octet-stream", headers=headers
    )
    return with_limits(request, response)


def _page(user: User, sent: bool | None, cursor: str, limit: int) -> dict[str, Any]:
    found = attachments_of(user).order_by("-created_at", "-pk")
    if sent is not None:
        found = found.filter(message__isnull=not sent)
    if cursor:
        moment, last = decoded(cursor, moment_in, UUID)
        found = found.filter(Q(created_at__lt=moment) | Q(created_at=moment, pk__lt=last))

    def key(row: Attachment) -> str:
        return encoded(row.created_at.isoformat(), row.pk)

    return page_of(list(found[: limit + 1]), limit, file_json, key)


async def _pieces(name: str) -> AsyncIterator[bytes]:
    pieces = store.chunks(name)
    try:
        while data := await asyncio.to_thread(next, pieces, b""):
            yield data
    finally:
        await asyncio.to_thread(pieces.close)  # type: ignore[attr-defined]
