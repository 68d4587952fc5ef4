"""Files of folders and presets, which the models of their chats get."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.http import HttpResponseBase
from ninja import Path, Router, Status

from chat.access import folder_for, knowledge_for, preset_for
from chat.actions.knowledge import add_to_folder, add_to_preset, remove_knowledge
from chat.api import schemas
from chat.api.files import content_of
from chat.api.resources import knowledge_json
from chat.api.routing import REFUSALS, ApiRequest, Token
from chat.database import run_unit
from chat.models import Folder, Knowledge, Preset, Scope, User

router = Router(tags=["Folders and presets"])


@router.get(
    "/folders/{uuid:folder_id}/files",
    auth=Token(Scope.READ),
    response={200: schemas.KnowledgeList, **REFUSALS},
    operation_id="listFolderFiles",
    summary="List the files of a folder",
)
async def list_of_folder(request: ApiRequest, folder_id: Path[UUID]) -> dict[str, Any]:
    """Returns the files that the models of the folder's chats get, the first added first."""
    return await run_unit(lambda: _list(folder=folder_for(request.auth.user, folder_id)))


@router.post(
    "/folders/{uuid:folder_id}/files",
    auth=Token(Scope.CHAT),
    response={201: schemas.Knowledge, **REFUSALS},
    operation_id="addFolderFile",
    summary="Add a file to a folder",
)
async def add_to_one_folder(
    request: ApiRequest, folder_id: Path[UUID], body: schemas.NewKnowledge
) -> Status[dict[str, Any]]:
    """Adds a file that you uploaded. Adding it again changes nothing. A file of a message is added as a
    copy."""
    return Status(201, await _add(add_to_folder, request.auth.user, folder_id, body.file))


@router.get(
    "/presets/{uuid:preset_id}/files",
    auth=Token(Scope.READ),
    response={200: schemas.KnowledgeList, **REFUSALS},
    operation_id="listPresetFiles",
    summary="List the files of a preset",
)
async def list_of_preset(request: ApiRequest, preset_id: Path[UUID]) -> dict[str, Any]:
    """Returns the files of your own preset, or of one that is shared with you."""
    return await run_unit(lambda: _list(preset=preset_for(request.auth.user, preset_id)))


@router.post(
    "/presets/{uuid:preset_id}/files",
    auth=Token(Scope.CHAT),
    response={201: schemas.Knowledge, **REFUSALS},
    operation_id="addPresetFile",
    summary="Add a file to a preset",
)
async def add_to_one_preset(
    request: ApiRequest, preset_id: Path[UUID], body: schemas.NewKnowledge
) -> Status[dict[str, Any]]:
    """Adds a file that you uploaded to your own preset. Everybody who may use the preset may read it."""
    return Status(201, await _add(add_to_preset, request.auth.user, preset_id, body.file))


@router.get(
    "/knowledge/{uuid:knowledge_id}",
    auth=Token(Scope.READ),
    response={200: schemas.Knowledge, **REFUSALS},
    operation_id="getKnowledge",
    summary="Get the description of a file of a folder or preset",
)
async def get_one(request: ApiRequest, knowledge_id: Path[UUID]) -> dict[str, Any]:
    return await run_unit(lambda: knowledge_json(knowledge_for(request.auth.user, knowledge_id)))


@router.get(
    "/knowledge/{uuid:knowledge_id}/content",
    auth=Token(Scope.READ),
    response={200: None, **REFUSALS},
    operation_id="downloadKnowledge",
    summary="Download a file of a folder or preset",
    openapi_extra={
        "responses": {200: {"description": "The file.", "content": {"application/octet-stream": {}}}}
    },
)
async def download(request: ApiRequest, knowledge_id: Path[UUID]) -> HttpResponseBase:
    """Returns the bytes of the file, as they were uploaded."""
    found = await run_unit(knowledge_for, request.auth.user, knowledge_id)
    return content_of(request, found.attachment)


@router.delete(
    "/knowledge/{uuid:knowledge_id}",
    auth=Token(Scope.CHAT),
    response={204: None, **REFUSALS},
    operation_id="removeKnowledge",
    summary="Remove a file from its folder or preset",
)
async def remove(request: ApiRequest, knowledge_id: Path[UUID]) -> Status[None]:
    """Removes a file of your own folder or preset. Replies keep the passages that they were made from."""
    # Not a unit of database work: it deletes from the storage, for which no other write should wait.
    await sync_to_async(remove_knowledge)(request.auth.user, knowledge_id)
    return Status(204, None)


async def _add(
    add: Callable[[User, UUID, UUID], Knowledge], user: User, holder_id: UUID, file_id: UUID
) -> dict[str, Any]:
    # Not a unit of database work: it reads the text from the storage.
    return await sync_to_async(lambda: knowledge_json(add(user, holder_id, file_id)))()


def _list(**of: Folder | Preset) -> dict[str, Any]:
    found = Knowledge.objects.filter(**of).select_related("attachment__stored")
    return {"items": list(map(knowledge_json, found))}
