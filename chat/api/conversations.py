"""Chats and their messages."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q
from ninja import Path, Router, Status
from ninja.params import functions as parameters

from chat.access import conversation_for, conversations_of, deleted_conversations_of, message_for
from chat.actions.conversation import (
    archive_conversation,
    delete_conversation,
    pin_conversation,
    rename_conversation,
)
from chat.actions.housekeeping import undo_limit
from chat.actions.message import delete_message
from chat.actions.tag import readable_tag
from chat.actions.tools import switch_tools
from chat.api import schemas
from chat.api.pages import Cursor, Limit, decoded, encoded, page_of, page_of_messages
from chat.api.resources import aware, conversation_json, message_json, moment_in
from chat.api.routing import REFUSALS, ApiRequest, Token
from chat.database import run_unit, run_write
from chat.models import Generation, Scope, Tag, User
from chat.search.query import tag_key

router = Router(tags=["Chats"])


@router.get(
    "/conversations",
    auth=Token(Scope.READ),
    response={200: schemas.ConversationPage, **REFUSALS},
    operation_id="listConversations",
    summary="List chats",
)
async def list_conversations(
    request: ApiRequest,
    cursor: Cursor = "",
    limit: Limit = 50,
    archived: bool = False,
    pinned: bool | None = None,
    running: bool | None = None,
    title: Annotated[str, parameters.Query(max_length=200, description="A part of the title.")] = "",
    updated_since: datetime | None = None,
    folder: UUID | None = None,
    tag: Annotated[str, parameters.Query(max_length=200, description="The name of a tag.")] = "",
) -> dict[str, Any]:
    """Returns your chats, the last changed first."""
    filters = Q(archived_at__isnull=not archived)
    if pinned is not None:
        filters &= Q(pinned_at__isnull=not pinned)
    if running is not None:
        filters &= Q(is_running=running)
    if title:
        filters &= Q(title__icontains=title.replace("\x00", ""))
    if updated_since:
        filters &= Q(updated_at__gte=aware(updated_since))
    if folder:
        filters &= Q(folder=folder)
    if tag:
        filters &= Q(pk__in=Tag.objects.filter(key=tag_key(readable_tag(tag))).values("conversation"))
    return await run_unit(_page_of_conversations, request.auth.user, filters, cursor, limit)


@router.get(
    "/deleted-conversations",
    auth=Token(Scope.READ),
    response={200: schemas.DeletedConversationPage, **REFUSALS},
    operation_id="listDeletedConversations",
    summary="List deleted chats",
)
async def list_deleted(request: ApiRequest, cursor: Cursor = "", limit: Limit = 50) -> dict[str, Any]:
    """Returns the chats that you deleted and can still restore, the last deleted first."""
    return await run_unit(_page_of_deleted, request.auth.user, cursor, limit)


@router.get(
    "/conversations/{uuid:conversation_id}",
    auth=Token(Scope.READ),
    response={200: schemas.Conversation, **REFUSALS},
    operation_id="getConversation",
    summary="Get a chat",
)
async def get_conversation(request: ApiRequest, conversation_id: Path[UUID]) -> dict[str, Any]:
    return await run_unit(_conversation, request.auth.user, conversation_id)


@router.patch(
    "/conversations/{uuid:conversation_id}",
    auth=Token(Scope.CHAT),
    response={200: schemas.Conversation, **REFUSALS},
    operation_id="changeConversation",
    summary="Rename, pin or archive a chat, or switch its tools",
)
async def change_conversation(
    request: ApiRequest, conversation_id: Path[UUID], body: schemas.ConversationChange
) -> dict[str, Any]:
    """Changes the fields that are sent."""

    def change() -> dict[str, Any]:
        user = request.auth.user
        if body.title is not None:
            rename_conversation(user, conversation_id, body.title)
        if body.pinned is not None:
            pin_conversation(user, conversation_id, pinned=body.pinned)
        if body.archived is not None:
            archive_conversation(user, conversation_id, archived=body.archived)
        if body.tools is not None:
            switch_tools(user, conversation_id, body.tools)
        return _conversation(user, conversation_id)

    return await run_write(change)


@router.delete(
    "/conversations/{uuid:conversation_id}",
    auth=Token(Scope.CHAT),
    response={204: None, **REFUSALS},
    operation_id="deleteConversation",
    summary="Delete a chat",
)
async def remove_conversation(request: ApiRequest, conversation_id: Path[UUID]) -> Status[None]:
    """Deletes the chat and stops its running replies."""
    await run_write(delete_conversation, request.auth.user, conversation_id)
    return Status(204, None)


@router.get(
    "/conversations/{uuid:conversation_id}/messages",
    auth=Token(Scope.READ),
    response={200: schemas.MessagePage, **REFUSALS},
    operation_id="listMessages",
    summary="List the messages of a chat",
)
async def list_messages(
    request: ApiRequest,
    conversation_id: Path[UUID],
    cursor: Cursor = "",
    limit: Limit = 50,
    shown: Annotated[
        bool | None, parameters.Query(description="Only the path that the page shows, or only the rest.")
    ] = None,
) -> dict[str, Any]:
    """Returns the tree of messages in the order of their positions: `parent` is the message before."""
    return await run_unit(_page_of_messages, request.auth.user, conversation_id, shown, cursor, limit)


@router.get(
    "/messages/{uuid:message_id}",
    auth=Token(Scope.READ),
    response={200: schemas.Message, **REFUSALS},
    operation_id="getMessage",
    summary="Get a message",
)
async def get_message(request: ApiRequest, message_id: Path[UUID]) -> dict[str, Any]:
    """Returns a message; of a running reply its text so far."""
    return await run_unit(lambda: message_json(message_for(request.auth.user, message_id)))


@router.delete(
    "/messages/{uuid:message_id}",
    auth=Token(Scope.CHAT),
    response={204: None, **REFUSALS},
    operation_id="deleteMessage",
    summary="Delete a message and all that follow it",
)
async def remove_message(request: ApiRequest, message_id: Path[UUID]) -> Status[None]:
    await run_write(delete_message, request.auth.user, message_id)
    return Status(204, None)


def _conversation(user: User, conversation_id: UUID) -> dict[str, Any]:
    conversation = conversation_for(user, conversation_id)
    running = Generation.objects.live().filter(conversation=conversation).exists()
    return conversation_json(conversation, running=running)


def _page_of_conversations(user: User, filters: Q, cursor: str, limit: int) -> dict[str, Any]:
    running = Generation.objects.live().filter(conversation=OuterRef("pk"))
    found = conversations_of(user).annotate(is_running=Exists(running)).filter(filters)
    if cursor:
        moment, last = decoded(cursor, moment_in, UUID)
        found = found.filter(Q(updated_at__lt=moment) | Q(updated_at=moment, pk__lt=last))
    return page_of(
        list(found.order_by("-updated_at", "-pk")[: limit + 1]),
        limit,
        lambda row: conversation_json(row, running=row.is_running),
        lambda row: encoded(row.updated_at.isoformat(), row.pk),
    )


def _page_of_deleted(user: User, cursor: str, limit: int) -> dict[str, Any]:
    found = deleted_conversations_of(user, undo_limit())
    if cursor:
        moment, last = decoded(cursor, moment_in, UUID)
        found = found.filter(Q(deleted_at__lt=moment) | Q(deleted_at=moment, pk__lt=last))
    return page_of(
        list(found[: limit + 1]),
        limit,
        lambda row: {**conversation_json(row, running=False), "deleted_at": row.deleted_at},
        lambda row: encoded(row.deleted_at and row.deleted_at.isoformat(), row.pk),
    )


def _page_of_messages(
    user: User, conversation_id: UUID, shown: bool | None, cursor: str, limit: int
) -> dict[str, Any]:
    messages = conversation_for(user, conversation_id).messages.filter(deleted_at=None)
    if shown is not None:
        messages = messages.filter(shown=shown)
    return page_of_messages(messages, cursor, limit)
