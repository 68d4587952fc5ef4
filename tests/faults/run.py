"""Randomised kills and cuts, and their results.

    uv run --group dev python -m tests.faults.run --runs 200 --seed 1   a table; fails if a promise broke

One run is one prompt in a conversation of its own, with one fault at a random moment of a chosen phase. Runs
of a batch share the moment of the fault, so each kill affects replies in all phases. The results are measured
from outside: the user's page, the database, and the provider's log.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from tests.faults.calm import calm_time
from tests.faults.client import TERMINAL, Page, Person
from tests.faults.proxy import Proxy, proxied
from tests.faults.stack import BACKENDS, Stack, stack
from tests.providers.wire import Script

PHASES = ("before ack", "before first token", "in the middle", "during the final save", "after the end")
TRANSPORTS = ("ws", "sse")
FAULTS = ("kill", "cut")
PACE = 50  # words per second
LEAD = 3.0  # seconds from the first prompt to the fault
LOST_SECONDS = 0.5  # of output, at most, when a process is killed (N3)


@dataclass
class Run:
    """One prompt and its result. `broken` lists the broken promises."""

    backend: str
    fault: str
    transport: str
    phase: str
    client_id: UUID = field(default_factory=uuid4)
    acknowledged: bool = False  # before the fault
    lost: bool = False
    duplicates: int = 0
    status: str = ""
    missing: float | None = None  # seconds of output that were sent and not kept
    missing_chars: int = 0
    stalled: float = 0.0  # seconds before the fault in which a process waited for a core
    recovery: float = 0.0
    broken: list[str] = field(default_factory=list)

    @property
    def mark(self) -> str:
        return f"run-{self.client_id.hex}"


class Moment:
    """The moment of a batch's fault: planned before, set when it has happened."""

    def __init__(self) -> None:
        self.at = time.monotonic() + LEAD
        self.happened = asyncio.Event()

    async def before(self, seconds: float) -> None:
        await asyncio.sleep(self.at - seconds - time.monotonic())


async def batch(steady: Stack, entrance: Proxy, fault: str, size: int, chance: random.Random) -> list[Run]:
    """Runs several prompts that share one fault."""
    runs = [
        Run(steady.backend, fault, TRANSPORTS[number % 2], PHASES[number // 2 % len(PHASES)])
        for number in range(size)
    ]
    async with Person(entrance.url) as person, AsyncExitStack() as pages:
        model = await person.model()
        opened = [await pages.enter_async_context(person.page(transport=run.transport)) for run in runs]
        await asyncio.gather(*(page.until(lambda page=page: page.connections) for page in opened))
        moment = Moment()
        seeds = [random.Random(chance.random()) for _ in runs]
        async with asyncio.TaskGroup() as group:
            group.create_task(_strike(steady, fault, moment, opened, seeds))
            for run, page, seed in zip(runs, opened, seeds, strict=True):
                group.create_task(_play(steady, run, page, model, moment, seed))
    return runs


async def _strike(
    steady: Stack, fault: str, moment: Moment, pages: list[Page], seeds: list[random.Random]
) -> None:
    await moment.before(0)
    if fault == "cut":
        for page, seed in zip(pages, seeds, strict=True):
            page.switch() if seed.random() < 0.5 else page.cut()
        moment.happened.set()
        return
    victim = steady.processes[0]
    victim.kill()
    moment.happened.set()
    await asyncio.to_thread(victim.start)


async def _play(
    steady: Stack, run: Run, page: Page, model: str, moment: Moment, chance: random.Random
) -> None:
    script, lead = _plan(run.phase, chance)
    text = f"{run.mark} /wire {script}"
    await moment.before(lead)
    begun, calm = time.monotonic(), calm_time()
    asking = asyncio.create_task(_ask(page, text, run, model))
    await moment.happened.wait()
    struck = time.monotonic()
    run.stalled = struck - begun - (calm_time() - calm)
    run.acknowledged = page.has_receipt(run.client_id)
    sent = [(entry, entry.words) for entry in steady.calls(run.mark)]
    before = page.text
    try:
        await asking
        await page.until(
            lambda: page.status in TERMINAL or len(page.text) > len(before),
            60,
        )
        run.recovery = time.monotonic() - struck
        run.status = await page.ended(60)
        await page.equals_fresh()
    except (AssertionError, TimeoutError, ExceptionGroup) as error:
        run.broken.append(str(error)[:2000])
    await asyncio.to_thread(_judge, steady, run, page, text, sent)
    if run.status == "interrupted" and not run.broken and chance.random() < 0.5:
        await _go_on(steady, run, page)


def _plan(phase: str, chance: random.Random) -> tuple[str, float]:
    """Returns the provider's script, and how long before the fault the prompt is sent."""
    match phase:
        case "before ack":
            return f"tokens=40 pace={PACE}", chance.uniform(0, 0.03)
        case "before first token":
            return f"tokens=40 pace={PACE} first=1.5", chance.uniform(0.2, 1.2)
        case "in the middle":
            return f"tokens=300 pace={PACE}", chance.uniform(0.5, 2.5)
        case "during the final save":
            return f"tokens=50 pace={PACE}", 1 + chance.uniform(0.0, 0.12)
        case _:
            return f"tokens=20 pace={PACE}", chance.uniform(1, 2)


async def _ask(page: Page, text: str, run: Run, model: str) -> None:
    await page.ask(text, run.client_id, seconds=60, model=model)


def _judge(steady: Stack, run: Run, page: Page, text: str, sent: list[tuple[Any, int]]) -> None:
    prompts = steady.prompts(run.client_id)
    run.lost = run.acknowledged and not prompts
    run.duplicates = max(0, len(prompts) - 1)
    replies = steady.replies(page.id)
    calls = steady.calls(run.mark)
    whole = "".join(Script.parse(text).words)
    if len(prompts) != 1:
        run.broken.append(f"{len(prompts)} messages for one client id")
    if len(replies) != 1:
        run.broken.append(f"{len(replies)} replies")
    if len(calls) > 1:
        run.broken.append(f"{len(calls)} paid calls")
    for reply in replies:
        if reply["status"] not in TERMINAL or reply["status"] != run.status:
            run.broken.append(f"the page says {run.status!r}, the database {reply['status']!r}")
        if not whole.startswith(reply["text"]):
            run.broken.append("the stored text is not a prefix of what was sent")
        if reply["status"] == "complete" and reply["text"] != whole:
            run.broken.append("a complete reply lacks text")
        if run.fault == "cut" and reply["status"] != "complete":
            run.broken.append(f"a cut connection ended the reply as {reply['status']}")
        if reply["status"] == "interrupted":
            words = max((count for _, count in sent), default=0)
            kept = len(reply["text"].split())
            run.missing = max(0.0, (words - kept) / PACE)
            run.missing_chars = max(0, len("".join(Script.parse(text).words[:words])) - len(reply["text"]))
            if run.missing > LOST_SECONDS + run.stalled:
                run.broken.append(f"{run.missing:.2f} s of output are missing")
    if steady.rows(
        "SELECT 1 FROM chat_journalentry j JOIN chat_generation g ON g.id = j.generation_id"
        " WHERE g.conversation_id = ?",
        page.id,
    ):
        run.broken.append("the journal was not cleared")


async def _go_on(steady: Stack, run: Run, page: Page) -> None:
    """Continues the reply from its partial text."""
    partial = page.text
    before = page.replies[-1].id
    wanted = "Continue" if partial else "Retry"
    if not any(wanted in button for button in page.buttons):
        run.broken.append(f"no {wanted} is offered: {page.buttons}")
        return
    await page.again(goes_on=bool(partial))
    try:
        await page.until(lambda: page.replies[-1].id != before and page.status == "complete", 30)
        await page.equals_fresh()
    except (AssertionError, TimeoutError) as error:
        run.broken.append(f"after {wanted}: {error}"[:2000])
        return
    if not page.text.startswith(partial):
        run.broken.append("the continued reply does not begin with the partial")


async def series(
    backend: str, fault: str, runs: int, size: int, chance: random.Random, *, say: Any = None
) -> list[Run]:
    """Runs one fault on one backend so many times, in batches."""
    done: list[Run] = []
    async with stack(backend, processes=1 if backend == "sqlite" else 2) as steady:
        async with proxied(steady.processes) as entrance:
            while len(done) < runs:
                done += await batch(steady, entrance, fault, min(size, runs - len(done)), chance)
                if say:
                    say(f"{backend} {fault}: {len(done)} of {runs}")
        if any(run.broken for run in done):
            (steady.folder.parent / f"steady-faults-{backend}-{fault}.log").write_text(steady.logs())
    return done


def table(runs: list[Run]) -> str:
    """Returns the figures as a Markdown table."""
    lines = [
        "| database | fault | over | phase | runs | acknowledged before it | prompts lost | duplicates"
        " | interrupted | characters missing, max | as seconds of output, max | recovery p50 / p95 / max (s)"
        " | promises broken |",
        "|---|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.backend, run.fault, run.transport, run.phase), []).append(run)
    order = sorted(groups, key=lambda key: (key[0], key[1], PHASES.index(key[3]), key[2]))
    lines += [_line(list(key), groups[key]) for key in order]
    for fault in FAULTS:
        if of := [run for run in runs if run.fault == fault]:
            lines.append(_line(["**all**", f"**{fault}**", "", ""], of))
    return "\n".join(lines)


def _line(names: list[str], runs: list[Run]) -> str:
    recovery = sorted(run.recovery for run in runs)
    high = recovery[min(len(recovery) - 1, round(0.95 * len(recovery)))]
    cells = [
        *names,
        len(runs),
        sum(run.acknowledged for run in runs),
        sum(run.lost for run in runs),
        sum(run.duplicates for run in runs),
        sum(run.status == "interrupted" for run in runs),
        max(run.missing_chars for run in runs),
        f"{max(run.missing or 0 for run in runs):.2f}",
        f"{statistics.median(recovery):.1f} / {high:.1f} / {recovery[-1]:.1f}",
        sum(bool(run.broken) for run in runs),
    ]
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=int, default=10, help="runs that share a fault")
    parser.add_argument("--backends", default=",".join(BACKENDS))
    options = parser.parse_args()
    chance = random.Random(options.seed)
    backends = options.backends.split(",")
    runs: list[Run] = []
    for backend in backends:
        for fault, share in (("kill", 0.6), ("cut", 0.4)):
            count = round(options.runs * share / len(backends))
            runs += await series(backend, fault, count, options.size, chance, say=_say)
    print(table(runs))
    broken = [run for run in runs if run.broken]
    for run in broken:
        print(f"\n{run.backend} {run.fault} {run.transport} {run.phase}:", *run.broken, sep="\n  ")
    return 1 if broken else 0


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
