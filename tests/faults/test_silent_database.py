"""Connections to PostgreSQL that become silent: the network drops the data and notifies neither end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from tests.faults.client import Person
from tests.faults.installation import started
from tests.faults.network import Network, network
from tests.faults.stack import Stack, stack
from tests.faults.test_authority import GONE
from tests.providers.wire import Script

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.needs_postgres,
    pytest.mark.needs_redis,
]

SOON = 60.0  # seconds; by itself TCP takes 15 minutes


@dataclass
class Far:
    """A server process whose database is behind a network."""

    steady: Stack
    network: Network

    async def is_ready(self, person: Person) -> None:
        async with asyncio.timeout(SOON):
            while (await person.get("/readyz"))[0] != 200:
                await asyncio.sleep(0.2)


@pytest_asyncio.fixture(loop_scope="session")
async def far() -> AsyncIterator[Far]:
    async with stack("postgres", processes=0) as steady, network(steady.database_url) as between:
        await steady.add_process(DATABASE_URL=between.url)
        yield Far(steady, between)


async def test_dropped_connections_cost_no_reply_and_no_prompt(far: Far) -> None:
    async with Person(far.steady.url) as person, person.page() as page, person.page() as other:
        await started(page, "tokens=600 pace=50")
        far.network.drop()
        await other.ask("after it /wire tokens=5", seconds=SOON)
        assert await other.ended(SOON) == "complete"
        await far.is_ready(person)
        assert await page.ended(SOON) == "complete"
        await page.equals_fresh()
        (reply,) = far.steady.replies(page.id)
        assert reply["text"] == "".join(Script(tokens=600).words)
        assert len(far.steady.replies(other.id)) == 1


async def test_dropped_connections_let_nobody_read_without_access(far: Far, transport: str) -> None:
    async with Person(far.steady.url) as person, person.page(transport=transport) as page:
        await started(page, "tokens=6000 pace=50")
        far.network.drop()
        far.steady.execute("UPDATE chat_user SET is_active = ? WHERE email = ?", False, person.email)
        await page.until(lambda: GONE & set(page.events), SOON)


async def test_a_server_whose_database_vanished_stops_on_request(far: Far) -> None:
    (process,) = far.steady.processes
    async with Person(far.steady.url) as person, person.page() as page:
        await started(page, "tokens=6000 pace=50")
        far.network.vanish()
        process.terminate()
        await asyncio.to_thread(process.wait, 2 * SOON)
