"""Watches the clock: heartbeats while nothing comes, and an end to an answer that hangs."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import aclosing

from chat.pipeline.policy import Events, StreamPolicy
from chat.pipeline.retry import VISIBLE
from chat.providers.errors import TimeoutExceededError
from chat.providers.events import Notice, ProviderEvent

_AHEAD = 256  # events read before the reader takes them; then the provider waits


async def watchdog(events: Events, policy: StreamPolicy) -> Events:
    """`events`, with a `heartbeat` notice whenever nothing came for `heartbeat_seconds`.

    Raises `TimeoutExceededError` with the phase: `first_token`, `silence` or `total`. A slow reader is
    not the provider's silence. Closing or cancelling closes `events` before it returns.
    """
    pump = _Pump(events)
    clock = _Clock(policy, asyncio.get_running_loop().time())
    try:
        while True:
            for event in pump.take():
                clock.heard(event)
                yield event
            now = asyncio.get_running_loop().time()
            clock.last = now if pump.has_more else pump.heard_at
            clock.check(now)
            if clock.beat_due(now):
                yield Notice("heartbeat", delay=now - clock.last)
            if not await pump.wait(until=clock.next_time()):
                break
    finally:
        await pump.close()


class _Clock:
    """What is due when. All times are the event loop's."""

    def __init__(self, policy: StreamPolicy, now: float) -> None:
        self._policy = policy
        self.last = now  # when something was heard
        self._started = self._last_beat = now
        self._waiting_since = now  # for the first token
        self._visible = False

    def heard(self, event: ProviderEvent) -> None:
        if not self._visible:
            self._visible = isinstance(event, VISIBLE)
            if isinstance(event, Notice) and event.kind == "retrying":
                self._waiting_since = asyncio.get_running_loop().time() + event.delay

    def check(self, now: float) -> None:
        for phase, words, due in self._limits():
            if now >= due:
                raise TimeoutExceededError(words, phase=phase, detail=f"The limit of phase {phase} passed.")

    def beat_due(self, now: float) -> bool:
        if now < self._next_beat():
            return False
        self._last_beat = now
        return True

    def next_time(self) -> float:
        return min(self._next_beat(), *(due for _, _, due in self._limits()))

    def _next_beat(self) -> float:
        return max(self._last_beat, self.last) + self._policy.heartbeat_seconds

    def _limits(self) -> tuple[tuple[str, str | None, float], ...]:
        policy = self._policy
        waiting: tuple[str, str | None, float]
        if self._visible:
            waiting = ("silence", _SILENCE_WORDS, _after(self.last, policy.silence_seconds))
        else:
            waiting = ("first_token", None, _after(self._waiting_since, policy.first_token_seconds))
        return waiting, ("total", _TOTAL_WORDS, _after(self._started, policy.total_seconds))


class _Pump:
    """Reads events in a task of its own, so that the reader can look at the clock meanwhile."""

    def __init__(self, events: Events) -> None:
        self._loop = asyncio.get_running_loop()
        self._ready: deque[ProviderEvent] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self.heard_at = self._loop.time()
        self._task = self._loop.create_task(self._run(events))

    def take(self) -> list[ProviderEvent]:
        """What has come."""
        taken = list(self._ready)
        self._ready.clear()
        if self._room is not None and not self._room.done():
            self.heard_at = self._loop.time()  # until now it was the reader who was silent
            self._room.set_result(None)
        return taken

    @property
    def has_more(self) -> bool:
        return bool(self._ready)

    async def wait(self, *, until: float) -> bool:
        """Returns when something has come or the time has: False at the end. Raises what `events` did."""
        if not self._ready and not self._task.done():
            self._reader = self._loop.create_future()
            timer = self._loop.call_at(until, self._wake)
            try:
                await self._reader
            finally:
                timer.cancel()
                self._reader = None
        if self._ready or not self._task.done():
            return True
        self._task.result()
        return False

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.exception()  # seen: else asyncio logs an error that nobody can use

    async def _run(self, events: Events) -> None:
        try:
            async with aclosing(events):
                async for event in events:
                    self.heard_at = self._loop.time()
                    self._ready.append(event)
                    self._wake()
                    if len(self._ready) >= _AHEAD:
                        self._room = self._loop.create_future()
                        await self._room
        finally:
            self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


def _after(since: float, seconds: float | None) -> float:
    return float("inf") if seconds is None else since + seconds


_SILENCE_WORDS = "The provider fell silent in the middle of its answer. Continue, or retry."
_TOTAL_WORDS = "The answer took longer than this server allows. Continue, or retry."
