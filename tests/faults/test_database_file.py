"""A SQLite file that is deleted or replaced under the server: nothing written to it is acknowledged, and
pages say so."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from tests.faults.client import Person
from tests.faults.stack import Stack, stack

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def alone() -> AsyncIterator[Stack]:
    """A separate installation, because the fault cannot be repaired."""
    async with stack("sqlite") as it:
        yield it


def vanish(database: Path, how: str) -> None:
    if how == "replaced":
        copy = database.with_suffix(".copy")
        shutil.copy(database, copy)
        copy.replace(database)
        return
    for suffix in ("", "-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)


@pytest.mark.parametrize("how", ["deleted", "replaced"])
async def test_no_prompt_is_acknowledged_if_the_database_file_is_gone(alone: Stack, how: str) -> None:
    database = alone.folder / "data" / "steady.sqlite3"
    async with Person(alone.url) as person, person.page() as over_ws, person.page(transport="") as by_post:
        await over_ws.ask("before /wire tokens=5")
        assert await over_ws.ended() == "complete"
        model = await person.model()
        vanish(database, how)

        client_id = uuid4()
        frame = {"type": "send", "client_id": str(client_id), "text": "after", "model": model}
        await over_ws.tell(frame)
        await over_ws.until(lambda: over_ws.notice or over_ws.has_receipt(client_id))
        assert "deleted or replaced" in over_ws.notice
        assert not over_ws.has_receipt(client_id)

        form = {"client_id": str(uuid4()), "text": "after", "model": model}
        status, html = await person.send("POST", f"/conversations/{by_post.id}/messages/", form)
        assert (status, "deleted or replaced" in html) == (503, True)

        status, body = await person.get("/readyz")
        assert (status, "deleted or replaced" in body) == (503, True)
        assert database.exists() == (how == "replaced"), "an empty one would be served at the next start"


async def test_a_start_that_makes_a_new_database_says_so(alone: Stack) -> None:
    (process,) = alone.processes
    process.stop()
    database = alone.folder / "data" / "steady.sqlite3"
    said = len(process.log())
    process.start()
    assert process.stop() == 0
    assert "A new database" not in process.log()[said:]
    vanish(database, "deleted")
    process.start()
    assert f"A new database was made at {database}." in process.log()[said:]
