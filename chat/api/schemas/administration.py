"""What administrators read."""

from __future__ import annotations

from datetime import datetime

from ninja import Schema
from pydantic import Field

from chat.api.schemas.conversations import Conversation
from chat.api.schemas.models import Model


class Person(Schema):
    id: int
    email: str = Field(examples=["ada@example.org"])
    name: str
    active: bool
    administrator: bool
    joined_at: datetime
    last_login_at: datetime | None


class PersonPage(Schema):
    items: list[Person]
    next: str | None = Field(description="The `cursor` of the next page.")


class CatalogModel(Model):
    enabled: bool
    available: bool = Field(description="Whether the provider lists it.")
    for_everyone: bool = Field(description="Else only the groups of the model may use it.")


class CatalogPage(Schema):
    items: list[CatalogModel]
    next: str | None = Field(description="The `cursor` of the next page.")


class Owner(Schema):
    id: int
    email: str


class Transcript(Conversation):
    owner: Owner
    deleted_at: datetime | None


class TranscriptPage(Schema):
    items: list[Transcript]
    next: str | None = Field(description="The `cursor` of the next page.")
