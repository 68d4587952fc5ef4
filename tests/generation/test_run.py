"""One generation from its claim to its end, with a real adapter and a real database."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings as settings_of_django
from pytest_django.fixtures import Settings

from chat.actions.send import send_message
from chat.database import run_unit
from chat.generation import output as output_module
from chat.generation.journal import Record
from chat.generation.lease import claim
from chat.generation.orphans import end_from_journal
from chat.generation.runner import Runner
from chat.live.reply_log import ReplyLog, RetryWait
from chat.models import ChatModel, Endpoint, Generation, JournalEntry, Status, User
from chat.providers.base import ChatRequest, EndpointConfig
from chat.providers.events import Finished, Outcome, ProviderEvent, TextDelta, Usage
from chat.providers.registry import _instances, close_all
from chat.runtime import Runtime, current

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def runner(runtime: Runtime) -> AsyncIterator[Runner]:
    """Whose replies are journalled."""
    runtime.journal.start()
    yield runtime.runner
    await runtime.journal.stop()
    await close_all()


@pytest.fixture
def unreachable(settings: Settings) -> str:
    """An endpoint whose server refuses connections."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    endpoint = EndpointConfig("away", "openai_compatible", "Away", f"http://127.0.0.1:{port}/v1")
    settings.CHAT_ENDPOINTS = {**settings.CHAT_ENDPOINTS, "away": endpoint}
    return "away"


def model(slug: str, **fields: object) -> ChatModel:
    provider, _ = Endpoint.objects.get_or_create(slug=slug, defaults={"name": slug})
    return ChatModel.objects.create(endpoint=provider, name=slug, **fields)


def queued(person: User, text: str, *models: ChatModel) -> list[Generation]:
    """One queued generation for each model, for one prompt."""
    ids = [model.pk for model in models]
    sent = send_message(person, uuid4(), client_id=uuid4(), text=text, model_ids=ids)
    replies = Generation.objects.filter(message__parent=sent.message)
    return list(replies.select_related("model", "message").order_by("message__position"))


async def again(generation: Generation) -> Generation:
    return await Generation.objects.select_related("message").aget(pk=generation.pk)


async def test_replies_side_by_side_end_independently(
    person: User, runner: Runner, unreachable: str, settings: Settings
) -> None:
    settings.CHAT_ATTEMPTS = 1
    models = [await run_unit(model, slug) for slug in ("demo", unreachable)]
    good, bad = await run_unit(queued, person, "/demo instant", *models)
    await asyncio.gather(*(runner.run_of(generation.pk)() for generation in (good, bad)))
    good, bad = await again(good), await again(bad)
    assert (good.status, bad.status) == (Status.COMPLETE, Status.FAILED)
    assert "fibonacci" in good.message.text
    assert bad.message.text == ""
    assert bad.error_code == "connection"
    assert bad.error_message


async def test_a_reply_that_starts_with_its_prompt_is_counted_and_did_not_wait(
    person: User, runtime: Runtime, runner: Runner, caplog: pytest.LogCaptureFixture
) -> None:
    runtime.hub.start()
    runner.accepting = True
    demo = await run_unit(model, "demo")
    [generation] = await run_unit(queued, person, "/demo instant Count me", demo)
    async with asyncio.timeout(60):
        while (await again(generation)).is_live or runner._runs:
            await asyncio.sleep(0.01)
    registry = runtime.metrics.registry
    assert registry.get_sample_value("steady_reply_queue_seconds_count", {"provider": "demo"}) == 1
    assert registry.get_sample_value("steady_reply_queue_seconds_sum", {"provider": "demo"}) == 0
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


async def test_each_further_attempt_is_shown_to_viewers(
    person: User, runner: Runner, unreachable: str, settings: Settings
) -> None:
    settings.CHAT_ATTEMPTS = 2
    (generation,) = await run_unit(queued, person, "Hello", await run_unit(model, unreachable))
    run = asyncio.create_task(runner.run_of(generation.pk)())
    told: set[RetryWait | None] = set()
    while not run.done():
        if log := current().hub.logs.get(generation.pk):
            told.add(log.waiting)
        await asyncio.sleep(0)
    assert [waiting.attempt for waiting in told if waiting] == [2]


async def test_usage_and_cost_are_recorded_at_the_current_prices(person: User, runner: Runner) -> None:
    priced = await run_unit(model, "demo", input_price=Decimal(1000), output_price=Decimal(2000))
    (generation,) = await run_unit(queued, person, "/demo instant", priced)
    await runner.run_of(generation.pk)()
    await ChatModel.objects.aupdate(output_price=Decimal(9999))
    done = await again(generation)
    assert done.input_tokens and done.output_tokens
    assert not done.usage_estimated
    assert done.cost == (done.input_tokens * Decimal(1000) + done.output_tokens * Decimal(2000)) / 1_000_000


async def test_a_huge_piece_is_cut_at_the_limit_before_it_is_processed(
    person: User, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, fifteen megabytes in one piece were stored whole, and rendered for twenty seconds."""
    monkeypatch.setattr(output_module, "MAX_REPLY_CHARS", 1_000)
    (generation,) = await run_unit(queued, person, "Hello", await run_unit(model, "demo"))

    async def stream(self: object, request: ChatRequest) -> AsyncIterator[ProviderEvent]:
        yield TextDelta("Hello ")
        yield TextDelta("x" * 100_000)
        raise AssertionError("more was asked for")

    monkeypatch.setattr("chat.providers.demo.DemoProvider.stream", stream)
    longest = 0
    append = ReplyLog.append

    def watched(self: ReplyLog, kind: str, text: str) -> None:
        nonlocal longest
        longest = max(longest, len(text))
        append(self, kind, text)

    monkeypatch.setattr(ReplyLog, "append", watched)
    await runner.run_of(generation.pk)()
    done = await again(generation)
    assert (done.status, len(done.message.text)) == (Status.LENGTH, 1_000)
    assert longest <= 1_000


async def test_a_stopped_reply_keeps_the_text_so_far_and_an_estimated_usage(
    person: User, runner: Runner
) -> None:
    (generation,) = await run_unit(queued, person, "Tell me", await run_unit(model, "demo"))
    run = runner.run_of(generation.pk)
    task = asyncio.create_task(run())
    while not ((log := current().hub.logs.get(generation.pk)) and len(log.text()) > 20):
        await asyncio.sleep(0.01)
    shown = log.text()
    run.stop()
    await task
    done = await again(generation)
    assert done.status == Status.STOPPED
    assert done.message.text.startswith(shown)
    assert done.usage_estimated
    assert done.output_tokens
    assert not await JournalEntry.objects.aexists()


async def test_a_reply_whose_process_ended_has_its_usage_estimated(person: User, runtime: Runtime) -> None:
    priced = await run_unit(model, "demo", input_price=Decimal(1), output_price=Decimal(1))
    (generation,) = await run_unit(queued, person, "How are you?", priced)
    await run_unit(claim, generation.pk, runtime.pubsub.conversation_changed)
    log = ReplyLog()
    log.append("text", "Quite well, thank you. " * 20)
    runtime.journal.open(Record(generation.pk, log, on_stop=lambda: None, on_lost=lambda: None))
    await runtime.journal.tick()
    await Generation.objects.filter(pk=generation.pk).aupdate(owner="a dead process")
    stale = await Generation.objects.select_related("model__endpoint", "message__parent").aget(
        pk=generation.pk
    )
    await run_unit(end_from_journal, stale, runtime.pubsub.conversation_changed)
    done = await again(generation)
    assert (done.status, done.usage_estimated) == (Status.INTERRUPTED, True)
    assert done.output_tokens is not None
    assert 60 < done.output_tokens < 200
    assert done.input_tokens
    assert done.cost


async def test_a_reply_that_is_stopped_before_its_claim_never_starts(person: User, runner: Runner) -> None:
    (generation,) = await run_unit(queued, person, "Never", await run_unit(model, "demo"))
    await Generation.objects.filter(pk=generation.pk).aupdate(stop_requested=True)
    await runner.run_of(generation.pk)()
    assert (await again(generation)).status == Status.QUEUED
    assert generation.pk not in current().hub.logs


@pytest.mark.parametrize(
    "odd",
    [
        {"input_tokens": -1},
        {"output_tokens": 10**12},
        {"output_tokens": 10**12, "price": 600},
        {"finish_reason": "stop\x00\ud83d"},
    ],
    ids=str,
)
async def test_odd_words_and_numbers_of_a_provider_do_not_prevent_the_end_of_the_reply(
    person: User, runner: Runner, odd: dict[str, Any]
) -> None:
    class Odd:
        def __init__(self, endpoint: EndpointConfig) -> None:
            self.endpoint = endpoint

        async def stream(self, request: ChatRequest) -> AsyncIterator[ProviderEvent]:
            yield TextDelta("All is well")
            counts = {name: value for name, value in odd.items() if name.endswith("tokens")}
            yield Usage(**{"input_tokens": 1, "output_tokens": 1, **counts})
            yield Finished(Outcome.COMPLETE, odd.get("finish_reason", "stop"))

    chosen = await run_unit(model, "demo")
    if price := odd.get("price"):
        await ChatModel.objects.filter(pk=chosen.pk).aupdate(input_price=price, output_price=price)
    (generation,) = await run_unit(queued, person, "Hello", chosen)
    provider: Any = Odd(settings_of_django.CHAT_ENDPOINTS["demo"])
    _instances.setdefault(asyncio.get_running_loop(), {})[provider.endpoint] = provider
    await runner.run_of(generation.pk)()
    done = await again(generation)
    assert (done.status, done.message.text) == (Status.COMPLETE, "All is well")
    _instances.pop(asyncio.get_running_loop())
