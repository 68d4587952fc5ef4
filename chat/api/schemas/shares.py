"""Share links."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from ninja import Schema
from pydantic import ConfigDict, Field


class SharedAddress(Schema):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"path": "/shared/kq3v9s0xw2/"}]}
    )

    path: str = Field(max_length=500, description="The `path` of a share link.")


class NewShare(Schema):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"audience": "team"}]})

    audience: Literal["team", "anyone"] = Field(description="Who can open the link.")
    days: int = Field(default=30, ge=1, le=365, description="Until it expires.")
    title: str = Field(default="", max_length=200)
    first: UUID | None = Field(
        default=None, description="The first shown message; else the first of the chat."
    )
    last: UUID | None = Field(default=None, description="The last one; else the last of the chat.")
    names: bool = Field(default=False, description="Whether your name is shown.")
    files: bool = False
    steps: bool = Field(default=False, description="Also reasoning and tool calls.")


class Share(Schema):
    id: UUID
    conversation: UUID
    path: str = Field(description="Anyone with the address may open it, within `audience`.")
    title: str
    audience: str = Field(examples=["team"])
    files: bool
    steps: bool
    created_at: datetime
    expires_at: datetime


class ShareList(Schema):
    items: list[Share]
