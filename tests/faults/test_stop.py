"""Stop: in every phase, from anywhere, and at the same time as the end."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from tests.faults.calm import PATIENCE, calm_time
from tests.faults.client import Person
from tests.faults.conftest import on_one
from tests.faults.installation import Installation, started
from tests.providers.wire import Entry

pytestmark = [pytest.mark.asyncio(loop_scope="session"), on_one("postgres")]


async def closed(steady: Installation, entry: Entry) -> None:
    """Waits until the provider's connection is closed, within a second. Raises TimeoutError."""
    begun = calm_time()
    async with asyncio.timeout(PATIENCE), steady.wire.changed:
        await steady.wire.changed.wait_for(lambda: entry.end != "open")
    assert entry.end == "closed by client"
    assert calm_time() - begun < 1


@pytest.mark.parametrize("first", [20, 0])
async def test_stop_closes_the_provider_within_a_second_and_keeps_the_text_so_far(
    steady: Installation, person: Person, transport: str, first: int
) -> None:
    async with person.page(transport=transport) as page:
        mark = await started(page, f"tokens=500 pace=50 first={first}", 0 if first else 10)
        await page.until(lambda: steady.calls(mark) and page.status == "running")
        seen = page.text
        begun = calm_time()
        assert await page.stop() == 204
        await closed(steady, steady.calls(mark)[0])
        assert await page.ended() == "stopped"
        assert calm_time() - begun < 3
        assert page.text.startswith(seen)
        await page.equals_fresh()
    (reply,) = steady.replies(page.id)
    assert reply["status"] == "stopped"
    assert reply["text"].strip() == page.text


async def test_another_tab_can_stop_and_both_see_it(
    steady: Installation, person: Person, transport: str
) -> None:
    async with person.page(transport=transport) as page, person.page(page.id, "sse") as other:
        mark = await started(page, "tokens=500 pace=50")
        await other.until(lambda: other.text)
        assert await other.stop() == 204
        await closed(steady, steady.calls(mark)[0])
        assert await page.ended() == await other.ended() == "stopped"
        await page.equals_fresh()
        await other.equals_fresh()


async def test_stop_before_a_process_claims_the_prompt_costs_nothing(
    steady: Installation, person: Person
) -> None:
    """The second prompt waits for the first reply. If it is stopped meanwhile, it is never sent."""
    async with person.page() as page:
        await started(page, "tokens=400 pace=50")
        waiting = f"mark-{uuid4().hex}"
        await page.ask(f"{waiting} /wire tokens=5")
        await page.until(lambda: page.status == "queued")
        assert await page.stop() == 204
        await page.until(lambda: page.status == "stopped")
        await page.until(lambda: page.replies[0].attributes["data-status"] == "complete")
        await page.equals_fresh()
    assert steady.calls(waiting) == []


async def test_a_race_of_stop_and_the_end_has_one_outcome_that_all_agree_on(
    steady: Installation, person: Person, transport: str
) -> None:
    async def race(delay: float) -> str:
        async with person.page(transport=transport) as page:
            await started(page, "tokens=25 pace=50", 1)
            await asyncio.sleep(delay)
            assert await page.stop() == 204
            status = await page.ended()
            await page.equals_fresh()
            (reply,) = steady.replies(page.id)
            assert reply["status"] == status
            assert reply["text"].strip() == page.text
            return status

    outcomes = await asyncio.gather(*(race(0.40 + 0.02 * number) for number in range(8)))
    assert set(outcomes) <= {"complete", "stopped"}
