"""The events of a response, the same for all providers.

Frozen values without behaviour. A stream is any number of deltas, `WebSearch`, `Citation`, `Usage`, `Notice`
and `Opaque` events, and ends with exactly one `Finished`. A stream that ends without `Finished` is
incomplete: a connection can end cleanly in the middle of an answer (measured), so only the end marker proves
the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from chat.parts import Citation, Opaque, WebSearch


class Outcome(StrEnum):
    """How the provider ended its answer."""

    COMPLETE = "complete"  # the model finished its answer
    LENGTH = "length"  # cut at the output limit or the context window
    REFUSED = "refused"  # the model declined, or a content filter stopped it
    TOOL_CALLS = "tool_calls"  # the model waits for the results of its tool calls
    PAUSED = "paused"  # the provider paused a long turn; the next request continues it


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the visible answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A piece of the model's reasoning or its summary. `redacted` reasoning has no readable text."""

    text: str
    redacted: bool = False


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of tool call number `index`. The first piece has `id` and `name`. `arguments` is the next
    fragment of a JSON text, which is complete only at the end."""

    index: int
    arguments: str = ""
    id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class GeneratedFile:
    """A file that the model generated, such as an image. `data` is empty if the file cannot be decoded."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of the whole answer so far. Cumulative: a later event replaces an earlier one.
    `input_tokens` includes those read from the provider's cache (`cached_input_tokens`) and those written to
    it (`cache_written_tokens`); `output_tokens` includes `reasoning_tokens`."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False
    cache_written_tokens: int = 0
    searches: int = 0  # of the web


@dataclass(frozen=True, slots=True)
class Notice:
    """The state of the stream between other events. `kind` is one of

    - `waiting`: the provider accepted the request;
    - `retrying`: attempt number `attempt` follows in `delay` seconds, after an error with this `code`;
    - `rejected`: a validator stops the answer, `message` says why.
    """

    kind: str
    message: str = ""
    attempt: int = 0
    delay: float = 0.0
    code: str = ""


@dataclass(frozen=True, slots=True)
class Reset:
    """Discards the events so far: a new attempt starts from the beginning."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Finished:
    """The provider's own end marker. `raw_reason` is the provider's own value."""

    outcome: Outcome
    raw_reason: str = ""


type ProviderEvent = (
    TextDelta
    | ReasoningDelta
    | ToolCallDelta
    | GeneratedFile
    | WebSearch
    | Citation
    | Opaque
    | Usage
    | Notice
    | Reset
    | Finished
)

# The events that extend the answer.
VISIBLE = (TextDelta, ReasoningDelta, ToolCallDelta, GeneratedFile, WebSearch)
