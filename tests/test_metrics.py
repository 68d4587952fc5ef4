"""What the metrics of a process count, and that their number is limited."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from uuid import uuid4

import pytest
from prometheus_client import generate_latest

from chat.database import run_unit
from chat.live.hub import Listener
from chat.metrics import MODELS, OTHER, OUTCOMES, EndedReply, Metrics
from chat.models import LIVE, Status, User
from chat.runtime import Runtime

REPLY = EndedReply(
    outcome="complete",
    provider="openai",
    model="gpt-9",
    queued=0.2,
    first_token=1.0,
    total=3.0,
    input_tokens=100,
    cached_input_tokens=40,
    output_tokens=60,
    reasoning_tokens=10,
    cost=0.5,
)


def value(metrics: Metrics, sample: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(sample, labels)


def test_an_ended_reply_is_counted_with_its_durations_tokens_and_cost() -> None:
    metrics = Metrics()
    metrics.reply_ended(REPLY)
    metrics.reply_ended(replace(REPLY, outcome="failed", first_token=None, output_tokens=0, cost=0.0))
    model = {"provider": "openai", "model": "gpt-9"}
    assert value(metrics, "steady_replies_total", outcome="complete", **model) == 1
    assert value(metrics, "steady_replies_total", outcome="failed", **model) == 1
    assert value(metrics, "steady_reply_seconds_sum", provider="openai") == 6.0
    assert value(metrics, "steady_reply_queue_seconds_count", provider="openai") == 2
    assert value(metrics, "steady_reply_first_token_seconds_sum", provider="openai") == 1.0
    assert value(metrics, "steady_reply_first_token_seconds_count", provider="openai") == 1
    assert value(metrics, "steady_reply_tokens_per_second_sum", provider="openai") == 30.0
    tokens = {
        direction: value(metrics, "steady_tokens_total", direction=direction, **model)
        for direction in ("input", "cached_input", "output", "reasoning")
    }
    assert tokens == {"input": 200, "cached_input": 80, "output": 60, "reasoning": 20}
    assert value(metrics, "steady_cost_dollars_total", **model) == 0.5


def test_a_call_of_a_program_is_counted_beside_the_replies() -> None:
    metrics = Metrics()
    metrics.reply_ended(replace(REPLY, is_call=True, queued=None))
    model = {"outcome": "complete", "provider": "openai", "model": "gpt-9"}
    assert value(metrics, "steady_calls_total", **model) == 1
    assert value(metrics, "steady_replies_total", **model) == 0
    assert value(metrics, "steady_cost_dollars_total", provider="openai", model="gpt-9") == 0.5
    assert value(metrics, "steady_reply_queue_seconds_count", provider="openai") is None


def test_hostile_and_very_many_model_names_do_not_grow_the_output() -> None:
    metrics = Metrics()
    hostile = 'x"}\n# {é\\'
    metrics.reply_ended(replace(REPLY, model=hostile))
    for number in range(MODELS):  # one more than there is room for
        metrics.reply_ended(replace(REPLY, model=f"model {number}"))
    lines = generate_latest(metrics.registry).decode().count("\n")
    for number in range(5_000):
        metrics.reply_ended(replace(REPLY, model=f"another {number}"))
    assert generate_latest(metrics.registry).decode().count("\n") == lines
    found = value(metrics, "steady_replies_total", outcome="complete", provider="openai", model=OTHER)
    assert found == 5_001
    assert value(metrics, "steady_replies_total", outcome="complete", provider="openai", model=hostile) == 1


def test_failed_requests_are_counted_by_code_and_the_retried_ones_among_them() -> None:
    metrics = Metrics()
    metrics.request_failed("openai", "rate_limited", is_retried=True)
    metrics.request_failed("openai", "rate_limited")
    labels = {"provider": "openai", "code": "rate_limited"}
    assert value(metrics, "steady_provider_errors_total", **labels) == 2
    assert value(metrics, "steady_provider_retries_total", **labels) == 1


def test_all_outcomes_and_error_codes_have_a_value_before_they_happen(runtime: Runtime) -> None:
    """Prometheus sees no increase from no value to 1."""
    assert set(OUTCOMES) == {str(status) for status in Status} - {str(status) for status in LIVE}
    runtime.metrics.reply_ended(REPLY)
    model = {"provider": "openai", "model": "gpt-9"}
    assert value(runtime.metrics, "steady_replies_total", outcome="failed", **model) == 0
    for code in ("rate_limited", "context_length"):
        assert value(runtime.metrics, "steady_provider_errors_total", provider="demo", code=code) == 0


async def test_a_page_is_counted_while_it_is_open() -> None:
    metrics = Metrics()
    with metrics.open_page("sse"):
        assert value(metrics, "steady_open_pages", transport="sse") == 1
    assert value(metrics, "steady_open_pages", transport="sse") == 0
    assert value(metrics, "steady_open_pages", transport="websocket") == 0


async def test_a_frame_is_as_late_as_the_first_output_that_it_shows() -> None:
    metrics, listener = Metrics(), Listener()
    before = time.monotonic()
    listener.wake()
    after = time.monotonic()
    listener.wake()
    await listener.wait(60)
    listener.wake()  # for the next frame
    assert before <= listener.woken_at <= after
    metrics.frame_sent(before - 7)
    assert value(metrics, "steady_frame_delay_seconds_count") == 1
    assert (value(metrics, "steady_frame_delay_seconds_sum") or 0) > 7


async def test_a_blocked_event_loop_is_measured() -> None:
    metrics = Metrics()
    metrics.start()
    try:
        time.sleep(0.6)  # noqa: ASYNC251 - it blocks the loop on purpose
        async with asyncio.timeout(60):
            while not value(metrics, "steady_event_loop_lag_seconds_count"):
                await asyncio.sleep(0.01)
    finally:
        metrics.stop()
    assert (value(metrics, "steady_event_loop_lag_seconds_sum") or 0) > 0.3


@pytest.mark.django_db(transaction=True)
async def test_a_unit_of_database_work_is_measured_by_its_name(runtime: Runtime) -> None:
    def of_this_test(number: int) -> int:
        return User.objects.filter(pk=number).count()

    def failing() -> None:
        raise ValueError

    waited = value(runtime.metrics, "steady_database_wait_seconds_count", thread="shared") or 0
    assert await run_unit(of_this_test, 0) == 0
    with pytest.raises(ValueError):
        await run_unit(failing)
    for unit in ("of_this_test", "failing"):
        assert value(runtime.metrics, "steady_database_unit_seconds_count", unit=unit) == 1
    assert value(runtime.metrics, "steady_database_wait_seconds_count", thread="shared") == waited + 2


async def test_the_state_of_the_parts_is_read_when_the_metrics_are(runtime: Runtime) -> None:
    runtime.recovery.ended, runtime.pubsub.lost = 3, 4
    runtime.journal.alive_at = time.monotonic() - 60
    assert value(runtime.metrics, "steady_recovered_replies_total") == 3
    assert value(runtime.metrics, "steady_pubsub_lost_messages_total") == 4
    assert (value(runtime.metrics, "steady_journal_lag_seconds") or 0) >= 60
    assert value(runtime.metrics, "steady_journal_backlog_characters") == 0
    assert value(runtime.metrics, "steady_running_replies") == 0


async def test_a_message_that_the_full_queue_refuses_is_lost(runtime: Runtime) -> None:
    runtime.pubsub._outbox = asyncio.Queue(1)
    for _ in range(3):
        runtime.pubsub.request_output(uuid4())
    assert runtime.pubsub.lost == 2
