"""Folders."""

from __future__ import annotations

from uuid import UUID

from ninja import Schema
from pydantic import ConfigDict, Field

from chat.api.schemas.fields import EXAMPLE_ID


class Folder(Schema):
    id: UUID = Field(examples=[EXAMPLE_ID])
    name: str = Field(examples=["Physics"])
    instructions: str
    preset: UUID | None = Field(description="What chats begin with in it.")


class FolderList(Schema):
    items: list[Folder]


class NewFolder(Schema):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "Physics"}]})

    name: str = Field(max_length=200)


class FolderChange(Schema):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"instructions": "Use SI units."}]}
    )

    name: str | None = Field(default=None, max_length=200)
    instructions: str | None = Field(default=None, max_length=8_000)
    preset: UUID | None = None


class Place(Schema):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"folder": None}]})

    folder: UUID | None = Field(description="None: in no folder.")
