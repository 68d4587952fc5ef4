"""The JSON of the API: what programs send and get."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from ninja import Schema
from ninja.params import functions as parameters
from pydantic import ConfigDict, Field

from chat.models.parameters import MOST_OUTPUT

_ID = "0197a3c2-8a5e-7c11-9d6e-2f4b8c1d0e3a"

Buffer = Annotated[
    str,
    parameters.Query(
        description="How the text is cut: none (as it comes), word, sentence, line, size:N characters or "
        "time:MS milliseconds."
    ),
]
After = Annotated[
    str,
    parameters.Query(
        description="The id of the last event that you have: for each reply a number, with dots between them."
    ),
]
KEY_LENGTH = 200

Key = Annotated[
    str,
    parameters.Header(
        alias="Idempotency-Key",
        max_length=KEY_LENGTH,
        description="A name of yours for this request, such as a UUID. Sent again, it starts nothing again.",
    ),
]

Text = Annotated[str, Field(description="Unicode text, Markdown where a model wrote it.")]


class Problem(Schema):
    """Why a request was refused (RFC 9457). `code` is stable; `detail` is for people."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["There is no such chat."])
    code: str = Field(examples=["not_found"])


class ModelRef(Schema):
    id: int | None = Field(description="None: it is no longer in the catalog.", examples=[3])
    name: str = Field(examples=["gpt-5"])


class Usage(Schema):
    input_tokens: int | None
    output_tokens: int | None
    cached_input_tokens: int
    reasoning_tokens: int
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


class Reply(Schema):
    """The production of a reply."""

    status: str = Field(
        description="queued or running; then complete, length, stopped, interrupted, failed or refused.",
        examples=["complete"],
    )
    model: ModelRef
    usage: Usage
    timings: Timings
    error: ReplyError | None
    continues: UUID | None = Field(description="The reply that this one continues.")
    parameters: Parameters = Field(description="What it was made with, beside the defaults of the model.")


class Message(Schema):
    id: UUID = Field(examples=[_ID])
    conversation: UUID
    parent: UUID | None
    position: int = Field(description="Increases along every path of the tree.")
    shown: bool = Field(description="Whether it is on the path that the page shows.")
    role: str = Field(description="user or assistant", examples=["assistant"])
    text: Text
    parts: list[dict[str, Any]] = Field(
        description="The typed parts in order: text, reasoning, tool_call, tool_result, file, notice.",
        examples=[[{"type": "text", "text": "Hello."}]],
    )
    created_at: datetime
    reply: Reply | None = Field(description="None for a prompt.")
    feedback: Feedback | None = None


class Feedback(Schema):
    good: bool
    reason: str = ""
    comment: str = ""


class Conversation(Schema):
    id: UUID = Field(examples=[_ID])
    title: str = Field(examples=["How do tides work?"])
    created_at: datetime
    updated_at: datetime
    pinned: bool
    archived: bool
    running: bool = Field(description="Whether a reply is being written.")
    revision: int


class ConversationPage(Schema):
    items: list[Conversation]
    next: str | None = Field(description="The `cursor` of the next page.")


class MessagePage(Schema):
    items: list[Message]
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


class Model(Schema):
    id: int = Field(examples=[3])
    name: str = Field(examples=["gpt-5"])
    label: str
    provider: str = Field(examples=["openai"])
    context_window: int | None
    max_output_tokens: int | None
    takes_images: bool | None
    reasons: bool | None
    input_price: Decimal | None = Field(description="US dollars for a million tokens.")
    cached_input_price: Decimal | None
    output_price: Decimal | None


class ModelList(Schema):
    items: list[Model]


class UsageOfModel(Schema):
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


class NewPrompt(Schema):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"text": "How do tides work?", "models": [3]}]}
    )

    text: str = Field(min_length=1)
    models: list[Annotated[int, Field(ge=1, lt=2**63)]] = Field(
        min_length=1, description="Ids of models. Each of them answers."
    )
    conversation: UUID | None = Field(
        default=None, description="An unused id begins a chat; without one the server chooses it."
    )
    edits: UUID | None = Field(
        default=None,
        description="The prompt that this one is an edited form of. The other one is kept as a variant.",
    )
    tools: list[Annotated[str, Field(max_length=64)]] | None = Field(
        default=None,
        max_length=100,
        description="The names of the tools that the chat has on from now on. Missing: as before.",
    )
    parameters: Parameters | None = Field(
        default=None, description="What the chat's requests have from now on. Missing: as before."
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


class Event(Schema):
    """One event of a stream. `token` and `chunk` carry `kind` (text or reasoning) and `text`; `metadata` a
    `kind` (start, first_token, usage, retry, tool_call, heartbeat); `error` a code, a message, whether it is
    recoverable and how much is kept; `done` the status, usage and timings."""

    type: str = Field(examples=["token"])
    seq: int = Field(description="The position after this event. Resume one reply after it.", examples=[6])
    data: dict[str, Any] = Field(examples=[{"kind": "text", "text": "Hello."}])
    metadata: dict[str, Any] = Field(
        description="`reply`; in a stream of several replies also `after`: where to resume all of them.",
        examples=[{"reply": _ID}],
    )


class ConversationChange(Schema):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"title": "Tides"}]})

    title: str | None = None
    pinned: bool | None = None
    archived: bool | None = None


Message.model_rebuild()
