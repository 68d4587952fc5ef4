"""Models and usage, tools, and the user's own instructions."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from ninja import Schema
from pydantic import ConfigDict, Field

from chat.api.schemas.replies import ModelRef


class Model(Schema):
    id: int = Field(examples=[3])
    name: str = Field(examples=["gpt-5"])
    label: str
    provider: str = Field(examples=["openai"])
    context_window: int | None
    max_output_tokens: int | None
    takes_images: bool | None
    takes_audio: bool | None
    reasons: bool | None
    input_price: Decimal | None = Field(description="US dollars for a million tokens.")
    cached_input_price: Decimal | None
    output_price: Decimal | None


class ModelList(Schema):
    items: list[Model]


class UsageOfModel(Schema):
    month: str | None = Field(description="With `by=month`.", examples=["2026-11"])
    model: ModelRef
    replies: int = Field(description="In chats.")
    calls: int = Field(description="Through the gateway.")
    input_tokens: int
    output_tokens: int
    cost: str | None


class UsageReport(Schema):
    """What you used in chats and through the gateway."""

    since: datetime
    until: datetime
    items: list[UsageOfModel]


class Tool(Schema):
    name: str = Field(examples=["calculator"])
    title: str = Field(examples=["Calculator"])
    description: str
    asks: bool = Field(description="Whether each call waits for your decision.")


class ToolList(Schema):
    items: list[Tool]


class Approval(Schema):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"for_chat": False}]})

    for_chat: bool = Field(
        default=False, description="Also later calls of this tool in this chat, while it stays the same."
    )


class Instructions(Schema):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"text": "Answer briefly."}]})

    text: str = Field(max_length=8_000, description="Sent to models with each prompt. Empty: none.")
