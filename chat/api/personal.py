"""What the user has chosen: instructions for models, and favourites."""

from __future__ import annotations

from typing import Any

from ninja import Path, Router, Status

from chat.actions.preferences import favour_model, set_preferences
from chat.api import schemas
from chat.api.routing import REFUSALS, ApiRequest, Token
from chat.database import run_unit, run_write
from chat.models import Preferences, Scope, User
from chat.parts import storable

router = Router(tags=["Settings"])


@router.get(
    "/instructions",
    auth=Token(Scope.READ),
    response={200: schemas.Instructions, **REFUSALS},
    operation_id="getInstructions",
    summary="Get your own instructions",
)
async def get_instructions(request: ApiRequest) -> dict[str, Any]:
    """Returns the text that models are sent with each prompt of yours in a chat."""
    return await run_unit(_instructions, request.auth.user)


@router.put(
    "/instructions",
    auth=Token(Scope.CHAT),
    response={200: schemas.Instructions, **REFUSALS},
    operation_id="setInstructions",
    summary="Change your own instructions",
)
async def set_instructions(request: ApiRequest, body: schemas.Instructions) -> dict[str, Any]:
    """Counts for prompts that are sent from now on, on the page too."""

    def store() -> dict[str, Any]:
        set_preferences(request.auth.user, {"instructions": storable(body.text).strip()})
        return _instructions(request.auth.user)

    return await run_write(store)


@router.put(
    "/models/{int:model_id}/favourite",
    auth=Token(Scope.CHAT),
    response={204: None, **REFUSALS},
    operation_id="favourModel",
    summary="Make a model a favourite",
)
async def favour(request: ApiRequest, model_id: Path[int]) -> Status[None]:
    """Lists the model first, on the page too."""
    await run_write(favour_model, request.auth.user, model_id, favourite=True)
    return Status(204, None)


@router.delete(
    "/models/{int:model_id}/favourite",
    auth=Token(Scope.CHAT),
    response={204: None, **REFUSALS},
    operation_id="unfavourModel",
    summary="Make a model no favourite any more",
)
async def unfavour(request: ApiRequest, model_id: Path[int]) -> Status[None]:
    await run_write(favour_model, request.auth.user, model_id, favourite=False)
    return Status(204, None)


def _instructions(user: User) -> dict[str, Any]:
    return {
        "text": Preferences.objects.filter(user=user).values_list("instructions", flat=True).first() or ""
    }
