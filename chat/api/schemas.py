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


class Message(Schema):
    id: UUID = Field(examples=[_ID])
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
    tools: list[str] = Field(description="The names of the tools that are on.", examples=[["calculator"]])
    folder: UUID | None
    preset: str = Field(description="The name of its preset, or empty.")
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
        max_length=10,
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
        examples=[{"reply": _ID}],
    )


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


class File(Schema):
    """A file of yours."""

    id: UUID = Field(examples=[_ID])
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


class Instructions(Schema):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"text": "Answer briefly."}]})

    text: str = Field(max_length=8_000, description="Sent to models with each prompt. Empty: none.")


class Folder(Schema):
    id: UUID = Field(examples=[_ID])
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


class Knowledge(Schema):
    """A file of a folder or preset."""

    id: UUID = Field(examples=[_ID])
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
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"file": _ID}]})

    file: UUID = Field(description="The id of a file that you uploaded with `POST /files`.")


class Place(Schema):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"folder": None}]})

    folder: UUID | None = Field(description="None: in no folder.")


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
    id: UUID = Field(examples=[_ID])
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
    id: UUID = Field(examples=[_ID])
    own: bool = Field(description="False: it is shared with you.")
    name: str = Field(examples=["translate"])
    text: str
    variables: list[str]
    shared: SharedWith | None = Field(description="Who can use your own prompt.")


class SavedPromptList(Schema):
    items: list[SavedPrompt]


class Tags(Schema):
    items: list[str] = Field(examples=[["physics"]])


class NewTags(Schema):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"items": ["physics"]}]})

    items: list[Annotated[str, Field(max_length=200)]] = Field(max_length=100)


class Selection(Schema):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"conversations": [_ID], "action": "archive"}]}
    )

    conversations: list[UUID] = Field(min_length=1, max_length=500)
    action: Literal["archive", "unarchive", "move", "tag", "untag", "delete", "restore"]
    folder: UUID | None = Field(default=None, description="For `move`. None: out of its folder.")
    tag: str = Field(default="", max_length=200, description="For `tag` and `untag`.")


class Changed(Schema):
    changed: int = Field(description="How many chats.", examples=[2])


class SharedAddress(Schema):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"path": "/shared/kq3v9s0xw2/"}]}
    )

    path: str = Field(max_length=500, description="The `path` of a share link.")


class PresetChoice(Schema):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"preset": None}]})

    preset: UUID | None = Field(description="None: the chat has no preset any more.")
    values: dict[str, str] = Field(default={}, description="Of its variables.")


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


Message.model_rebuild()
