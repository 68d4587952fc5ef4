"""One reply, from the prompt to the end, as the base of all that follows."""

from __future__ import annotations

import pytest

from tests.faults.client import Person
from tests.faults.stack import stack


@pytest.mark.parametrize("backend", ["sqlite", "postgres"])
@pytest.mark.parametrize("transport", ["ws", "sse"])
async def test_smoke(backend: str, transport: str) -> None:
    async with stack(backend) as steady, Person(steady.url) as person:
        async with person.page(transport=transport) as page:
            client_id = await page.ask("hello /wire tokens=60 pace=50 first=0.2")
            assert await page.ended() == "complete"
            await page.equals_fresh()
            assert len(steady.prompts(client_id)) == 1
