"""The settings of one stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

from chat.providers.events import ProviderEvent, Usage

STOPPED_BY_US = frozenset({"limit", "cost", "validator"})  # the raw reasons of ends that the pipeline made

type Events = AsyncGenerator[ProviderEvent]

# A stage that changes text. It must be correct across chunk borders, and close the events it reads.
type Transformer = Callable[[Events], Events]

# Called with each piece of visible text. Returns the reason why the answer must stop, or None. A factory
# creates one for each attempt, so it may keep state.
type Validator = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class StreamPolicy:
    """Times are in seconds. A limit of None is no limit."""

    first_token_seconds: float | None = 300.0  # until text, reasoning or a tool call; models may think
    silence_seconds: float | None = 120.0  # between two events after that
    total_seconds: float | None = 3_600.0  # for the whole answer, with all attempts

    max_attempts: int = 3
    base_delay: float = 0.5  # the back-off is random up to base_delay * 2**(attempt - 1)
    max_delay: float = 20.0  # and at most this
    max_retry_after: float = 60.0  # a longer wait that a provider asks for ends the attempts

    max_output_tokens: int | None = None  # by our own count
    over_budget: Callable[[Usage], bool] | None = None  # called with the usage so far as the answer grows

    transformers: Sequence[Transformer] = ()
    validators: Sequence[Callable[[], Validator]] = ()
