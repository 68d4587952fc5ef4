"""Export and import of chats."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from asgiref.sync import sync_to_async
from django.http import HttpResponseBase, StreamingHttpResponse
from django.utils.http import content_disposition_header
from ninja import Path, Router, Status
from ninja.params import functions as parameters

from chat.actions.chat_export import export_many, export_one
from chat.actions.chat_import import (
    agree_to_import,
    discard_import,
    import_for,
    imports_of,
    start_import,
)
from chat.api import schemas
from chat.api.bodies import RAW, Body
from chat.api.routing import REFUSALS, ApiRequest, Token, with_limits
from chat.database import run_unit, run_write
from chat.models import ChatImport, Scope
from chat.models.chat_import import NAME_LENGTH
from chat.rendering.words import translated

router = Router(tags=["Export and import"])

_LISTED = 100
_TYPES = {"md": "text/markdown; charset=utf-8", "json": "application/json", "zip": "application/zip"}
_FILE = {
    "responses": {
        200: {"description": "The file.", "content": {it.partition(";")[0]: {} for it in _TYPES.values()}}
    }
}
Format = Annotated[Literal["json", "markdown"], parameters.Query(alias="format")]


@router.get(
    "/conversations/{uuid:conversation_id}/export",
    auth=Token(Scope.READ),
    response={200: None, **REFUSALS},
    operation_id="exportConversation",
    summary="Export a chat",
    openapi_extra=_FILE,
)
async def export_chat(
    request: ApiRequest, conversation_id: Path[UUID], form: Format = "json"
) -> HttpResponseBase:
    """Returns the chat with all its branches as a file. See docs/export.md."""
    name, pieces = await run_unit(export_one, request.auth.user, conversation_id, form)
    return _file(request, name, pieces)


@router.post(
    "/exports",
    auth=Token(Scope.READ),
    response={200: None, **REFUSALS},
    operation_id="exportConversations",
    summary="Export many chats",
    openapi_extra=_FILE,
)
async def export_chats(request: ApiRequest, body: schemas.NewExport) -> HttpResponseBase:
    """Returns these chats, or all, as one file. It changes nothing, so the scope `read` is enough."""
    name, pieces = await run_unit(export_many, request.auth.user, body.conversations, body.format)
    return _file(request, name, pieces)


@router.get(
    "/imports",
    auth=Token(Scope.READ),
    response={200: schemas.ImportList, **REFUSALS},
    operation_id="listImports",
    summary="List your imports",
)
async def list_imports(request: ApiRequest) -> dict[str, Any]:
    """Returns the last imports, the newest first."""
    found = await run_unit(lambda: list(imports_of(request.auth.user)[:_LISTED]))
    return {"items": [_import_json(one) for one in found]}


@router.post(
    "/imports",
    auth=Token(Scope.CHAT),
    response={201: schemas.Import, **REFUSALS},
    operation_id="startImport",
    summary="Start an import",
    openapi_extra=RAW,
)
async def start(
    request: ApiRequest,
    name: Annotated[
        str, parameters.Query(min_length=1, max_length=NAME_LENGTH, description="The name of the file.")
    ],
) -> Status[dict[str, Any]]:
    """Takes an export of Steady or of another product as the body, and reads it. Nothing is imported before
    you agree: wait until its state is `ready`. A larger file than one request may have is imported on the
    page."""
    user, body = request.auth.user, Body(request)
    started = await sync_to_async(start_import)(user, body.file, name=name, size=body.size)
    return Status(201, _import_json(started))


@router.get(
    "/imports/{uuid:import_id}",
    auth=Token(Scope.READ),
    response={200: schemas.Import, **REFUSALS},
    operation_id="getImport",
    summary="Get an import",
)
async def get_import(request: ApiRequest, import_id: Path[UUID]) -> dict[str, Any]:
    return _import_json(await run_unit(import_for, request.auth.user, import_id))


@router.post(
    "/imports/{uuid:import_id}/agreement",
    auth=Token(Scope.CHAT),
    response={200: schemas.Import, **REFUSALS},
    operation_id="agreeToImport",
    summary="Import the chats of a file that was read",
)
async def agree(request: ApiRequest, import_id: Path[UUID]) -> dict[str, Any]:
    """Starts to take the chats. Does nothing for an import that was started before."""
    await run_write(agree_to_import, request.auth.user, import_id)
    return _import_json(await run_unit(import_for, request.auth.user, import_id))


@router.delete(
    "/imports/{uuid:import_id}",
    auth=Token(Scope.CHAT),
    response={204: None, **REFUSALS},
    operation_id="discardImport",
    summary="Discard an import",
)
async def discard(request: ApiRequest, import_id: Path[UUID]) -> Status[None]:
    """Ends the import and deletes its file. Chats that it has taken stay."""
    await run_write(discard_import, request.auth.user, import_id)
    return Status(204, None)


def _file(request: ApiRequest, name: str, pieces: Any) -> HttpResponseBase:
    headers = {
        "Content-Disposition": content_disposition_header(True, name) or "attachment",
        "Cache-Control": "no-store",
    }
    response = StreamingHttpResponse(pieces, content_type=_TYPES[name.rpartition(".")[2]], headers=headers)
    return with_limits(request, response)


def _import_json(found: ChatImport) -> dict[str, Any]:
    names = (
        "name", "state", "format", "chats", "messages", "known", "taken", "unreadable", "titles",
        "created_at", "finished_at",
    )  # fmt: skip
    return {
        "id": found.pk,
        **{name: getattr(found, name) for name in names},
        "error": translated(found.error),
        "extras": found.extras or {},
        "problems": [{**it, "reason": translated(it["reason"])} for it in found.problems],
        "left_out": {translated(name): number for name, number in found.left_out.items()},
    }
