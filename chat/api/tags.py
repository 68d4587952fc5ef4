"""Tags of chats."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from ninja import Path, Router

from chat.access import conversation_for
from chat.actions.tag import set_tags, tag_names
from chat.api import schemas
from chat.api.routing import REFUSALS, ApiRequest, Token
from chat.database import run_unit, run_write
from chat.models import Scope, User

router = Router(tags=["Chats"])


@router.get(
    "/tags",
    auth=Token(Scope.READ),
    response={200: schemas.Tags, **REFUSALS},
    operation_id="listTags",
    summary="List your tags",
)
async def list_tags(request: ApiRequest) -> dict[str, Any]:
    """Returns the tags of your chats, the most frequent first."""
    return {"items": await run_unit(tag_names, request.auth.user)}


@router.get(
    "/conversations/{uuid:conversation_id}/tags",
    auth=Token(Scope.READ),
    response={200: schemas.Tags, **REFUSALS},
    operation_id="getConversationTags",
    summary="Get the tags of a chat",
)
async def get_tags(request: ApiRequest, conversation_id: Path[UUID]) -> dict[str, Any]:
    return await run_unit(_tags, request.auth.user, conversation_id)


@router.put(
    "/conversations/{uuid:conversation_id}/tags",
    auth=Token(Scope.CHAT),
    response={200: schemas.Tags, **REFUSALS},
    operation_id="setConversationTags",
    summary="Set the tags of a chat",
)
async def put_tags(request: ApiRequest, conversation_id: Path[UUID], body: schemas.NewTags) -> dict[str, Any]:
    """Gives the chat exactly these tags. `POST /conversations/changes` adds or removes one of many chats."""

    def store() -> dict[str, Any]:
        set_tags(request.auth.user, conversation_id, body.items)
        return _tags(request.auth.user, conversation_id)

    return await run_write(store)


def _tags(user: User, conversation_id: UUID) -> dict[str, Any]:
    return {"items": [tag.name for tag in conversation_for(user, conversation_id).tags.all()]}
