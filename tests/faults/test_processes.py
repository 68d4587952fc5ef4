"""Server processes that stop, are replaced while users chat, or are suspended past their lease."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack

import pytest

from tests.faults.client import Page, Person
from tests.faults.installation import Installation, started
from tests.providers.wire import Script

pytestmark = pytest.mark.asyncio(loop_scope="session")

STREAMS = 10


async def streaming(stack: AsyncExitStack, person: Person, script: str) -> list[Page]:
    """Opens pages over both transports with replies in the middle."""
    pages = [
        await stack.enter_async_context(person.page(transport=("ws", "sse")[number % 2]))
        for number in range(STREAMS)
    ]
    await asyncio.gather(*(started(page, script) for page in pages))
    return pages


async def test_sigterm_lets_replies_end_and_moves_viewers_to_the_next_process(
    steady: Installation, person: Person
) -> None:
    """Short replies end within the drain's two seconds; long ones are stored as interrupted."""
    async with AsyncExitStack() as stack:
        short = await streaming(stack, person, "tokens=60 pace=50")
        long = await streaming(stack, person, "tokens=600 pace=50")
        process = steady.processes[0]
        process.terminate()
        assert await asyncio.to_thread(process.wait) == 0
        await asyncio.to_thread(process.start)
        assert [await page.ended() for page in short] == ["complete"] * STREAMS
        if steady.backend == "sqlite":
            assert [await page.ended() for page in long] == ["interrupted"] * STREAMS
        for page in long:
            assert await page.ended() in ("interrupted", "complete")
        for page in (*short, *long):
            await page.equals_fresh()
        # The others were on the other process, or their ack crossed the close, which is a reset for them.
        told = [page for page in (*short, *long) if {"closed 1012", "restart"} & set(page.events)]
        assert len(told) >= STREAMS // 2 // len(steady.processes)


async def test_a_worker_that_slept_past_its_lease_is_fenced_off(steady: Installation) -> None:
    """The other process ends its reply. The resumed process writes nothing and closes its connection to the
    provider."""
    if steady.backend == "sqlite":
        pytest.skip("With SQLite there is no other process to take over.")
    sleeper, other = steady.processes
    async with Person(sleeper.url) as person, person.page(transport="ws") as page:
        mark = await started(page, "tokens=2000 pace=50", 20)
        os.kill(sleeper.pid, signal.SIGSTOP)
        try:
            async with person.page(page.id, "sse", url=other.url) as elsewhere:
                assert await elsewhere.ended() == "interrupted"
                (ended,) = steady.replies(page.id)
                os.kill(sleeper.pid, signal.SIGCONT)
                (entry,) = steady.calls(mark)
                async with asyncio.timeout(60), steady.wire.changed:
                    await steady.wire.changed.wait_for(lambda: entry.end == "closed by client")
                assert await page.ended() == "interrupted"
                await page.equals_fresh()
                await elsewhere.equals_fresh()
            assert steady.replies(page.id) == [ended]
            assert "".join(Script(tokens=2000).words).startswith(ended["text"])
        finally:
            os.kill(sleeper.pid, signal.SIGCONT)
