"""Repeats an attempt that failed before its first visible output."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import aclosing

from chat.pipeline.policy import Events, StreamPolicy
from chat.providers.errors import ConnectionFailedError, ProviderError
from chat.providers.events import VISIBLE, Finished, Notice, Reset


async def retry(connect: Callable[[], Events], policy: StreamPolicy) -> Events:
    """Yields the events of `connect()`. Calls it again while no output was visible and the provider did not
    accept the request (`ProviderError.retryable`). Any other request may be billed, so it is never repeated.

    Before each further attempt there is a `Reset` if the failed one yielded other events than notices, then
    a `Notice` with the wait. The wait is random up to an exponential bound ("full jitter"), and at least as
    long as the provider asked for. A stream that ends without output is a failed connection, and is not
    repeated. Raises the error of the last attempt.
    """
    attempt = 1
    while True:
        visible = has_events = ended = False
        try:
            async with aclosing(connect()) as events:
                async for event in events:
                    has_events = has_events or not isinstance(event, Notice)
                    visible = visible or isinstance(event, VISIBLE)
                    ended = isinstance(event, Finished)
                    yield event
            if visible or ended:
                return
            raise ConnectionFailedError(detail="The stream ended without any output.")
        except ProviderError as error:
            if visible or not error.retryable or attempt >= policy.max_attempts:
                raise
            if error.retry_after is not None and error.retry_after > policy.max_retry_after:
                raise
            delay, reason = _delay(policy, attempt, error.retry_after), str(error)
            code = error.code
        attempt += 1
        if has_events:
            yield Reset(reason)
        yield Notice("retrying", reason, attempt, delay, code)
        await asyncio.sleep(delay)


def _delay(policy: StreamPolicy, attempt: int, retry_after: float | None) -> float:
    bound = min(policy.max_delay, policy.base_delay * 2 ** (attempt - 1))
    return (retry_after or 0.0) + random.uniform(0, bound)  # noqa: S311 - spreads load, hides nothing
