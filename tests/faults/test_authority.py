"""N5: viewers without access are disconnected within 5 s, also in the middle of a reply."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.calm import PATIENCE, calm_time
from tests.faults.client import Page, Person
from tests.faults.conftest import on_one
from tests.faults.installation import Installation, started

pytestmark = [pytest.mark.asyncio(loop_scope="session"), on_one("postgres")]

GONE = {"revoked", "gone", "closed 4401", "closed 4404", "status 401", "status 404"}
SECONDS = 5.0


async def lose(steady: Installation, person: Person, page: Page, how: str) -> None:
    """Ends the access."""
    match how:
        case "log-out":
            assert (await person.send("POST", "/accounts/logout/", htmx=False))[0] == 302
        case "password":
            steady.execute("UPDATE chat_user SET password = password || 'x' WHERE email = ?", person.email)
        case "deactivation":
            steady.execute("UPDATE chat_user SET is_active = ? WHERE email = ?", False, person.email)
        case "deletion":
            form = {"_method": "delete"}
            assert (await person.send("POST", f"/conversations/{page.id}/", form))[0] < 300


@pytest.mark.parametrize("how", ["log-out", "password", "deactivation", "deletion"])
async def test_a_live_stream_closes_within_five_seconds(
    steady: Installation, person: Person, transport: str, how: str
) -> None:
    async with person.page(transport=transport) as page:
        mark = await started(page, "tokens=1000 pace=50")
        (entry,) = steady.calls(mark)
        begun = calm_time()
        await lose(steady, person, page, how)
        await page.until(lambda: GONE & set(page.events))
        assert calm_time() - begun < SECONDS
        frames = page.frames
        if how in ("deactivation", "deletion"):  # nobody may read it, so nobody pays for it
            async with asyncio.timeout(PATIENCE), steady.wire.changed:
                await steady.wire.changed.wait_for(lambda: entry.end == "closed by client")
            assert calm_time() - begun < SECONDS
        assert page.frames == frames
    if how in ("deactivation", "deletion"):
        await page_is_settled(steady, page)


async def page_is_settled(steady: Installation, page: Page) -> None:
    """Checks that the reply ended once, and that a deleted conversation stays deleted."""
    async with asyncio.timeout(60):
        while (reply := steady.replies(page.id)[0])["status"] == "running":
            await asyncio.sleep(0.1)
    assert reply["status"] == "stopped"
