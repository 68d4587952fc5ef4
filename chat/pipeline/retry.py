"""Another attempt when one fails before its first visible output."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import aclosing

from chat.pipeline.policy import Events, StreamPolicy
from chat.providers.errors import ConnectionFailedError, ProviderError, TimeoutExceededError
from chat.providers.events import Finished, Notice, ReasoningDelta, Reset, TextDelta, ToolCallDelta

VISIBLE = (TextDelta, ReasoningDelta, ToolCallDelta)


async def retry(connect: Callable[[], Events], policy: StreamPolicy) -> Events:
    """The events of `connect()`, called again after a retryable error as long as nothing was visible.

    Each further attempt is told: a `Reset` if the failed one had said anything, then a `Notice` with the
    wait. The wait is random up to an exponential bound ("full jitter"), and at least as long as the
    provider asked. A stream that ends having said nothing counts as a failed connection.
    Raises the last attempt's error.
    """
    attempt = 1
    while True:
        visible = spoke = ended = False
        try:
            async with aclosing(_connected(connect(), policy.connect_seconds)) as events:
                async for event in events:
                    spoke = spoke or not isinstance(event, Notice)
                    visible = visible or isinstance(event, VISIBLE)
                    ended = isinstance(event, Finished)
                    yield event
            if visible or ended:
                return
            raise ConnectionFailedError(detail="The stream ended before it said anything.")
        except ProviderError as error:
            if visible or not error.retryable or attempt >= policy.max_attempts:
                raise
            if error.retry_after is not None and error.retry_after > policy.max_retry_after:
                raise
            delay, reason = _delay(policy, attempt, error.retry_after), str(error)
        attempt += 1
        if spoke:
            yield Reset(reason)
        yield Notice("retrying", reason, attempt, delay)
        await asyncio.sleep(delay)


def _delay(policy: StreamPolicy, attempt: int, retry_after: float | None) -> float:
    bound = min(policy.max_delay, policy.base_delay * 2 ** (attempt - 1))
    return (retry_after or 0.0) + random.uniform(0, bound)  # noqa: S311 - spreads load, hides nothing


async def _connected(events: Events, seconds: float | None) -> Events:
    """`events`, of which the first must come within `seconds`: adapters announce that the provider took
    the request. Raises `TimeoutExceededError` in the phase `connect`."""
    async with aclosing(events):
        try:
            async with asyncio.timeout(seconds):
                first = await anext(events)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise TimeoutExceededError(phase="connect", detail=f"No answer in {seconds} s.") from None
        yield first
        async for event in events:
            yield event
