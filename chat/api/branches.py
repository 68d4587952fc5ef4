"""The branches of a chat's tree: variants of a message, copies as new chats, and the undo of a deletion."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from ninja import Path, Router, Status

from chat.access import message_for
from chat.actions.branch import branch_conversation
from chat.actions.conversation import restore_conversation
from chat.actions.errors import ConflictError
from chat.actions.message import restore_message
from chat.actions.variant import show_variant
from chat.api import schemas
from chat.api.pages import Cursor, Limit, page_of_messages
from chat.api.resources import conversation_json, message_json
from chat.api.routing import REFUSALS, ApiRequest, Token
from chat.database import run_unit, run_write
from chat.models import Message, Scope, User
from chat.models.message import MessageQuerySet
from chat.translatable import translatable as _

router = Router(tags=["Chats"])


@router.get(
    "/messages/{uuid:message_id}/variants",
    auth=Token(Scope.READ),
    response={200: schemas.MessagePage, **REFUSALS},
    operation_id="listVariants",
    summary="List the variants of a message",
)
async def list_variants(
    request: ApiRequest, message_id: Path[UUID], cursor: Cursor = "", limit: Limit = 50
) -> dict[str, Any]:
    """Returns the edited forms of a prompt, or the replies to the same prompt, with the message itself, in
    their order."""

    def page() -> dict[str, Any]:
        message = message_for(request.auth.user, message_id)
        return page_of_messages(_variants_of(message), cursor, limit)

    return await run_unit(page)


@router.put(
    "/messages/{uuid:message_id}/shown",
    auth=Token(Scope.CHAT),
    response={200: schemas.Message, **REFUSALS},
    operation_id="showVariant",
    summary="Show a variant",
)
async def show(request: ApiRequest, message_id: Path[UUID]) -> dict[str, Any]:
    """Shows this message in place of its variant that is shown, with the last messages below it. New prompts
    continue from there. Does nothing if it is shown."""
    return await run_write(_shown, request.auth.user, message_id)


@router.post(
    "/messages/{uuid:message_id}/branches",
    auth=Token(Scope.CHAT),
    response={201: schemas.Conversation, **REFUSALS},
    operation_id="branchConversation",
    summary="Branch a chat",
)
async def branch(request: ApiRequest, message_id: Path[UUID]) -> Status[dict[str, Any]]:
    """Copies the messages from the first one to this one into a new chat."""

    def copy() -> dict[str, Any]:
        return conversation_json(branch_conversation(request.auth.user, message_id), running=False)

    return Status(201, await run_write(copy))


@router.post(
    "/messages/{uuid:message_id}/restoration",
    auth=Token(Scope.CHAT),
    response={204: None, **REFUSALS},
    operation_id="restoreMessage",
    summary="Undo the deletion of a message",
)
async def restore(request: ApiRequest, message_id: Path[UUID]) -> Status[None]:
    """Restores the message and those that were deleted with it, while the chat has a place for them."""
    await run_write(restore_message, request.auth.user, message_id)
    return Status(204, None)


@router.post(
    "/conversations/{uuid:conversation_id}/restoration",
    auth=Token(Scope.CHAT),
    response={204: None, **REFUSALS},
    operation_id="restoreConversation",
    summary="Undo the deletion of a chat",
)
async def restore_chat(request: ApiRequest, conversation_id: Path[UUID]) -> Status[None]:
    """Restores a chat that was deleted a short time ago."""
    await run_write(restore_conversation, request.auth.user, conversation_id)
    return Status(204, None)


def _variants_of(message: Message) -> MessageQuerySet:
    siblings = Message.objects.filter(conversation=message.conversation, parent=message.parent_id)
    return siblings.filter(role=message.role, deleted_at=None)


def _shown(user: User, message_id: UUID) -> dict[str, Any]:
    message = message_for(user, message_id)
    if not message.shown:
        in_place = _variants_of(message).filter(shown=True).first()
        if in_place is None:
            raise ConflictError(_("This message is not in the chat any more. Reload the chat."))
        show_variant(user, in_place.pk, message_id)
    return message_json(message_for(user, message_id))
