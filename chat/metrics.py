"""The metrics of a server process, in the form of Prometheus.

`Metrics` belongs to one runtime and has a registry of its own. Each process counts only its own work. The
number of label values is limited: labels name outcomes, kinds of providers, error codes, functions of Steady,
and up to `MODELS` models of the catalog, never users, chats or replies. Nothing is updated for each token,
only for each reply, frame and unit of database work.

The leaf packages must not import this module: they return events, and the code that reads them counts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

MODELS = 100  # with a label of their own in one process; a gateway may list any number of names
OTHER = "other"
OUTCOMES = ("complete", "length", "stopped", "interrupted", "failed", "refused")
LOOP_SECONDS = 0.25  # between two measurements of the event loop

_SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_LONG = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
_WAIT = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_FRAME = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 10.0)
_RATE = (1, 2.5, 5, 10, 20, 30, 50, 75, 100, 150, 250, 500, 1000)
_UNIT = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0)

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each one, with the time of its first value

# The database threads belong to the process (`chat.database`), so these do too. Each runtime shows them.
_unit_seconds = Histogram(
    "steady_database_unit_seconds",
    "Time that a unit of database work took on its thread, by the name of its function.",
    ["unit"],
    buckets=_UNIT,
    registry=None,
)
_database_wait_seconds = Histogram(
    "steady_database_wait_seconds",
    "Time that a unit of database work waited for a thread, by the name of the threads.",
    ["thread"],
    buckets=_SHORT,
    registry=None,
)


def timed[R](thread: str, unit: Callable[..., object], work: Callable[[], R]) -> Callable[[], R]:
    """Returns `work`, measured: how long it waits from now for a thread, and how long it takes there. `unit`
    is the function that it is named after."""
    queued = time.perf_counter()

    def measured() -> R:
        began = time.perf_counter()
        _database_wait_seconds.labels(thread).observe(began - queued)
        try:
            return work()
        finally:
            name = getattr(unit, "__name__", OTHER)
            _unit_seconds.labels(name).observe(time.perf_counter() - began)

    return measured


@dataclass(frozen=True, slots=True)
class EndedReply:
    """A reply whose end is stored, or a call of a program that ended. Times are in seconds, None if unknown.
    The cost is in US dollars."""

    outcome: str
    provider: str  # the kind
    model: str
    queued: float | None
    first_token: float | None
    total: float
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost: float
    is_call: bool = False

    @property
    def tokens_per_second(self) -> float | None:
        if not self.output_tokens or self.first_token is None or self.total <= self.first_token:
            return None
        return self.output_tokens / (self.total - self.first_token)


class Metrics:
    """Call the methods on the event loop. `timed` is for any thread."""

    def __init__(self, providers: Collection[str] = (), codes: Collection[str] = ()) -> None:
        """`providers` are the kinds that are configured, `codes` those of all errors of providers."""
        self._registry = registry = CollectorRegistry()
        self._models: set[tuple[str, str]] = set()
        self._timer: asyncio.TimerHandle | None = None
        by_provider, by_model = ["provider"], ["provider", "model"]
        self._replies = Counter(
            "steady_replies", "Replies that ended here.", ["outcome", *by_model], registry=registry
        )
        self._calls = Counter(
            "steady_calls", "Calls of programs that ended here.", ["outcome", *by_model], registry=registry
        )
        self._queued = Histogram(
            "steady_reply_queue_seconds",
            "Time from the prompt until its reply was started.",
            by_provider,
            buckets=_WAIT,
            registry=registry,
        )
        self._first_token = Histogram(
            "steady_reply_first_token_seconds",
            "Time from the start of a reply until its first token.",
            by_provider,
            buckets=_LONG,
            registry=registry,
        )
        self._total = Histogram(
            "steady_reply_seconds",
            "Time from the start of a reply until its end.",
            by_provider,
            buckets=_LONG,
            registry=registry,
        )
        self._rate = Histogram(
            "steady_reply_tokens_per_second",
            "Output tokens per second, from the first token until the end of a reply.",
            by_provider,
            buckets=_RATE,
            registry=registry,
        )
        self._tokens = Counter(
            "steady_tokens",
            "Tokens of ended replies. `cached_input` is a part of `input`, `reasoning` of `output`.",
            ["direction", *by_model],
            registry=registry,
        )
        self._cost = Counter(
            "steady_cost_dollars",
            "Cost of ended replies in US dollars, by the prices of the catalog.",
            by_model,
            registry=registry,
        )
        self._errors = Counter(
            "steady_provider_errors",
            "Failed requests to providers, those that were retried included.",
            ["provider", "code"],
            registry=registry,
        )
        self._retries = Counter(
            "steady_provider_retries",
            "Failed requests to providers that were retried.",
            ["provider", "code"],
            registry=registry,
        )
        self._frame_delay = Histogram(
            "steady_frame_delay_seconds",
            "Time from new output until the frame that shows it was sent to a page.",
            buckets=_FRAME,
            registry=registry,
        )
        self._pages = Gauge(
            "steady_open_pages", "Pages that are kept up to date.", ["transport"], registry=registry
        )
        for transport in ("websocket", "sse"):
            self._pages.labels(transport)
        self._loop_lag = Histogram(
            "steady_event_loop_lag_seconds",
            f"How late a timer of the event loop ran. Measured every {LOOP_SECONDS} s.",
            buckets=_SHORT,
            registry=registry,
        )
        self._failures = list(product(providers, codes))
        registry.register(_unit_seconds)
        registry.register(_database_wait_seconds)
        ProcessCollector(registry=registry)

    @property
    def registry(self) -> CollectorRegistry:
        """All metrics. The first read gives each provider and error its counters: Prometheus sees no increase
        from no value to 1, and a process whose metrics nobody reads needs none."""
        for provider, code in self._failures:
            self._errors.labels(provider, code)
            self._retries.labels(provider, code)
        self._failures = []
        return self._registry

    def start(self) -> None:
        """Starts to measure the running event loop."""
        self._measure_loop(asyncio.get_running_loop(), None)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def gauge(self, name: str, about: str, read: Callable[[], float]) -> None:
        """Adds a value that is read when the metrics are."""
        self._registry.register(_Read(lambda: GaugeMetricFamily(name, about, read())))

    def counter(self, name: str, about: str, read: Callable[[], float]) -> None:
        """The same for a number that only grows."""
        self._registry.register(_Read(lambda: CounterMetricFamily(name, about, read())))

    def reply_ended(self, reply: EndedReply) -> None:
        provider, model = reply.provider, self._model(reply.provider, reply.model)
        counter = self._calls if reply.is_call else self._replies
        counter.labels(reply.outcome, provider, model).inc()
        self._total.labels(provider).observe(reply.total)
        for histogram, value in (
            (self._queued, reply.queued),
            (self._first_token, reply.first_token),
            (self._rate, reply.tokens_per_second),
        ):
            if value is not None:
                histogram.labels(provider).observe(max(0.0, value))
        for direction, tokens in (
            ("input", reply.input_tokens),
            ("cached_input", reply.cached_input_tokens),
            ("output", reply.output_tokens),
            ("reasoning", reply.reasoning_tokens),
        ):
            self._tokens.labels(direction, provider, model).inc(tokens)
        self._cost.labels(provider, model).inc(reply.cost)

    def request_failed(self, provider: str, code: str, *, is_retried: bool = False) -> None:
        """Counts a failed request to a provider of this kind. `code` is that of a `ProviderError`."""
        self._errors.labels(provider, code).inc()
        if is_retried:
            self._retries.labels(provider, code).inc()

    def frame_sent(self, since: float) -> None:
        """Counts a frame that shows output from the monotonic time `since` on."""
        self._frame_delay.observe(time.monotonic() - since)

    @contextmanager
    def open_page(self, transport: str) -> Iterator[None]:
        """Counts a page as open during the block."""
        pages = self._pages.labels(transport)
        pages.inc()
        try:
            yield
        finally:
            pages.dec()

    def _model(self, provider: str, name: str) -> str:
        """Returns the label of a model: its name for the first `MODELS`, then "other"."""
        if (provider, name) in self._models:
            return name
        if len(self._models) >= MODELS:
            name = OTHER
        else:
            self._models.add((provider, name))
        for outcome in OUTCOMES:  # Prometheus sees no increase from no value to 1
            self._replies.labels(outcome, provider, name)
            self._calls.labels(outcome, provider, name)
        return name

    def _measure_loop(self, loop: asyncio.AbstractEventLoop, due: float | None) -> None:
        if due is not None:
            self._loop_lag.observe(max(0.0, loop.time() - due))
        due = loop.time() + LOOP_SECONDS
        self._timer = loop.call_at(due, self._measure_loop, loop, due)


class _Read(Collector):
    def __init__(self, read: Callable[[], Metric]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        return [self._read()]
