"""N2: one client message id, one message, one generation, one paid call; however often it is sent."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest

from tests.faults.client import Person
from tests.faults.installation import Installation

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_prompt_sent_many_times_over_every_transport_is_answered_once(
    steady: Installation, person: Person
) -> None:
    conversation, client_id, mark = uuid4(), uuid4(), f"mark-{uuid4().hex}"
    model = await person.model()
    text = f"{mark} /wire tokens=30 pace=50"
    async with AsyncExitStack() as stack:
        tabs = [
            await stack.enter_async_context(person.page(conversation, transport))
            for transport in ("ws", "ws", "sse", "sse")
        ]
        await asyncio.gather(*(tab.until(lambda tab=tab: tab.connections) for tab in tabs))
        # Double click, Enter five times, two tabs over sockets and two by POST, all at once.
        await asyncio.gather(*(tab.offer(text, client_id, model) for tab in tabs * 5))
        await asyncio.gather(*(tab.until(lambda tab=tab: tab.has_receipt(client_id)) for tab in tabs))
        assert {await tab.ended() for tab in tabs} == {"complete"}
        await tabs[2].offer(text, client_id, model)  # and once more after the end
        await tabs[0].offer(text, client_id, model)
        for tab in tabs:
            await tab.equals_fresh()
            assert len(tab.dom.select("#messages > article")) == 2
    assert len(steady.prompts(client_id)) == 1
    assert len(steady.replies(conversation)) == 1
    assert len(steady.calls(mark)) == 1


async def test_the_same_prompt_over_a_socket_that_breaks_and_then_by_post_is_answered_once(
    steady: Installation, person: Person
) -> None:
    client_id, mark = uuid4(), f"mark-{uuid4().hex}"
    model = await person.model()
    async with person.page() as page:
        await page.until(lambda: page.connections)
        await page.offer(f"{mark} /wire tokens=20 pace=50", client_id, model)
        page.switch()
        await page.offer(f"{mark} /wire tokens=20 pace=50", client_id, model)
        assert await page.ended() == "complete"
        await page.equals_fresh()
    assert len(steady.prompts(client_id)) == len(steady.replies(page.id)) == len(steady.calls(mark)) == 1
