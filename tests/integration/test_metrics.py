"""Two server processes under load count what their clients and their provider did, each for itself."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, ClassVar
from uuid import uuid4

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.faults.client import Page, Person
from tests.faults.stack import Stack, stack
from tests.servers import ServerProcess

pytestmark = [pytest.mark.needs_postgres, pytest.mark.needs_redis]

TOKEN = "the token of the two processes"
PACE, FIRST_SECONDS, WORDS = 50, 0.3, 20
COMPLETE = f"/wire tokens={WORDS} pace={PACE} first={FIRST_SECONDS}"
# What the provider does, and how the reply ends. Each process gets each of them, the first COPIES times.
COPIES = 6
SCRIPTS = {
    **{f"complete {number} {COMPLETE}": "complete" for number in range(COPIES)},
    "long /wire tokens=4 length=1": "length",
    "refused /wire tokens=4 refuse=1": "refused",
    "key /wire fail=401": "failed",
    "busy /wire tokens=4 fail=429 fails=2": "complete",  # after two retries
    "cut /wire cut=3": "interrupted",
    "dropped /wire drop=3": "interrupted",
    "silent /wire tokens=6 hang=3": "stopped",
}
CALLS = 2  # of a program, in each process
STARTED = len(SCRIPTS) - 1  # replies with a first token
INPUT, CACHED = 11, 4  # tokens of a request, as the provider reports them
PRICES = {"input_price": 2, "cached_input_price": 1, "output_price": 4}  # US dollars per million


@dataclass
class Metrics:
    """What one process answered."""

    samples: list[tuple[str, dict[str, str], float]]
    asked: ClassVar[set[str]] = set()  # the names of all samples that the test has looked at

    @classmethod
    async def of(cls, process: ServerProcess) -> Metrics:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"{process.url}/metrics", headers=headers) as answer,
        ):
            assert answer.status == 200
            families = text_string_to_metric_families(await answer.text())
        return cls([(s.name, s.labels, s.value) for family in families for s in family.samples])

    def total(self, name: str, **labels: str) -> float:
        """Returns the sum of the samples with these labels."""
        self.asked.add(name)
        return sum(
            value
            for sample, found, value in self.samples
            if sample == name and all(found.get(label) == wanted for label, wanted in labels.items())
        )

    def by(self, label: str, name: str) -> dict[str, float]:
        """Returns the sums above 0 by the values of a label."""
        values = {labels[label] for sample, labels, _ in self.samples if sample == name}
        return {value: number for value in values if (number := self.total(name, **{label: value}))}


async def until(process: ServerProcess, holds: Callable[[Metrics], bool]) -> Metrics:
    """Returns the metrics as soon as they fulfil the condition."""
    async with asyncio.timeout(60):
        while not holds(metrics := await Metrics.of(process)):
            await asyncio.sleep(0.05)
    return metrics


async def test_each_of_two_processes_counts_what_it_did() -> None:
    async with AsyncExitStack() as cleanup:
        it = await cleanup.enter_async_context(
            stack("postgres", processes=0, STEADY_METRICS_TOKEN=TOKEN, CHAT_ATTEMPTS="3")
        )
        await asyncio.gather(it.add_process(), it.add_process())
        person = await cleanup.enter_async_context(Person(it.url))
        model = await person.model()
        it.execute(
            "UPDATE chat_chatmodel SET " + ", ".join(f"{name} = {price}" for name, price in PRICES.items())
        )
        async with asyncio.TaskGroup() as group:
            for number, process in enumerate(it.processes):
                group.create_task(load(it, process, person, model, transport=("ws", "sse")[number]))
        orphan(it)
        recovered = [await Metrics.of(process) for process in it.processes]
        async with asyncio.timeout(60):
            while not any(metrics.total("steady_recovered_replies_total") for metrics in recovered):
                await asyncio.sleep(0.1)
                recovered = [await Metrics.of(process) for process in it.processes]
        assert sum(metrics.total("steady_recovered_replies_total") for metrics in recovered) == 1
    families = {re.sub("_(bucket|count|sum)$", "", name) for name, _, _ in recovered[0].samples}
    looked_at = {re.sub("_(bucket|count|sum)$", "", name) for name in Metrics.asked}
    assert {name for name in families if name.startswith("steady_")} <= looked_at


async def load(it: Stack, process: ServerProcess, person: Person, model: str, transport: str) -> None:
    """Lets one process answer all scripts at the same time, and checks its metrics during and after it."""
    async with AsyncExitStack() as pages:
        opened = {
            script: await pages.enter_async_context(person.page(transport=transport, url=process.url))
            for script in SCRIPTS
        }
        secret = token(it)
        call = await pages.enter_async_context(called(process, secret, "tokens=6 hang=3"))
        await call.content.readuntil(b"word2")
        async with called(process, secret, f"tokens={WORDS}") as whole:
            assert b"[DONE]" in await whole.read()
        async with asyncio.TaskGroup() as group:
            ends = {
                script: group.create_task(answered(page, f"{script} process {process.pid}", model))
                for script, page in opened.items()
                if SCRIPTS[script] != "stopped"
            }
            (silent,) = (page for script, page in opened.items() if SCRIPTS[script] == "stopped")
            await silent.ask(f"silent /wire tokens=6 hang=3 process {process.pid}", model=model)
            await silent.until(lambda: "word2" in silent.text)
            await silent.ask(f"queued {COMPLETE} process {process.pid}", model=model)
        assert {script: end.result() for script, end in ends.items()} == {
            script: outcome for script, outcome in SCRIPTS.items() if outcome != "stopped"
        }
        during = await until(process, lambda metrics: metrics.total("steady_running_replies") == 1)
        assert during.by("transport", "steady_open_pages") == {
            "websocket" if transport == "ws" else "sse": len(opened)
        }
        assert during.total("steady_reply_queue_seconds_count") == len(ends)
        assert during.total("steady_running_calls") == 1
        assert 0 <= during.total("steady_journal_lag_seconds") < 60
        call.close()
        await stop_first(silent, process)
        await silent.ended()
    ended = await until(
        process,
        lambda metrics: (
            not metrics.total("steady_open_pages") and metrics.total("steady_calls_total") == CALLS
        ),
    )
    check(it, process, ended, secret)


def token(it: Stack) -> str:
    """Returns an API token for the calls of one process, so that the usage entries show which one it was."""
    secret = f"sty_{uuid4().hex}{uuid4().hex[:11]}"
    it.execute(
        "INSERT INTO chat_apitoken (user_id, name, prefix, digest, scopes, created_at)"
        " SELECT id, 'Test', ?, ?, ?, CURRENT_TIMESTAMP FROM chat_user",
        secret[:12],
        sha256(secret.encode()).hexdigest(),
        '["gateway"]',
    )
    return secret


@asynccontextmanager
async def called(process: ServerProcess, secret: str, script: str) -> AsyncIterator[aiohttp.ClientResponse]:
    """A call of a program through the gateway."""
    body = {"model": "wire", "stream": True, "messages": [{"role": "user", "content": f"/wire {script}"}]}
    headers = {"Authorization": f"Bearer {secret}"}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{process.url}/v1/chat/completions", json=body, headers=headers) as answer,
    ):
        assert answer.status == 200, await answer.text()
        yield answer


async def answered(page: Page, prompt: str, model: str) -> str:
    await page.ask(prompt, model=model)
    return await page.ended()


async def stop_first(page: Page, process: ServerProcess) -> None:
    """Stops the first of the page's replies."""
    path = f"/messages/{page.replies[0].id[2:]}/generation/"
    status, _ = await page.person.send("DELETE", path, url=process.url)
    assert status < 300


def check(it: Stack, process: ServerProcess, metrics: Metrics, secret: str) -> None:
    total = metrics.total
    calls = it.rows(
        "SELECT u.* FROM chat_usageentry u JOIN chat_apitoken t ON t.id = u.token_id WHERE t.prefix = ?",
        secret[:12],
    )
    assert metrics.by("outcome", "steady_calls_total") == Counter(str(row["status"]) for row in calls)
    assert total("steady_calls_total", outcome="complete") == 1
    assert total("steady_running_calls") == 0
    ended = len(SCRIPTS) + 1  # with the queued one
    outcomes = Counter(SCRIPTS.values()) + Counter(complete=1)
    assert metrics.by("outcome", "steady_replies_total") == outcomes
    assert set(metrics.by("provider", "steady_replies_total")) == {"openai_compatible"}
    assert metrics.by("code", "steady_provider_errors_total") == {
        "authentication": 1,
        "connection": 1,
        "rate_limited": 2,
    }
    assert metrics.by("code", "steady_provider_retries_total") == {"rate_limited": 2}

    # The scripts say when the first token comes and how fast the others follow. Only later is possible.
    assert total("steady_reply_seconds_count") == ended + CALLS
    assert total("steady_reply_first_token_seconds_count") == STARTED + 1 + CALLS
    assert total("steady_reply_first_token_seconds_sum") >= FIRST_SECONDS * (COPIES + 1)
    seconds = (COPIES + 1) * (FIRST_SECONDS + (WORDS - 1) / PACE)
    assert total("steady_reply_seconds_sum") >= seconds
    slow = total("steady_reply_tokens_per_second_bucket", le="75.0")
    assert slow >= COPIES + 1  # they are sent at 50 a second

    rows = it.rows("SELECT * FROM chat_generation WHERE owner LIKE ?", f"{process.pid}-%")
    assert len(rows) == ended
    waits = sum((row["started_at"] - row["queued_at"]).total_seconds() for row in rows)
    assert total("steady_reply_queue_seconds_sum") == pytest.approx(waits, abs=1.0)
    complete = [row for row in rows if row["status"] == "complete" and row["output_tokens"] == WORDS]
    assert len(complete) == COPIES + 1
    assert {(row["input_tokens"], row["cached_input_tokens"]) for row in complete} == {(INPUT, CACHED)}
    for direction in ("input", "cached_input", "output", "reasoning"):
        assert total("steady_tokens_total", direction=direction) == stored(
            rows + calls, f"{direction}_tokens"
        )
    assert total("steady_cost_dollars_total") == pytest.approx(stored(rows + calls, "cost"))
    assert total("steady_cost_dollars_total") > (COPIES + 1) * (7 * 2 + 4 * 1 + WORDS * 4) / 1e6 * 0.999

    assert total("steady_frame_delay_seconds_count") >= STARTED
    assert total("steady_running_replies") == 0
    assert total("steady_journal_backlog_characters") == 0
    assert total("steady_pubsub_lost_messages_total") == 0
    assert total("steady_event_loop_lag_seconds_count") > 0
    assert total("steady_database_unit_seconds_count", unit="finish") == ended
    units, waited = total("steady_database_unit_seconds_count"), total("steady_database_wait_seconds_count")
    assert 0 <= waited - units <= 20  # those that run now
    assert total("process_cpu_seconds_total") > 0


def stored(rows: list[dict[str, Any]], column: str) -> float:
    return float(sum(row[column] or 0 for row in rows))


def orphan(it: Stack) -> None:
    """Makes a finished reply the running one of a process that is gone."""
    it.execute(
        "UPDATE chat_generation SET status = 'running', owner = 'gone', finished_at = NULL,"
        " heartbeat_at = now() - interval '1 hour'"
        " WHERE id = (SELECT id FROM chat_generation WHERE status = 'complete' LIMIT 1)"
    )
