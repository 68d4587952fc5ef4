"""Builds the chain of stages for one stream."""

from __future__ import annotations

from chat.pipeline.meter import Meter, meter
from chat.pipeline.policy import Events, StreamPolicy
from chat.pipeline.retry import retry
from chat.pipeline.transform import transform
from chat.pipeline.validate import validate
from chat.pipeline.watchdog import watchdog
from chat.providers.base import ChatRequest, Provider


def compose(provider: Provider, request: ChatRequest, policy: StreamPolicy) -> tuple[Events, Meter]:
    """Returns the events of one answer, and the meter that counts them. The request is sent when the first
    event is read.

    The events end with `Finished`, or without it if the provider's connection ends cleanly in the
    middle. Raises `ProviderError`. Read them under `contextlib.aclosing`.
    """
    result = Meter(request)
    events = watchdog(retry(lambda: provider.stream(request), policy), policy)
    if policy.transformers:
        events = transform(events, policy)
    if policy.validators:
        events = validate(events, policy)
    return meter(events, policy, result), result
