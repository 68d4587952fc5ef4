"""What a provider says while it answers, in one neutral vocabulary.

Frozen values without behaviour. A stream is any number of deltas, `Usage`, `Notice` and `Opaque`
events, and ends with exactly one `Finished`. A stream that ends without `Finished` was cut: all
three SDKs end silently on a clean end of file (measured), so the end marker is the only proof.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """How the provider ended its answer, in our words."""

    COMPLETE = "complete"  # it said all it wanted to say
    LENGTH = "length"  # cut at the output limit or the context window
    REFUSED = "refused"  # the model declined, or a content filter stepped in
    TOOL_CALLS = "tool_calls"  # it waits for the results of its tool calls
    PAUSED = "paused"  # the provider paused a long turn; sending it back goes on


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
    """A piece of the tool call number `index`: `id` and `name` come with its first piece, `arguments`
    is the next fragment of a JSON text that is whole only at the end."""

    index: int
    arguments: str = ""
    id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Opaque:
    """Provider metadata to be kept byte-exact and sent back only to the same provider and model:
    signatures, encrypted reasoning, item ids. `data` is JSON (bytes as base64 text)."""

    kind: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of the whole answer so far. Cumulative: a later event replaces an earlier one.
    `input_tokens` includes `cached_input_tokens`; `output_tokens` includes `reasoning_tokens`."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a viewer may want to know while nothing else happens. `kind` is one of

    - `waiting`: the provider took the request;
    - `retrying`: attempt number `attempt` follows in `delay` seconds;
    - `rejected`: a validator stops the answer, `message` says why.
    """

    kind: str
    message: str = ""
    attempt: int = 0
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Reset:
    """What came before is void: a new attempt starts from nothing."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Finished:
    """The provider's own end marker. `raw_reason` is its word for it, for the record."""

    outcome: Outcome
    raw_reason: str = ""


type ProviderEvent = TextDelta | ReasoningDelta | ToolCallDelta | Opaque | Usage | Notice | Reset | Finished
