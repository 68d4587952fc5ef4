"""Calls of programs: one answer each, which the program reads while it grows.

A call is no reply: it has no message, no lease and no journal, and it ends with its connection. On an
endpoint with a queue it waits for its turn. Its provider is read as fast as its program reads. What it used
is booked at its end (`chat.actions.call`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    aclosing,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from chat.generation.call_queue import QueueClosedError, QueueTimeoutError
from chat.generation.endpoint_queue import pause_if_asked
from chat.generation.policy import cost_of, policy_for
from chat.generation.running_calls import RunningCalls
from chat.metrics import EndedReply
from chat.models import ChatModel, Status, UsageEntry
from chat.pipeline.compose import compose
from chat.pipeline.meter import Meter
from chat.pipeline.policy import Events
from chat.providers.base import ChatRequest, EndpointConfig
from chat.providers.errors import ConnectionFailedError, ProviderError, UnsupportedOptionError
from chat.providers.events import VISIBLE, Finished, Notice, Outcome, TextDelta, Usage
from chat.providers.registry import ready_provider
from chat.providers.throttle import Throttle

_STATUS = {Outcome.LENGTH: Status.LENGTH, Outcome.REFUSED: Status.REFUSED, Outcome.PAUSED: Status.INTERRUPTED}


class CallEndedError(Exception):
    """Steady ended the call. `reason` is "revoked" (the token ended), "restart" (the server stops) or "queue"
    (no place became free in the queue of the endpoint). `was_sent` is whether the provider may have it."""

    def __init__(self, reason: str, *, was_sent: bool = True) -> None:
        super().__init__(reason)
        self.reason, self.was_sent = reason, was_sent


@dataclass(eq=False)
class Call:
    """One call. `ended` is the reason why Steady ends it, `rejection` why a validator stopped the answer.
    `is_broken` is whether a defect ended it. `waits` is false if the caller has its place in
    the queue. `queued` is the time in the queue, in seconds."""

    user_id: int
    model: ChatModel
    endpoint: EndpointConfig
    request: ChatRequest
    calls: RunningCalls  # that share the process
    id: UUID = field(default_factory=uuid4)
    ended: str = ""
    error: ProviderError | None = None
    finished: Finished | None = None
    rejection: str = ""
    seconds: float | None = None
    seconds_to_first_token: float | None = None
    is_broken: bool = False
    waits: bool = True
    queued: float = 0.0
    _meter: Meter | None = None
    _task: asyncio.Task[object] | None = None  # that reads the answer

    def end(self, reason: str) -> None:
        """Ends the call from outside of its task, also while the program reads nothing. The block of
        `reading` raises `CallEndedError`."""
        if not self.ended:
            self.ended = reason
            if self._task is not None:
                self._task.cancel()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Lets `end` interrupt the block, in which one task reads `events` and sends them on. Raises
        `CallEndedError`."""
        if self.ended:
            raise CallEndedError(self.ended)
        task = asyncio.current_task()
        assert task is not None
        cancelling, self._task = task.cancelling(), task
        try:
            yield
        except asyncio.CancelledError:
            # Not from `end` alone if the program has gone at the same moment.
            if self.ended and task.uncancel() <= cancelling:
                raise CallEndedError(self.ended) from None
            raise
        finally:
            self._task = None

    @property
    def usage(self) -> Usage:
        """Returns the usage so far."""
        return self._meter.usage if self._meter is not None else Usage()

    @property
    def status(self) -> Status:
        """Returns how the call ended. Without an end marker or an error, the program went away."""
        if self.finished is not None:
            return _STATUS.get(self.finished.outcome, Status.COMPLETE)
        if self.error is not None:
            is_cut = self.seconds_to_first_token is not None
            return Status.INTERRUPTED if is_cut else Status.FAILED
        if self.is_broken or self.ended == "queue":
            return Status.FAILED
        return Status.INTERRUPTED if self.ended else Status.STOPPED

    async def events(self) -> Events:
        """Yields the answer's events, `Finished` last. To be read in one task, in the block of `reading` and
        under `aclosing`: its end closes the connection to the provider. Raises `ProviderError`."""
        began = time.monotonic()
        try:
            self._refuse_what_the_model_lacks()
            async with self._place() as self.queued, self._pausing():
                began = time.monotonic()
                provider = await ready_provider(self.endpoint)
                stream, self._meter = compose(provider, self.request, policy_for(self.model, self.endpoint))
                throttle = Throttle(lambda: self.calls.running)
                async with aclosing(stream) as events:
                    async for event in events:
                        if self.seconds_to_first_token is None and isinstance(event, VISIBLE):
                            self.seconds_to_first_token = time.monotonic() - began
                        if isinstance(event, Notice):
                            await self._noticed(event)
                        if isinstance(event, Finished):
                            self.finished = event
                            yield event
                            return
                        yield event
                        await throttle.consume(len(event.text) if isinstance(event, TextDelta) else 0)
                raise ConnectionFailedError(detail="The stream ended without its end marker.")
        except QueueTimeoutError:
            self.ended = "queue"
            raise CallEndedError("queue", was_sent=False) from None
        except QueueClosedError:
            self.ended = "restart"
            raise CallEndedError("restart", was_sent=False) from None
        except ProviderError as error:
            self.error = error
            self.calls.metrics.request_failed(self.endpoint.kind, error.code)
            raise
        except Exception:
            self.is_broken = True
            raise
        finally:
            self.seconds = time.monotonic() - began
            self.calls.metrics.reply_ended(self._counted(self.seconds))

    def _place(self) -> AbstractAsyncContextManager[float]:
        """Returns the place in the queue of the endpoint, to be entered when it is the turn of this call."""
        if self.waits:
            return self.calls.queue.place(self.id, self.user_id, self.model)
        return nullcontext(self.queued)

    @asynccontextmanager
    async def _pausing(self) -> AsyncIterator[None]:
        """Stores the pause that a provider asks for, before another call takes the place."""
        try:
            yield
        except ProviderError as error:
            await self._pause_if_asked(error.code, error.retry_after or 0.0)
            raise

    async def _noticed(self, notice: Notice) -> None:
        if notice.kind == "rejected":
            self.rejection = notice.message
        if notice.kind == "retrying":
            self.calls.metrics.request_failed(self.endpoint.kind, notice.code, is_retried=True)
            await self._pause_if_asked(notice.code, notice.delay)

    async def _pause_if_asked(self, code: str, seconds: float) -> None:
        await pause_if_asked(self.endpoint.slug, code, seconds)
        self.calls.permits.clear()  # they know the endpoint as it was

    def _refuse_what_the_model_lacks(self) -> None:
        """Raises `UnsupportedOptionError` for what an administrator says that the model cannot do."""
        if self.request.tools and self.model.uses_tools is False:
            raise UnsupportedOptionError("tools", "with this model")
        if self.request.output_format is not None and self.model.gives_json is False:
            raise UnsupportedOptionError("output_format", "with this model")

    def _counted(self, seconds: float) -> EndedReply:
        """Returns what the metrics count."""
        usage = self.usage
        cost = cost_of(self.model, usage)
        return EndedReply(
            outcome=str(self.status),
            provider=self.endpoint.kind,
            model=self.model.name,
            queued=self.queued if self.queued else None,
            first_token=self.seconds_to_first_token,
            total=seconds,
            input_tokens=usage.input_tokens or 0,
            cached_input_tokens=usage.cached_input_tokens or 0,
            output_tokens=usage.output_tokens or 0,
            reasoning_tokens=usage.reasoning_tokens or 0,
            cost=float(cost or 0),
            is_call=True,
        )


def usage_entry(call: Call, *, user_id: int, api: str, token_id: int | None = None) -> UsageEntry:
    """Returns the unsaved usage entry of an ended call. Its counts are within what a column holds."""

    def within(tokens: int | None) -> int | None:
        return None if tokens is None else max(0, min(tokens, 2**31 - 1))

    usage = call.usage
    asked, said = within(usage.input_tokens), within(usage.output_tokens)
    cached = within(usage.cached_input_tokens) or 0
    return UsageEntry(
        id=call.id,
        user_id=user_id,
        token_id=token_id,
        model=call.model,
        model_label=call.model.label[:200],
        api=api,
        status=call.status,
        error_code=call.error.code if call.error else call.ended,
        seconds=call.seconds,
        seconds_to_first_token=call.seconds_to_first_token,
        input_tokens=asked,
        output_tokens=said,
        cached_input_tokens=cached,
        reasoning_tokens=within(usage.reasoning_tokens) or 0,
        estimated=usage.estimated,
        cost=call.model.cost(asked, said, cached, within(usage.cache_written_tokens) or 0),
    )
