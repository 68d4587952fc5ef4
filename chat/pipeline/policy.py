"""The settings of one stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

from chat.providers.events import ProviderEvent, Usage

STOPPED_BY_US = frozenset({"limit", "cost", "validator"})  # the raw reasons of ends that we made

type Events = AsyncGenerator[ProviderEvent]

# A stage that changes text. Correct across chunk borders; closes what it reads.
type Transformer = Callable[[Events], Events]

# Called with each next piece of visible text; says why the answer must stop, or None. Made anew for each
# stream by its factory, so it may remember what it has seen.
type Validator = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class StreamPolicy:
    """Times are in seconds. A limit of None is no limit."""

    first_token_seconds: float | None = 300.0  # until text, reasoning or a tool call; models may think
    silence_seconds: float | None = 120.0  # between two events after that
    total_seconds: float | None = 3_600.0  # from the beginning to the end, with all attempts

    max_attempts: int = 3
    base_delay: float = 0.5  # the back-off is random up to base_delay * 2**(attempt - 1)
    max_delay: float = 20.0  # and up to this
    max_retry_after: float = 60.0  # a provider that asks for a longer wait is not waited for

    max_output_tokens: int | None = None  # cut off by our own count, whatever the provider does
    over_budget: Callable[[Usage], bool] | None = None  # asked as the answer grows, with usage so far

    transformers: Sequence[Transformer] = ()
    validators: Sequence[Callable[[], Validator]] = ()
