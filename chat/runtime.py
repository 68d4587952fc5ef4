"""Builds, starts and stops the parts of a server process that have state. Nothing else wires them.

How a reply reaches its viewers:

    actions ── commit ──> runner.start_generation ──> run ──> hub.logs ──> subscriptions ──> transports
        │                                              │          │                ^
        │                                              │          └── journal ──> database
        └── pubsub.conversation_changed ──> hub.wake ──┼───────────────────────────┤
                                                       └── pubsub.share_output ──> remote_logs
                                                           (other processes)       (here)

    recovery         ends the replies of ended processes, and begins the queued ones that no process claimed
    calls            counts the calls of programs, which the gateway makes
    call_queue       gives these calls their turn on endpoints that take a limited number of requests at once
    titles           asks a small model for the titles of new chats
    summaries        asks a small model for summaries of what a model's window cannot hold
    session_monitor  disconnects viewers without access, and wakes those whose message was lost
    readiness        says whether this process should be given work
    metrics          counts what this process does
    *_threads        run synchronous parts of requests, and rendering that takes long
    *_limits, ...    count what users, sessions, API tokens and networks do (`_add_limits`)

`current()` is the runtime of this process. In a process that serves nothing (a management command, a test) it
is not started: it sends messages to other processes and does nothing else. Importing this module builds none.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from threading import Lock
from uuid import UUID

from chat.backends.request_threads import RequestThreads
from chat.database import DatabaseThread
from chat.generation.call_queue import CallQueue
from chat.generation.journal import Journal
from chat.generation.readiness import Readiness
from chat.generation.recovery import UNIT_SECONDS, Recovery
from chat.generation.runner import Runner
from chat.generation.running_calls import RunningCalls
from chat.generation.summaries import Summaries
from chat.generation.titles import Titles
from chat.live.hub import Hub
from chat.live.pubsub import PubSub
from chat.live.remote_log import RemoteLogs
from chat.live.rendering_threads import RenderingThreads
from chat.live.session_monitor import SessionMonitor
from chat.live.stream_limits import Lookups, OpenStreams, PageLimits
from chat.live.subscription import Subscriptions
from chat.metrics import Metrics
from chat.providers.errors import error_codes
from chat.providers.registry import KINDS, close_all
from chat.rate_limit import RateLimits

DISMISS_SECONDS = 2.0  # for viewers to go when the server stops


def _nothing(generation_id: UUID) -> None:
    """Does nothing for an interrupted reply: its user may continue it."""


class Runtime:
    """Each part gets its collaborators when it is built. `on_interrupted` is called on a database thread with
    each generation that was interrupted by the end of its process. Tests pass a `pubsub` that loses
    messages."""

    def __init__(
        self,
        *,
        on_interrupted: Callable[[UUID], None] = _nothing,
        pubsub: Callable[[Hub], PubSub] = PubSub,
    ) -> None:
        self.metrics = Metrics(set(KINDS), error_codes())
        self.request_threads = RequestThreads()
        self.rendering_threads = RenderingThreads()
        self.hub = Hub()
        self.pubsub = pubsub(self.hub)
        self.remote_logs = RemoteLogs(self.hub, self.pubsub)
        self.session_monitor = SessionMonitor(self.hub)
        self.subscriptions = Subscriptions(self.hub, self.pubsub, self.remote_logs, self.session_monitor)
        self.journal = Journal()
        recovering = DatabaseThread("recovery", UNIT_SECONDS)
        self.call_queue = CallQueue(lambda generation_id: self.runner.begin(generation_id))
        self.calls = RunningCalls(self.metrics, self.call_queue)
        self.titles = Titles(self.calls, self.pubsub.conversation_changed)
        self.summaries = Summaries(self.calls)
        self.runner = Runner(
            self.hub, self.pubsub, self.journal, recovering, self.metrics, self.titles, self.summaries
        )
        self.recovery = Recovery(
            recovering,
            self.pubsub.conversation_changed,
            running=lambda: self.runner.running,
            begin=self.runner.begin,
            requeue=self.runner.requeue,
            on_interrupted=on_interrupted,
        )
        self.readiness = Readiness(self.runner, self.journal, self.recovery, self.session_monitor)
        self._add_limits()
        self._add_metrics()

    def start(self) -> None:
        """Binds the parts to the running event loop and starts their loops."""
        self.hub.start()
        self.pubsub.start()
        self.session_monitor.start()
        self.journal.start()
        self.calls.start()
        self.call_queue.start()
        self.runner.accepting = True
        self.recovery.start()
        self.titles.start()
        self.metrics.start()

    async def stop(self, seconds: float) -> None:
        """Takes nothing new, lets running replies and calls go on for `seconds`, ends the rest, and stops all
        parts. Returns when everything is written."""
        self.runner.accepting = False
        self.call_queue.close()
        await self.recovery.stop()
        await asyncio.gather(
            self.runner.drain(seconds), self.calls.drain(seconds), self.titles.drain(seconds)
        )
        await self.session_monitor.dismiss(DISMISS_SECONDS)
        await self.journal.stop()
        await self.calls.stop()
        await self.call_queue.stop()
        await self.session_monitor.stop()
        await self.pubsub.stop()
        self.metrics.stop()
        self.request_threads.close()
        await close_all()

    def _add_limits(self) -> None:
        """Adds the limits of this process for users, sessions, tokens and networks."""
        self.socket_limits, self.sse_limits = PageLimits(), PageLimits()
        self.socket_lookups = Lookups()
        # By the `rate_key` of an API token that was valid, and by network for invalid ones.
        self.token_requests = RateLimits(burst=100, per_second=10.0)
        self.token_failures = RateLimits(burst=100, per_second=10.0)
        self.token_streams = OpenStreams()
        # By user, or by network without a log-in: the members of a team often have one address. A page with
        # pictures makes many requests at once; guessing makes more.
        self.share_requests = RateLimits(burst=120, per_second=2.0)

    def _add_metrics(self) -> None:
        """Adds what the parts know themselves: it is read when the metrics are."""
        gauge, counter = self.metrics.gauge, self.metrics.counter
        gauge("steady_running_replies", "Replies that run here.", lambda: len(self.runner.running))
        gauge("steady_running_calls", "Calls of programs that run here.", lambda: self.calls.running)
        gauge(
            "steady_journal_lag_seconds",
            "Time since the output of the running replies was last stored.",
            lambda: time.monotonic() - (self.journal.alive_at or time.monotonic()),
        )
        gauge(
            "steady_journal_backlog_characters",
            "Output that is not yet stored, in characters.",
            lambda: self.journal.backlog,
        )
        counter(
            "steady_pubsub_lost_messages",
            "Messages to other processes that were not sent.",
            lambda: self.pubsub.lost,
        )
        counter(
            "steady_recovered_replies",
            "Replies of ended processes that this one marked as interrupted.",
            lambda: self.recovery.ended,
        )


_current: Runtime | None = None
_building = Lock()  # the first use may be on any thread


def current() -> Runtime:
    """Returns the runtime of this process. It is built on first use, unless one was installed."""
    global _current
    if _current is None:
        with _building:
            if _current is None:
                _current = Runtime()
    return _current


def install(runtime: Runtime) -> None:
    """Makes it the runtime of this process, before it is started."""
    global _current
    with _building:
        _current = runtime


def is_started() -> bool:
    """Returns whether the runtime of this process runs on the event loop that runs now."""
    return _current is not None and _current.hub.is_on_this_loop
