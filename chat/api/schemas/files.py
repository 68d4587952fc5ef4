"""Files of messages, folders and presets."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from ninja import Schema
from pydantic import ConfigDict, Field

from chat.api.schemas.fields import EXAMPLE_ID


class File(Schema):
    """A file of yours."""

    id: UUID = Field(examples=[EXAMPLE_ID])
    name: str = Field(examples=["report.pdf"])
    size: int = Field(description="Bytes.", examples=[48213])
    media_type: str = Field(description="By its content.", examples=["application/pdf"])
    pages: int | None = Field(examples=[3])
    width: int | None = Field(description="Pixels of a picture.")
    height: int | None
    tokens: int = Field(description="An estimate of what a model reads.", examples=[1200])
    note: str = Field(description="What you should know of it, such as that models get its beginning.")
    message: UUID | None = Field(description="The prompt that it was sent with.")
    created_at: datetime


class FilePage(Schema):
    items: list[File]
    next: str | None = Field(description="The `cursor` of the next page.")


class Piece(Schema):
    received: int = Field(description="The bytes that are here: the next piece begins there.")
    file: File | None = Field(description="The file, after its last piece.")


class Knowledge(Schema):
    """A file of a folder or preset."""

    id: UUID = Field(examples=[EXAMPLE_ID])
    name: str = Field(examples=["contract.pdf"])
    size: int = Field(description="Bytes.", examples=[48213])
    media_type: str = Field(description="By its content.", examples=["application/pdf"])
    state: Literal["open", "ready", "failed"] = Field(
        description="Models get it when it is `ready`; an `open` one is being read.", examples=["ready"]
    )
    tokens: int = Field(description="An estimate of its text, once it is read.", examples=[1200])
    note: str = Field(description="What you should know of it, such as why it could not be read.")
    created_at: datetime


class KnowledgeList(Schema):
    items: list[Knowledge]


class NewKnowledge(Schema):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"file": EXAMPLE_ID}]})

    file: UUID = Field(description="The id of a file that you uploaded with `POST /files`.")
