"""Exports and imports."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from ninja import Schema
from pydantic import ConfigDict, Field


class NewExport(Schema):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"format": "json"}]})

    conversations: list[UUID] | None = Field(
        default=None, min_length=1, max_length=1_000, description="All chats if it is missing."
    )
    format: Literal["json", "markdown"] = "json"


class Import(Schema):
    id: UUID
    name: str
    state: str = Field(
        description="reading; ready: agree or discard; running; done or failed.", examples=["ready"]
    )
    format: str = Field(description="The product that the file is from.", examples=["chatgpt"])
    error: str
    chats: int = Field(description="Readable chats in the file.")
    messages: int
    known: int = Field(description="Chats that were here before.")
    taken: int
    unreadable: int
    problems: list[dict[str, str]] = Field(examples=[[{"title": "Trip", "reason": "It has no messages."}]])
    left_out: dict[str, int] = Field(description="How much of each kind is not taken.")
    extras: dict[str, int] = Field(
        description="How many folders, files of folders (`document`), presets and saved prompts are in it; "
        "later, how many are new.",
        examples=[{"folder": 3, "document": 4, "preset": 2, "prompt": 5}],
    )
    titles: list[str] = Field(description="The first titles in the file.")
    created_at: datetime
    finished_at: datetime | None


class ImportList(Schema):
    items: list[Import]
