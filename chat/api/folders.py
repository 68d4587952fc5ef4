"""Folders of chats, and presets that chats begin with."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from ninja import Path, Router, Status

from chat.access import folder_for, newest_versions
from chat.actions.folder import change_folder, delete_folder, make_folder, move_conversation
from chat.actions.preset import (
    PresetContent,
    change_preset,
    choose_preset,
    copy_preset,
    delete_preset,
    make_preset,
    restore_version,
)
from chat.actions.queue import lock_user
from chat.api import schemas
from chat.api.routing import REFUSALS, ApiRequest, Token
from chat.api.sharing import shared_json, sharing_of
from chat.database import run_unit, run_write
from chat.models import ChatModel, Folder, PresetVersion, Scope, User

router = Router(tags=["Folders and presets"])


@router.get(
    "/folders",
    auth=Token(Scope.READ),
    response={200: schemas.FolderList, **REFUSALS},
    operation_id="listFolders",
    summary="List your folders",
)
async def list_folders(request: ApiRequest) -> dict[str, Any]:
    owned = Folder.objects.filter(owner=request.auth.user)
    return {"items": await run_unit(lambda: list(map(_folder_json, owned)))}


@router.post(
    "/folders",
    auth=Token(Scope.CHAT),
    response={201: schemas.Folder, **REFUSALS},
    operation_id="makeFolder",
    summary="Make a folder",
)
async def make(request: ApiRequest, body: schemas.NewFolder) -> Status[dict[str, Any]]:
    return Status(201, _folder_json(await run_write(make_folder, request.auth.user, body.name)))


@router.patch(
    "/folders/{uuid:folder_id}",
    auth=Token(Scope.CHAT),
    response={200: schemas.Folder, **REFUSALS},
    operation_id="changeFolder",
    summary="Change a folder",
)
async def change(request: ApiRequest, folder_id: Path[UUID], body: schemas.FolderChange) -> dict[str, Any]:
    """Changes the fields that are sent. The instructions are sent with each chat in the folder."""

    def store() -> dict[str, Any]:
        sent = body.model_dump(exclude_unset=True)
        with transaction.atomic():
            lock_user(request.auth.user)  # what is not sent stays as it is at the change
            folder = folder_for(request.auth.user, folder_id)
            found = change_folder(
                request.auth.user,
                folder_id,
                name=sent.get("name") or folder.name,
                instructions=folder.instructions
                if sent.get("instructions") is None
                else sent["instructions"],
                preset_id=sent.get("preset", folder.preset_id),
            )
        return _folder_json(found)

    return await run_write(store)


@router.delete(
    "/folders/{uuid:folder_id}",
    auth=Token(Scope.CHAT),
    response={204: None, **REFUSALS},
    operation_id="deleteFolder",
    summary="Delete a folder",
)
async def delete(request: ApiRequest, folder_id: Path[UUID], with_chats: bool = False) -> Status[None]:
    """Its chats stay in the list, or are deleted with it and can be restored."""
    await run_write(delete_folder, request.auth.user, folder_id, with_chats=with_chats)
    return Status(204, None)


@router.put(
    "/conversations/{uuid:conversation_id}/folder",
    auth=Token(Scope.CHAT),
    response={204: None, **REFUSALS},
    operation_id="moveConversation",
    summary="Move a chat to a folder",
)
async def move(request: ApiRequest, conversation_id: Path[UUID], body: schemas.Place) -> Status[None]:
    """Moves the chat to the folder, or out of its folder."""
    await run_write(move_conversation, request.auth.user, conversation_id, body.folder)
    return Status(204, None)


@router.get(
    "/presets",
    auth=Token(Scope.READ),
    response={200: schemas.PresetList, **REFUSALS},
    operation_id="listPresets",
    summary="List presets",
)
async def list_presets(request: ApiRequest) -> dict[str, Any]:
    """Returns your own presets and those that are shared with you, in their newest versions. A shared one
    names no model that you may not use."""
    user = request.auth.user

    def read() -> list[dict[str, Any]]:
        open_to_them = set(ChatModel.objects.usable_by(user).values_list("pk", flat=True))
        versions = newest_versions(user).prefetch_related("preset__groups")
        found = [_preset_json(user, version) for version in versions]
        for preset in found:
            if not preset["own"] and preset["model"] not in open_to_them:
                preset["model"] = None
        return found

    return {"items": await run_unit(read)}


@router.post(
    "/presets",
    auth=Token(Scope.CHAT),
    response={201: schemas.Preset, **REFUSALS},
    operation_id="makePreset",
    summary="Make a preset",
)
async def make_one(request: ApiRequest, body: schemas.NewPreset) -> Status[dict[str, Any]]:
    user = request.auth.user

    def store() -> dict[str, Any]:
        return _preset_json(user, make_preset(user, _content(body), sharing_of(user, body.shared)).newest)

    return Status(201, await run_write(store))


@router.put(
    "/presets/{uuid:preset_id}",
    auth=Token(Scope.CHAT),
    response={200: schemas.Preset, **REFUSALS},
    operation_id="changePreset",
    summary="Change a preset",
)
async def change_one(request: ApiRequest, preset_id: Path[UUID], body: schemas.NewPreset) -> dict[str, Any]:
    """Adds a version of your own preset. Chats keep the version that they have."""
    user = request.auth.user

    def store() -> dict[str, Any]:
        changed = change_preset(user, preset_id, _content(body), sharing_of(user, body.shared))
        return _preset_json(user, changed.newest)

    return await run_write(store)


@router.delete(
    "/presets/{uuid:preset_id}",
    auth=Token(Scope.CHAT),
    response={204: None, **REFUSALS},
    operation_id="deletePreset",
    summary="Delete a preset",
)
async def delete_one(request: ApiRequest, preset_id: Path[UUID]) -> Status[None]:
    """Deletes your own preset. Chats go on with their copies."""
    await run_write(delete_preset, request.auth.user, preset_id)
    return Status(204, None)


@router.post(
    "/presets/{uuid:preset_id}/copies",
    auth=Token(Scope.CHAT),
    response={201: schemas.Preset, **REFUSALS},
    operation_id="copyPreset",
    summary="Copy a preset",
)
async def copy_one(request: ApiRequest, preset_id: Path[UUID]) -> Status[dict[str, Any]]:
    """Makes a preset of your own from one that you may use."""
    user = request.auth.user
    return Status(201, await run_write(lambda: _preset_json(user, copy_preset(user, preset_id).newest)))


@router.post(
    "/presets/{uuid:preset_id}/versions",
    auth=Token(Scope.CHAT),
    response={201: schemas.Preset, **REFUSALS},
    operation_id="restorePresetVersion",
    summary="Restore a version of a preset",
)
async def restore_one(
    request: ApiRequest, preset_id: Path[UUID], body: schemas.PresetVersion
) -> Status[dict[str, Any]]:
    """Adds a version with the content of an older one to your own preset."""
    user = request.auth.user

    def store() -> dict[str, Any]:
        return _preset_json(user, restore_version(user, preset_id, body.version).newest)

    return Status(201, await run_write(store))


@router.put(
    "/conversations/{uuid:conversation_id}/preset",
    auth=Token(Scope.CHAT),
    response={204: None, **REFUSALS},
    operation_id="choosePreset",
    summary="Choose the preset of a chat",
)
async def choose(
    request: ApiRequest, conversation_id: Path[UUID], body: schemas.PresetChoice
) -> Status[None]:
    """Uses the newest version of the preset from the next prompt on, or none. With an unused id the first
    prompt of this `conversation` begins a chat with it."""
    await run_write(choose_preset, request.auth.user, conversation_id, body.preset, body.values)
    return Status(204, None)


def _content(body: schemas.NewPreset) -> PresetContent:
    parameters = body.parameters.model_dump(exclude_none=True) if body.parameters else {}
    return PresetContent(
        body.name, body.instructions, body.model, parameters, tuple(body.tools), tuple(body.prompts)
    )


def _folder_json(folder: Folder) -> dict[str, Any]:
    return {
        "id": folder.pk,
        "name": folder.name,
        "instructions": folder.instructions,
        "preset": folder.preset_id,
    }


def _preset_json(user: User, version: PresetVersion) -> dict[str, Any]:
    return {
        "id": version.preset_id,
        "own": version.preset.owner_id == user.pk,
        "version": version.number,
        "name": version.name,
        "instructions": version.instructions,
        "model": version.model_id,
        "parameters": version.parameters,
        "tools": version.tools,
        "prompts": version.prompts,
        "variables": version.variables,
        "shared": shared_json(user, version.preset),
    }
