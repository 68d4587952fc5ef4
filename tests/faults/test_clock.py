"""The servers' clock is set back by an hour, then forward by a day, while users chat: order depends on
integers, leases on the database, and waits on a monotonic clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import FAKETIME
from tests.faults.client import Page
from tests.faults.conftest import BACKENDS
from tests.faults.installation import LONG, installation, started
from tests.providers.wire import Script

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.needs_faketime,
    pytest.mark.skipif(not LONG, reason="A server under libfaketime is slow (STEADY_LONG_FAULTS=1)."),
]


def first(page: Page) -> str:
    """Returns the text of the first reply."""
    return page.replies[0].get(".message-body").text


def states(page: Page) -> list[str]:
    return [reply.attributes["data-status"] for reply in page.replies]


@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_clock_that_jumps_changes_nothing(backend: str, tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0")
    env = {
        "LD_PRELOAD": FAKETIME,
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DISABLE_SHM": "1",
        "NO_FAKE_STAT": "1",
    }
    async with (
        installation(backend, **env) as steady,
        await steady.newcomer() as person,
        person.page(transport="ws") as over_ws,
        person.page(transport="sse") as over_sse,
    ):
        pages = (over_ws, over_sse)
        for page in pages:
            await started(page, "tokens=1500 pace=50")
        for jump in ("-1h", "+1d"):
            clock.write_text(jump)
            for page in pages:
                before = len(first(page))
                await page.until(lambda page=page, before=before: len(first(page)) > before + 300, 60)
                await page.ask(f"asked at {jump} /wire tokens=5")
        for page in pages:
            await page.until(lambda page=page: states(page) == ["complete"] * 3, 60)
            await page.equals_fresh()
            texts = [reply["text"] for reply in steady.replies(page.id)]
            assert texts == ["".join(Script(tokens=count).words) for count in (1500, 5, 5)]
            prompts = [article.text for article in page.dom.select("#messages > article")[::2]]
            assert ["asked at -1h" in prompts[1], "asked at +1d" in prompts[2]] == [True, True]
