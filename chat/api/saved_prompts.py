"""Saved prompts, which the message box of the page offers by `/name`."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from ninja import Path, Router, Status

from chat.actions.saved_prompt import change_saved_prompt, delete_saved_prompt, make_saved_prompt
from chat.api import schemas
from chat.api.routing import REFUSALS, ApiRequest, Token
from chat.api.sharing import shared_json, sharing_of
from chat.database import run_unit, run_write
from chat.models import SavedPrompt, Scope, User
from chat.models.variables import variables_in

router = Router(tags=["Folders and presets"])


@router.get(
    "/saved-prompts",
    auth=Token(Scope.READ),
    response={200: schemas.SavedPromptList, **REFUSALS},
    operation_id="listSavedPrompts",
    summary="List saved prompts",
)
async def list_saved_prompts(request: ApiRequest) -> dict[str, Any]:
    """Returns your own saved prompts and those that are shared with you."""
    user = request.auth.user
    found: Any = SavedPrompt.objects.seen_by(user).prefetch_related("groups")
    return {"items": await run_unit(lambda: [_json(user, prompt) for prompt in found])}


@router.post(
    "/saved-prompts",
    auth=Token(Scope.CHAT),
    response={201: schemas.SavedPrompt, **REFUSALS},
    operation_id="makeSavedPrompt",
    summary="Save a prompt",
)
async def make(request: ApiRequest, body: schemas.NewSavedPrompt) -> Status[dict[str, Any]]:
    user = request.auth.user

    def store() -> dict[str, Any]:
        return _json(user, make_saved_prompt(user, body.name, body.text, sharing_of(user, body.shared)))

    return Status(201, await run_write(store))


@router.put(
    "/saved-prompts/{uuid:saved_prompt_id}",
    auth=Token(Scope.CHAT),
    response={200: schemas.SavedPrompt, **REFUSALS},
    operation_id="changeSavedPrompt",
    summary="Change a saved prompt",
)
async def change(
    request: ApiRequest, saved_prompt_id: Path[UUID], body: schemas.NewSavedPrompt
) -> dict[str, Any]:
    """Changes a saved prompt of your own."""
    user = request.auth.user

    def store() -> dict[str, Any]:
        sharing = sharing_of(user, body.shared)
        return _json(user, change_saved_prompt(user, saved_prompt_id, body.name, body.text, sharing))

    return await run_write(store)


@router.delete(
    "/saved-prompts/{uuid:saved_prompt_id}",
    auth=Token(Scope.CHAT),
    response={204: None, **REFUSALS},
    operation_id="deleteSavedPrompt",
    summary="Delete a saved prompt",
)
async def delete(request: ApiRequest, saved_prompt_id: Path[UUID]) -> Status[None]:
    await run_write(delete_saved_prompt, request.auth.user, saved_prompt_id)
    return Status(204, None)


def _json(user: User, prompt: SavedPrompt) -> dict[str, Any]:
    return {
        "id": prompt.pk,
        "own": prompt.owner_id == user.pk,
        "name": prompt.name,
        "text": prompt.text,
        "variables": variables_in(prompt.text),
        "shared": shared_json(user, prompt),
    }
