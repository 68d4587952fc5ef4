"""Watches the clock: tells of silence, and ends an answer that hangs."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from chat.pipeline.policy import Events, StreamPolicy
from chat.pipeline.retry import VISIBLE
from chat.providers.errors import TimeoutExceededError
from chat.providers.events import Notice, ProviderEvent
from chat.translatable import translatable as _


async def watchdog(events: Events, policy: StreamPolicy) -> Events:
    """`events`, as long as they come in time. Calls `policy.on_silence` while they do not.

    Raises `TimeoutExceededError` with the phase: `first_token`, `silence` or `total`. Only waiting for
    the provider counts: a slow reader is not the provider's silence.

    The events are read in the reader's own task, and one timer serves the whole stream. A task between
    them, through which a heartbeat could travel as an event, costs as much for each token as all other
    stages together; so does an `asyncio.timeout` around each (measured).
    """
    clock = _Clock(policy)
    try:
        async with aclosing(events):
            while True:
                clock.ask()
                try:
                    event = await anext(events)
                except StopAsyncIteration:
                    return
                except asyncio.CancelledError:
                    if phase := clock.ran_out():
                        detail = f"The limit of phase {phase!r} passed."
                        raise TimeoutExceededError(_WORDS.get(phase), phase=phase, detail=detail) from None
                    raise
                clock.answer(event)
                yield event
    finally:
        clock.stop()


class _Clock:
    """Knows what the stream waits for, and cancels the waiting task when it waited too long.

    Its timer is not moved for each event. It rings once in a while, never later than the earliest limit
    can pass, looks how long the current wait has lasted, and sets itself anew. Cancelling keeps count as
    `asyncio.Timeout` does, so a cancellation from outside at the same moment is not swallowed.
    """

    def __init__(self, policy: StreamPolicy) -> None:
        self._policy = policy
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self._total_due = _after(now, policy.total_seconds)
        self._first_due = _after(now, policy.first_token_seconds)
        self._visible = False
        self._asked: float | None = None  # since when an event is waited for; None while the reader is busy
        self._beats = 0  # heartbeats of this wait
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._expired = ""
        self._timer = self._loop.call_later(self._period(), self._ring)

    def ask(self) -> None:
        """The running task waits for an event from now on."""
        self._asked = self._loop.time()
        self._beats = 0
        self._task = asyncio.current_task()
        self._cancelling = self._task.cancelling() if self._task else 0

    def answer(self, event: ProviderEvent) -> None:
        """The event came."""
        self._asked = None
        if not self._visible:
            self._visible = isinstance(event, VISIBLE)
            if isinstance(event, Notice) and event.kind == "retrying":
                self._first_due = _after(self._loop.time() + event.delay, self._policy.first_token_seconds)

    def ran_out(self) -> str:
        """The phase whose limit passed; empty when the task was cancelled from outside."""
        if self._expired and self._task and self._task.uncancel() <= self._cancelling:
            return self._expired
        return ""

    def stop(self) -> None:
        self._timer.cancel()

    def _ring(self) -> None:
        now = self._loop.time()
        if self._asked is None:
            self._timer = self._loop.call_later(self._period() or self._policy.heartbeat_seconds, self._ring)
            return
        phase, due = self._limit(self._asked)
        if now >= due and self._task:
            self._expired = phase
            self._task.cancel()
            return
        next_beat = self._asked + (self._beats + 1) * self._policy.heartbeat_seconds
        if now >= next_beat:
            self._beats += 1
            if self._policy.on_silence is not None:
                self._policy.on_silence(Notice("heartbeat", delay=now - self._asked))
            next_beat += self._policy.heartbeat_seconds
        self._timer = self._loop.call_at(min(next_beat, due, now + self._period()), self._ring)

    def _limit(self, asked: float) -> tuple[str, float]:
        due = _after(asked, self._policy.silence_seconds) if self._visible else self._first_due
        if self._total_due <= due:
            return "total", self._total_due
        return ("silence" if self._visible else "first_token"), due

    def _period(self) -> float:
        """No limit can pass sooner than this from now on, but for those that are already running."""
        limits = (self._policy.silence_seconds, self._policy.heartbeat_seconds)
        running = min(self._total_due, self._first_due if not self._visible else self._total_due)
        left = max(0.0, running - self._loop.time())
        return min(left, *(limit for limit in limits if limit is not None))


def _after(since: float, seconds: float | None) -> float:
    return float("inf") if seconds is None else since + seconds


_WORDS = {
    "silence": _("The provider fell silent in the middle of its answer. Continue, or retry."),
    "total": _("The answer took longer than this server allows. Continue, or retry."),
}
