"""Prompts, replies and messages, and what a model was sent."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from ninja import Schema
from pydantic import ConfigDict, Field

from chat.api.schemas.fields import EXAMPLE_ID, Text
from chat.files.limits import MOST_IN_A_PROMPT
from chat.models.parameters import MOST_OUTPUT


class ModelRef(Schema):
    id: int | None = Field(description="None: it is no longer in the catalog.", examples=[3])
    name: str = Field(examples=["gpt-5"])


class Usage(Schema):
    input_tokens: int | None
    output_tokens: int | None
    cached_input_tokens: int
    reasoning_tokens: int
    searches: int
    estimated: bool = Field(description="The provider reported none; these are estimates.")
    cost: str | None = Field(description="US dollars, as a decimal.", examples=["0.00215"])


class Timings(Schema):
    """Seconds; None where unknown."""

    queued: float | None
    first_token: float | None
    total: float | None


class ReplyError(Schema):
    code: str = Field(examples=["overloaded"])
    message: str


class Parameters(Schema):
    """What a person or a program sets for the requests of a chat. None is the default of the model. A request
    has the nearest values that its model allows."""

    model_config = ConfigDict(extra="forbid")

    temperature: float | None = Field(default=None, ge=0, le=2)
    max_output_tokens: int | None = Field(default=None, ge=1, le=MOST_OUTPUT)
    reasoning_effort: Literal["none", "low", "medium", "high"] | None = None


class AskingToolCall(Schema):
    """A tool call that waits for your decision."""

    id: int = Field(description="Send it to /tool-calls/{id}/approve or /decline.", examples=[12])
    index: int = Field(description="Its number among the calls of the reply, from 0.", examples=[0])
    name: str = Field(examples=["calculator"])
    arguments: str = Field(description="JSON, as the model wrote it.", examples=['{"expression": "2 ** 10"}'])


class Reply(Schema):
    """The production of a reply."""

    status: str = Field(
        description="queued, running or waiting (for your decision); then complete, length, stopped, "
        "interrupted, failed or refused.",
        examples=["complete"],
    )
    model: ModelRef
    usage: Usage
    timings: Timings
    error: ReplyError | None
    continues: UUID | None = Field(description="The reply that this one continues.")
    parameters: Parameters = Field(description="What it was made with, beside the defaults of the model.")
    asks: list[AskingToolCall] = Field(description="While it waits: the calls that need your decision.")


class Feedback(Schema):
    good: bool
    reason: str = ""
    comment: str = ""


class Message(Schema):
    id: UUID = Field(examples=[EXAMPLE_ID])
    conversation: UUID
    parent: UUID | None
    position: int = Field(description="Increases along every path of the tree.")
    shown: bool = Field(description="Whether it is on the path that the page shows.")
    role: str = Field(description="user or assistant", examples=["assistant"])
    text: Text
    parts: list[dict[str, Any]] = Field(
        description="The typed parts in order: "
        "text, reasoning, tool_call, tool_result, file, source, notice.",
        examples=[[{"type": "text", "text": "Hello."}]],
    )
    created_at: datetime
    reply: Reply | None = Field(description="None for a prompt.")
    feedback: Feedback | None = None


class MessagePage(Schema):
    items: list[Message]
    next: str | None = Field(description="The `cursor` of the next page.")


class NewPrompt(Schema):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"text": "How do tides work?", "models": [3]}]}
    )

    text: str = Field(description="May be empty if files are attached.")
    models: list[Annotated[int, Field(ge=1, lt=2**63)]] = Field(
        min_length=1, description="Ids of models. Each of them answers."
    )
    conversation: UUID | None = Field(
        default=None, description="An unused id begins a chat; without one the server chooses it."
    )
    edits: UUID | None = Field(
        default=None,
        description="The prompt that this one is an edited form of. It has its files, and the other one is "
        "kept as a variant.",
    )
    removed_attachments: list[UUID] = Field(
        default=[],
        max_length=1000,
        description="The ids of files of the edited prompt that this one goes without.",
    )
    tools: list[Annotated[str, Field(max_length=64)]] | None = Field(
        default=None,
        max_length=100,
        description="The names of the tools that the chat has on from now on. Missing: as before.",
    )
    parameters: Parameters | None = Field(
        default=None, description="What the chat's requests have from now on. Missing: as before."
    )
    attachments: list[UUID] = Field(
        default=[],
        max_length=MOST_IN_A_PROMPT,
        description="The ids of files, in their order. One that was sent before is attached again.",
    )


class NewReply(Schema):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"continue": True}]})

    model: Annotated[int, Field(ge=1, lt=2**63)] | None = Field(
        default=None, description="The same model as before if it is missing."
    )
    continue_: bool = Field(
        default=False, alias="continue", description="Go on after the text of this reply. Else: retry."
    )


class Sent(Schema):
    """What a prompt, a retry or a continuation started. `events` is the address of its stream."""

    conversation: UUID
    prompt: UUID
    replies: list[UUID]
    events: str
    repeated: bool = Field(description="The same Idempotency-Key was sent before; nothing new was started.")


class Ticket(Schema):
    stream: str = Field(
        description="An address for `EventSource`. Who has it can read this stream: do not pass it on.",
        examples=["/api/v1/streams/WzEsMiwicmVwbHki..."],
    )
    expires_at: datetime


class Event(Schema):
    """One event of a stream. `token` and `chunk` carry `kind` (text or reasoning) and `text`; `metadata` a
    `kind` (start, first_token, usage, retry, tool_call, tool_result, web_search, citation, approval,
    heartbeat); `error` a code, a message, whether it is recoverable and how much is kept; `done` the status,
    usage and timings."""

    type: str = Field(examples=["token"])
    seq: int = Field(description="The position after this event. Resume one reply after it.", examples=[6])
    data: dict[str, Any] = Field(examples=[{"kind": "text", "text": "Hello."}])
    metadata: dict[str, Any] = Field(
        description="`reply`; in a stream of several replies also `after`: where to resume all of them.",
        examples=[{"reply": EXAMPLE_ID}],
    )


class Compared(Schema):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"model": 3}]})

    model: int = Field(ge=1, lt=2**63, description="The model that answers beside this reply.")


class SentText(Schema):
    source: str = Field(description="server, model, personal or tools", examples=["personal"])
    text: str


class SentTurn(Schema):
    kind: str = Field(description="user, assistant, summary or continued", examples=["user"])
    text: str
    model: str = Field(description="Who wrote it, if a model did.")


class SentRequest(Schema):
    """What the model of a reply was sent."""

    recorded: bool = Field(description="False: the system prompts and parameters are not known.")
    system: list[SentText]
    turns: list[SentTurn]
    left_out: int = Field(description="Earlier messages that did not fit.")
    summary: UUID | None = Field(description="The summary that stands for them.")
    options: dict[str, Any] = Field(examples=[{"temperature": 0.7}])
    tools: list[str]


class Summary(Schema):
    id: UUID
    conversation: UUID
    covers: UUID = Field(description="The last message that it stands for.")
    text: str
    model: str
    created_at: datetime
