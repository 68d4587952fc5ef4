"""Presets and saved prompts, and who may use them."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from ninja import Schema
from pydantic import ConfigDict, Field

from chat.api.schemas.fields import EXAMPLE_ID
from chat.api.schemas.replies import Parameters


class SharedWith(Schema):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"visibility": "own"}]})

    visibility: Literal["own", "groups", "all"] = Field(description="Who can use it.", examples=["own"])
    groups: list[Annotated[str, Field(max_length=150)]] = Field(
        default=[], max_length=100, description="Names of groups that you are in, for `groups`."
    )


_SHARED = Field(default=None, description="If missing it stays as it is; what is new is yours alone.")


class NewPreset(Schema):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"name": "Translator", "instructions": "Translate to {{language}}."}]
        },
    )

    name: str = Field(max_length=200)
    instructions: str = Field(default="", max_length=8_000, description="With {{variables}}, if wanted.")
    model: int | None = Field(default=None, ge=1, lt=2**63)
    parameters: Parameters | None = None
    tools: list[Annotated[str, Field(max_length=64)]] = Field(default=[], max_length=100)
    prompts: list[Annotated[str, Field(max_length=500)]] = Field(
        default=[], max_length=6, description="Suggested first prompts."
    )
    shared: SharedWith | None = _SHARED


class Preset(Schema):
    id: UUID = Field(examples=[EXAMPLE_ID])
    own: bool = Field(description="False: it is shared with you.")
    version: int = Field(examples=[1])
    name: str = Field(examples=["Translator"])
    instructions: str
    model: int | None
    parameters: dict[str, Any] = Field(examples=[{"temperature": 0.2}])
    tools: list[str]
    prompts: list[str]
    variables: list[str] = Field(description="The names of the values that a chat gives.")
    shared: SharedWith | None = Field(description="Who can use your own preset.")


class PresetList(Schema):
    items: list[Preset]


class PresetVersion(Schema):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"version": 1}]})

    version: int = Field(ge=1, lt=2**31, description="Of an older one, whose content the new one gets.")


class NewSavedPrompt(Schema):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "translate", "text": "Translate to {{language}}:"}]},
    )

    name: str = Field(max_length=200, description="Letters, digits, - and _.")
    text: str = Field(max_length=20_000, description="With {{variables}}, if wanted.")
    shared: SharedWith | None = _SHARED


class SavedPrompt(Schema):
    id: UUID = Field(examples=[EXAMPLE_ID])
    own: bool = Field(description="False: it is shared with you.")
    name: str = Field(examples=["translate"])
    text: str
    variables: list[str]
    shared: SharedWith | None = Field(description="Who can use your own prompt.")


class SavedPromptList(Schema):
    items: list[SavedPrompt]


class PresetChoice(Schema):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"preset": None}]})

    preset: UUID | None = Field(description="None: the chat has no preset any more.")
    values: dict[str, str] = Field(default={}, description="Of its variables.")
