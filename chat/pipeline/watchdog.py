"""Ends an answer that takes too long."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from chat.pipeline.policy import Events, StreamPolicy
from chat.providers.errors import TimeoutExceededError
from chat.providers.events import VISIBLE, Notice, ProviderEvent
from chat.translatable import translatable as _

CHECK_SECONDS = 15.0  # between two checks of a wait, at most


async def watchdog(events: Events, policy: StreamPolicy) -> Events:
    """Yields `events` unchanged as long as they arrive in time.

    Raises `TimeoutExceededError` with the phase: `first_token`, `silence` or `total`. Only the time spent
    waiting for the provider counts, not the time a slow reader takes.

    The events are read in the reader's own task, and the whole stream has one timer. A task in between, or an
    `asyncio.timeout` around each event, costs as much per token as all other stages together (measured).
    """
    clock = _Clock(policy)
    try:
        async with aclosing(events):
            while True:
                clock.start_wait()
                try:
                    event = await anext(events)
                except StopAsyncIteration:
                    return
                except asyncio.CancelledError:
                    if phase := clock.expired_phase():
                        detail = f"The limit of phase {phase!r} passed."
                        raise TimeoutExceededError(_MESSAGES.get(phase), phase=phase, detail=detail) from None
                    raise
                clock.end_wait(event)
                yield event
    finally:
        clock.stop()


class _Clock:
    """Cancels the waiting task when a limit passes.

    The timer is not moved for each event. It fires before the earliest limit can pass, checks how long the
    current wait has lasted, and is set again. Cancellations are counted as `asyncio.Timeout` does, so that a
    cancellation from outside at the same moment is not swallowed.
    """

    def __init__(self, policy: StreamPolicy) -> None:
        self._policy = policy
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self._total_due = _after(now, policy.total_seconds)
        self._first_due = _after(now, policy.first_token_seconds)
        self._visible = False
        self._waiting_since: float | None = None  # None while the reader is busy
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._expired = ""
        self._timer = self._loop.call_later(self._period(), self._check)

    def start_wait(self) -> None:
        self._waiting_since = self._loop.time()
        self._task = asyncio.current_task()
        self._cancelling = self._task.cancelling() if self._task else 0

    def end_wait(self, event: ProviderEvent) -> None:
        self._waiting_since = None
        if not self._visible:
            self._visible = isinstance(event, VISIBLE)
            if isinstance(event, Notice) and event.kind == "retrying":
                self._first_due = _after(self._loop.time() + event.delay, self._policy.first_token_seconds)

    def expired_phase(self) -> str:
        """Returns the phase whose limit passed, "" if the task was cancelled from outside."""
        if self._expired and self._task and self._task.uncancel() <= self._cancelling:
            return self._expired
        return ""

    def stop(self) -> None:
        self._timer.cancel()

    def _check(self) -> None:
        now = self._loop.time()
        if self._waiting_since is None:
            self._timer = self._loop.call_later(self._period() or CHECK_SECONDS, self._check)
            return
        phase, due = self._limit(self._waiting_since)
        if now >= due and self._task:
            self._expired = phase
            self._task.cancel()
            return
        self._timer = self._loop.call_at(min(due, now + self._period()), self._check)

    def _limit(self, since: float) -> tuple[str, float]:
        due = _after(since, self._policy.silence_seconds) if self._visible else self._first_due
        if self._total_due <= due:
            return "total", self._total_due
        return ("silence" if self._visible else "first_token"), due

    def _period(self) -> float:
        """Returns the seconds from now in which no limit can pass, except a limit of the current wait."""
        running = self._total_due if self._visible else min(self._total_due, self._first_due)
        left = max(0.0, running - self._loop.time())
        silence = self._policy.silence_seconds
        return min(left, CHECK_SECONDS, CHECK_SECONDS if silence is None else silence)


def _after(since: float, seconds: float | None) -> float:
    return float("inf") if seconds is None else since + seconds


_MESSAGES = {
    "silence": _("The provider stopped sending in the middle of the reply. Continue, or retry."),
    "total": _("The reply took longer than this server allows. Continue, or retry."),
}
