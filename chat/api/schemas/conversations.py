"""Chats: lists, search, changes and tags."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from ninja import Schema
from pydantic import ConfigDict, Field

from chat.api.schemas.fields import EXAMPLE_ID


class Conversation(Schema):
    id: UUID = Field(examples=[EXAMPLE_ID])
    title: str = Field(examples=["How do tides work?"])
    created_at: datetime
    updated_at: datetime
    pinned: bool
    archived: bool
    running: bool = Field(description="Whether a reply is being written.")
    tools: list[str] = Field(description="The names of the tools that are on.", examples=[["calculator"]])
    folder: UUID | None
    preset: str = Field(description="The name of its preset, or empty.")
    revision: int


class ConversationPage(Schema):
    items: list[Conversation]
    next: str | None = Field(description="The `cursor` of the next page.")


class SearchHit(Schema):
    message: UUID
    role: str = Field(description="user or assistant")
    created_at: datetime
    shown: bool = Field(description="False: it is in another variant.")
    excerpt: str = Field(description="The text around the hit.")


class FoundConversation(Schema):
    conversation: Conversation
    hits: list[SearchHit] = Field(description="The newest ones.")
    further: int = Field(description="Hits that are not listed.")


class SearchPage(Schema):
    items: list[FoundConversation]
    next: str | None = Field(description="The `cursor` of the next page.")
    complete: bool = Field(description="False: older chats are still being indexed.")


class ConversationChange(Schema):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"title": "Tides"}]})

    title: str | None = None
    pinned: bool | None = None
    archived: bool | None = None
    tools: list[Annotated[str, Field(max_length=64)]] | None = Field(
        default=None, max_length=100, description="The names of the tools that are on from now on."
    )


class DeletedConversation(Conversation):
    deleted_at: datetime


class DeletedConversationPage(Schema):
    items: list[DeletedConversation]
    next: str | None = Field(description="The `cursor` of the next page.")


class Tags(Schema):
    items: list[str] = Field(examples=[["physics"]])


class NewTags(Schema):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"items": ["physics"]}]})

    items: list[Annotated[str, Field(max_length=200)]] = Field(max_length=100)


class Selection(Schema):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"conversations": [EXAMPLE_ID], "action": "archive"}]}
    )

    conversations: list[UUID] = Field(min_length=1, max_length=500)
    action: Literal["archive", "unarchive", "move", "tag", "untag", "delete", "restore"]
    folder: UUID | None = Field(default=None, description="For `move`. None: out of its folder.")
    tag: str = Field(default="", max_length=200, description="For `tag` and `untag`.")


class Changed(Schema):
    changed: int = Field(description="How many chats.", examples=[2])
