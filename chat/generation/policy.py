"""How a stream is treated, from the settings and the catalog."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import cache
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from chat.models import ChatModel
from chat.pipeline.policy import StreamPolicy
from chat.providers.base import EndpointConfig
from chat.providers.events import Usage

_NOTHING = Decimal(0)
_COUNT_ERROR = 15  # tenths


def policy_for(model: ChatModel, endpoint: EndpointConfig, spent: Decimal = _NOTHING) -> StreamPolicy:
    """Returns the times, limits and stages for one step of this model, after steps that cost `spent`."""
    return StreamPolicy(
        first_token_seconds=endpoint.first_token_seconds or settings.CHAT_FIRST_TOKEN_SECONDS,
        silence_seconds=endpoint.silence_seconds or settings.CHAT_SILENCE_SECONDS,
        total_seconds=settings.CHAT_TOTAL_SECONDS,
        max_attempts=settings.CHAT_ATTEMPTS,
        max_output_tokens=_most_output(model),
        over_budget=_over_budget(model, spent),
        transformers=_loaded(tuple(settings.CHAT_TRANSFORMERS)),
        validators=_loaded(tuple(settings.CHAT_VALIDATORS)),
    )


def cost_of(model: ChatModel, usage: Usage) -> Decimal | None:
    """Returns the cost of this usage in US dollars; None while a price is unknown."""
    counts = (usage.input_tokens, usage.output_tokens, usage.cached_input_tokens)
    return model.cost(*counts, usage.cache_written_tokens, usage.searches)


def _most_output(model: ChatModel) -> int | None:
    """Returns the output limit that Steady enforces by its own count: the server's, or slightly more than the
    model's, which the provider enforces exactly."""
    limits = (settings.CHAT_MAX_OUTPUT_TOKENS, (model.max_output_tokens or 0) * _COUNT_ERROR // 10)
    return min((limit for limit in limits if limit), default=None)


def _over_budget(model: ChatModel, spent: Decimal) -> Callable[[Usage], bool] | None:
    """Returns a test of whether a reply costs more than one reply may; None without a limit or a price."""
    limit = Decimal(str(settings.CHAT_MAX_REPLY_COST))
    if not limit or model.cost(0, 0) is None:
        return None

    def is_over(usage: Usage) -> bool:
        return spent + (cost_of(model, usage) or 0) > limit

    return is_over


@cache
def _loaded(paths: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(import_string(path) for path in paths)
