"""The contract between Steady and a model provider."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from chat.parts import Opaque, ToolCall, ToolResult
from chat.providers.events import ProviderEvent

CONTINUE_PROMPT = (
    "Your last answer was cut off. Continue it exactly where it stopped, in the middle of a word if need be. "
    "Do not repeat any of it, do not introduce it, and do not comment on the interruption."
)


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """A provider's address, key and limits. Never stored and never logged: `repr` hides the secrets."""

    slug: str  # "openai", "ollama", ...: the endpoint's name in the catalog
    kind: str  # an adapter's name in `registry`
    name: str  # for people
    base_url: str | None = None  # None: the adapter's default
    api_key: str = field(default="", repr=False)
    connect_seconds: float = 10.0  # the limit for name lookup, TCP and TLS; not for a response
    first_token_seconds: float | None = None  # the limits of a stream; None: the server's own
    silence_seconds: float | None = None
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # sent with each request
    query: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # added to each address
    authority: str = field(default="", repr=False)  # certificates (PEM) trusted beside the default ones
    proxy: str = field(default="", repr=False)  # an HTTP proxy; it may hold a name and a password
    at_once: int | None = None  # requests that may run at the same time in the whole installation
    region: str = ""  # of Amazon Bedrock and Google Vertex AI
    project: str = ""  # of Google Vertex AI

    @property
    def secrets(self) -> tuple[str, ...]:
        """Returns the values that no error, log line or page may contain."""
        # The key of a cloud has several parts: `ID:SECRET:TOKEN`, or the JSON of a service account.
        pieces = self.api_key.replace('"', ":").split(":") if self.kind in {"bedrock", "vertex"} else ()
        values = (self.api_key, *pieces, *(value for _name, value in (*self.headers, *self.query)))
        return tuple(value for value in values if value)


@dataclass(frozen=True, slots=True)
class File:
    """A file sent to a model. It has its bytes in `data`, or the provider loads it from `url`. `after` is its
    place in the turn: the number of characters of text before it. `detail` is the resolution at which a model
    of OpenAI reads an image: `low`, `high` or `auto`. `tokens` is an estimate; 0 means that of an image of
    medium size."""

    media_type: str  # such as `image/png`
    data: bytes = field(default=b"", repr=False)
    name: str = ""
    url: str = ""
    after: int = 0
    detail: str = "auto"
    tokens: int = 0


@dataclass(slots=True)
class Turn:
    """One message of a request. A turn is never changed. The class is not frozen, because a request may have
    thousands of turns, and a frozen one takes three times as long to create."""

    role: Literal["user", "assistant", "system"]  # system: an instruction in the middle of a conversation
    text: str = ""
    files: Sequence[File] = ()
    tool_calls: Sequence[ToolCall] = ()
    tool_results: Sequence[ToolResult] = ()
    opaque: Sequence[Opaque] = ()  # of this turn
    name: str = ""  # of its author, where the provider's API has one


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the model may call. `parameters` is a JSON Schema object. With `strict`, the arguments of a
    call follow it exactly."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    strict: bool = False


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """An answer in JSON: any object, or one that follows `schema`, a JSON Schema object."""

    schema: Mapping[str, Any] | None = None
    name: str = "response"
    description: str = ""
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A request to a provider. `model` is the provider's own id. If `max_output_tokens` is None, the provider
    sets the limit (or the adapter, if the provider requires one).

    With `continues`, the last two turns are the beginning of an answer and `CONTINUE_PROMPT`. An adapter
    leaves that prompt out if its provider can continue the beginning without it.

    `forced_tool` names the only tool that the model may and must call. With `caches`, the provider may keep
    the request in its cache for a higher price of this one and a lower price of the next.

    An adapter raises `UnsupportedOptionError` for an option that its provider does not have. If a model
    refuses an option that other models of the provider take, the adapter leaves it out; with `exact` it
    raises the provider's error."""

    model: str
    turns: Sequence[Turn]
    system: str = ""
    max_output_tokens: int | None = None
    temperature: float | None = None
    reasoning_effort: Literal["none", "low", "medium", "high"] | None = None
    tools: Sequence[Tool] = ()
    continues: bool = False
    tool_choice: Literal["auto", "none", "required"] | None = None
    forced_tool: str = ""
    parallel_tool_calls: bool | None = None
    output_format: OutputFormat | None = None
    stop: Sequence[str] = ()
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    caches: bool = False
    web_searches: int = 0  # the most searches of the web that the provider may make for this request
    exact: bool = False
    # Further fields of the body, set by an administrator.
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One entry of a provider's model list. Prices are in US dollars per million tokens. `remark` says in
    English which part of the entry is invalid. An entry without a name is invalid as a whole."""

    name: str
    display_name: str = ""
    context_window: int | None = None
    max_output_tokens: int | None = None
    input_price: float | None = None
    output_price: float | None = None
    takes_images: bool = False
    takes_audio: bool = False
    reasons: bool = False
    cached_input_price: float | None = None
    remark: str = ""


class Provider(Protocol):
    """An adapter for one endpoint. Its class takes an `EndpointConfig`. There is one instance for each
    endpoint and event loop. Streams may run concurrently."""

    endpoint: EndpointConfig

    def stream(self, request: ChatRequest) -> AsyncGenerator[ProviderEvent]:
        """Yields the answer's events, `Finished` last.

        Raises `ProviderError` before or during the stream, never an SDK's own exception. Ends without
        `Finished` if the connection ends cleanly in the middle of the answer. Never retries, and limits only
        the time to connect: headers may arrive with the first token. Cancelling the consumer or closing the
        iterator closes the upstream connection.
        """
        ...

    async def list_models(self) -> list[ModelInfo]:
        """Returns the models that can chat, and the remarks on invalid entries. Raises `ProviderError`."""
        ...

    async def aclose(self) -> None:
        """Closes the connection pool."""
        ...
