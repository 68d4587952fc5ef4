"""The settings of one stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

from chat.providers.events import ProviderEvent, Usage

STOPPED_BY_US = frozenset(
    {"limit", "cost", "validator"}
)  # the raw reasons of answers that the pipeline ended

type Events = AsyncGenerator[ProviderEvent]

# A stage that changes events (`CHAT_TRANSFORMERS`). It must not depend on where the provider cuts the text,
# and it closes the events that it reads.
type Transformer = Callable[[Events], Events]

# A check of each piece of visible text (`CHAT_VALIDATORS`). Returns the reason why the answer must stop, or
# None. The policy has factories, which create one for each attempt, so it may keep state.
type Validator = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class StreamPolicy:
    """The limits and stages of one stream. Times are in seconds. None means no limit."""

    first_token_seconds: float | None = 300.0  # until text, reasoning or a tool call; models may think
    silence_seconds: float | None = 120.0  # between two events after that
    total_seconds: float | None = 3_600.0  # for the whole answer, with all attempts

    max_attempts: int = 3
    base_delay: float = 0.5  # the delay is random, up to base_delay * 2**(attempt - 1)
    max_delay: float = 20.0  # and at most this
    max_retry_after: float = 60.0  # if a provider asks for a longer wait, there is no further attempt

    max_output_tokens: int | None = None  # by our own count
    over_budget: Callable[[Usage], bool] | None = None  # called with the usage so far as the answer grows

    transformers: Sequence[Transformer] = ()
    validators: Sequence[Callable[[], Validator]] = ()
