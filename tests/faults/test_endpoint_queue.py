"""The queue of an endpoint with real processes: a hundred prompts of three people, and `kill -9` in the
middle. The provider sees who was served, and how many at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import NamedTuple
from uuid import uuid4

import pytest

from tests.faults.client import TERMINAL, Person
from tests.faults.installation import Installation
from tests.faults.test_api import Program
from tests.providers.wire import Entry
from tests.servers import ServerProcess

pytestmark = pytest.mark.asyncio(loop_scope="session")

AT_ONCE = 4
BEFORE_KILL = 40  # calls
PROMPTS = {"ada": 60, "ben": 30, "cleo": 10}
PATIENCE = 300.0  # seconds; a lease of a killed process takes 20


class Prompt(NamedTuple):
    owner: str
    mark: str

    @property
    def text(self) -> str:
        return f"{self.mark} /wire tokens=4 pace=10"


async def test_a_hundred_prompts_of_three_people_and_a_kill_in_the_middle(
    steady: Installation, person: Person
) -> None:
    """Never are more than four sent, each prompt is sent at most once, nobody has more than half of the
    places while others wait, and whatever the killed process wrote is ended in plain words."""
    wire, begin = steady.wire, len(steady.wire.log)
    model = int(await person.model())
    _limit(steady, AT_ONCE, paused_until="2099-01-01 00:00:00")  # all are in the queue before one begins
    try:
        async with AsyncExitStack() as stack:
            programs = {}
            for owner in PROMPTS:
                newcomer = await stack.enter_async_context(await steady.newcomer())
                program = Program(steady, newcomer.email, model)
                programs[owner] = program
                await stack.enter_async_context(program.http)
            prompts = [
                Prompt(owner, f"mark-{uuid4().hex}") for owner, count in PROMPTS.items() for _ in range(count)
            ]
            for number, prompt in enumerate(prompts):
                await _send(steady, programs[prompt.owner], prompt, number)
            assert len(wire.log) == begin
            _limit(steady, AT_ONCE)
            await _until(lambda: len(wire.log) - begin >= BEFORE_KILL)
            victim = _busy(steady)
            victim.kill()
            if steady.backend == "sqlite":
                await asyncio.to_thread(victim.start)
            await _until(lambda: len(_ended(steady, prompts)) == len(prompts))
    finally:
        _limit(steady, None)
    ended = _ended(steady, prompts)
    calls = {prompt.mark: steady.calls(prompt.mark) for prompt in prompts}
    assert max(len(entries) for entries in calls.values()) == 1  # paid once at most
    interrupted = [prompt for prompt in prompts if ended[prompt.mark] == "interrupted"]
    assert len(interrupted) <= AT_ONCE
    assert Counter(ended.values()) == Counter(complete=100 - len(interrupted), interrupted=len(interrupted))
    assert all(len(calls[prompt.mark]) == 1 for prompt in prompts if prompt not in interrupted)
    _check_order([(prompt, entry) for prompt in prompts for entry in calls[prompt.mark]])


def _check_order(served: list[tuple[Prompt, Entry]]) -> None:
    """The provider's view: how many calls were open when each one came, and whose they were."""
    served.sort(key=lambda each: each[1].at)
    order = [prompt.owner for prompt, _ in served]
    for number, (prompt, entry) in enumerate(served):
        before = [(it, other) for it, other in served[:number] if other.last > entry.at]
        open_calls = [prompt, *(it for it, _other in before)]
        assert len(open_calls) <= AT_ONCE
        others_wait = set(order[number + 1 :]) - {prompt.owner}
        if others_wait and number < BEFORE_KILL:
            assert Counter(it.owner for it in open_calls)[prompt.owner] <= AT_ONCE // 2
    # In the order of arrival all of these would be Ada's. After the kill, the places of the dead process are
    # taken for a while, and its owners wait.
    first = Counter(order[:BEFORE_KILL])
    assert first["cleo"] >= 8 and first["ben"] >= 10


async def _send(steady: Installation, program: Program, prompt: Prompt, number: int) -> None:
    """Sends the prompt through any process, every fifth twice with one key."""
    headers = {"Idempotency-Key": prompt.mark}
    body = {"text": prompt.text, "models": [program.model]}
    for attempt in range(1 + (number % 5 == 0)):
        url = steady.processes[(number + attempt) % len(steady.processes)].url
        async with program.http.post(f"{url}/api/v1/prompts", json=body, headers=headers) as answer:
            assert answer.status in (200, 201), await answer.text()


def _limit(steady: Installation, at_once: int | None, *, paused_until: str | None = None) -> None:
    change = "UPDATE chat_endpoint SET at_once = ?, slowed_until = ? WHERE slug = 'compatible'"
    steady.execute(change, at_once, paused_until)


def _busy(steady: Installation) -> ServerProcess:
    """Returns a process that writes a reply now."""
    rows = steady.rows("SELECT owner FROM chat_generation WHERE status = 'running'")
    writing = {int(row["owner"].partition("-")[0]) for row in rows}
    return next((process for process in steady.processes if process.pid in writing), steady.processes[0])


def _ended(steady: Installation, prompts: list[Prompt]) -> dict[str, str]:
    """Returns the states of the ended replies, by the mark of their prompt."""
    rows = steady.rows(
        "SELECT p.text, g.status FROM chat_generation g JOIN chat_message m ON m.id = g.message_id"
        " JOIN chat_message p ON p.id = m.parent_id WHERE p.text LIKE ?",
        "mark-% /wire tokens=4 pace=10",
    )
    states = {row["text"].split()[0]: row["status"] for row in rows if row["status"] in TERMINAL}
    return {prompt.mark: states[prompt.mark] for prompt in prompts if prompt.mark in states}


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await asyncio.to_thread(holds):
            await asyncio.sleep(0.2)
