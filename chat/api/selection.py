"""Changes of many chats at once."""

from __future__ import annotations

from typing import Any

from ninja import Router

from chat.actions.selection import (
    archive_conversations,
    delete_conversations,
    move_conversations,
    restore_conversations,
    tag_conversations,
    untag_conversations,
)
from chat.api import schemas
from chat.api.routing import REFUSALS, ApiRequest, Token
from chat.database import run_write
from chat.models import Scope, User

router = Router(tags=["Chats"])


@router.post(
    "/conversations/changes",
    auth=Token(Scope.CHAT),
    response={200: schemas.Changed, **REFUSALS},
    operation_id="changeConversations",
    summary="Archive, move, tag, delete or restore many chats",
)
async def change(request: ApiRequest, body: schemas.Selection) -> dict[str, Any]:
    """Changes all of these chats, or none. Chats that are gone, or not yours, are left out; if none is left,
    it is a 404. Their export is `POST /exports`."""
    return {"changed": await run_write(_changed, request.auth.user, body)}


def _changed(user: User, body: schemas.Selection) -> int:
    """Returns the number of chats."""
    ids = list(dict.fromkeys(body.conversations))
    match body.action:
        case "archive" | "unarchive":
            return archive_conversations(user, ids, archived=body.action == "archive")
        case "move":
            return move_conversations(user, ids, body.folder)
        case "tag":
            return tag_conversations(user, ids, body.tag)
        case "untag":
            return untag_conversations(user, ids, body.tag)
        case "delete":
            return len(delete_conversations(user, ids))
        case "restore":
            return restore_conversations(user, ids)
