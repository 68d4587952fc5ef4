"""An endpoint is changed in one process under the running replies of another. Its key is found nowhere."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from tests.conftest import POSTGRES_URL, REDIS_URL
from tests.faults.client import Page, Person, RefusedError
from tests.providers.wire import Wire, serve
from tests.servers import ServerProcess
from tests.services import fresh_database

pytestmark = [pytest.mark.needs_postgres, pytest.mark.needs_redis]

FIRST, SECOND = f"first-canary-{uuid4().hex}", f"second-canary-{uuid4().hex}"
PROVIDERS = "/admin/chat/endpoint/"
PAGES = (
    *("/", "/admin/", PROVIDERS, f"{PROVIDERS}wire/change/", f"{PROVIDERS}wire/history/"),
    *("/admin/chat/chatmodel/", "/admin/chat/transcriptread/", "/settings/", "/api/v1/models"),
)
FORMER, PRESENT = "former-key-of-both-processes-" * 3, "present-key-of-both-processes-" * 3


@pytest.fixture
def database() -> Iterator[str]:
    with fresh_database(POSTGRES_URL) as url:
        yield url


async def test_a_change_during_running_replies_is_applied_by_all_processes(
    database: str, tmp_path: Path
) -> None:
    env = {"DATABASE_URL": database, "REDIS_URL": REDIS_URL, "SECRET_KEY": FORMER}
    env |= {"STEADY_DEMO": "false", "CHAT_SILENCE_SECONDS": "600", "CHAT_RUNNING_PER_PERSON": "20"}
    one, two = (ServerProcess(tmp_path / name, env) for name in ("one", "two"))
    await asyncio.to_thread(one.start)
    await asyncio.to_thread(two.start)
    try:
        async with serve() as wire, Person(one.url) as admin, Person(two.url) as person:
            await _changed(wire, admin, person)
            pages = [(await admin.get(path))[1] for path in PAGES]
            await asyncio.to_thread(one.stop)
            await _rotated(wire, two)
            await _deleted(wire, two)
    finally:
        for server in (one, two):
            await asyncio.to_thread(server.stop)
    assert "wire" in pages[3]
    everything = "\n".join([*pages, one.log(), two.log(), two.manage("dumpdata"), *_tables(database)])
    assert "wire" in everything
    for key in (FIRST, SECOND, FORMER):
        assert key not in everything


async def _changed(wire: Wire, admin: Person, person: Person) -> None:
    """The key is changed and the endpoint disabled in one process, while the other has replies running."""
    wire.models = [{"id": "wire"}]
    form = {
        "name": "Wire",
        "kind": "openai_compatible",
        "address": f"{wire.origin}/v1",
        "key": FIRST,
        "enabled": "on",
        "position": "1",
    }
    assert (await admin.send("POST", f"{PROVIDERS}add/", form, htmx=False))[0] == 302
    change = f"{PROVIDERS}wire/change/"
    async with person.page() as before, person.page() as after:
        await _begun(wire, before)
        assert (await admin.send("POST", change, {**form, "key": SECOND}, htmx=False))[0] == 302
        await _begun(wire, after)
        disabled = {**form, "key": "", "enabled": ""}
        assert (await admin.send("POST", change, disabled, htmx=False))[0] == 302
        await _refused(person)
        assert before.status == after.status == "running"
        wire.released.set()
        for page in (before, after):
            assert await page.ended() == "complete"
            assert page.text.split() == ["word0", "word1", "word2", "Grüße", "word4"]
        assert (await admin.send("POST", change, {**form, "key": ""}, htmx=False))[0] == 302
    assert _keys(wire) == [FIRST, SECOND]


async def _rotated(wire: Wire, server: ServerProcess) -> None:
    """SECRET_KEY is changed with its fallback, which is removed after a start."""
    for secrets in ({"SECRET_KEY": PRESENT, "SECRET_KEY_FALLBACKS": FORMER}, {"SECRET_KEY": PRESENT}):
        await asyncio.to_thread(server.stop)
        server.env = {k: v for k, v in server.env.items() if not k.startswith("SECRET_KEY")} | secrets
        await asyncio.to_thread(server.start)
        async with Person(server.url) as person, person.page() as page:
            await page.ask("/wire tokens=2")
            assert await page.ended() == "complete"
        if "SECRET_KEY_FALLBACKS" in secrets:
            await asyncio.to_thread(
                server.manage,
                "shell",
                "--verbosity=0",
                stdin="from chat.actions.endpoint import use_current_key; use_current_key()",
            )
    assert _keys(wire) == [FIRST, SECOND, SECOND, SECOND]


async def _deleted(wire: Wire, server: ServerProcess) -> None:
    wire.released.clear()
    async with Person(server.url) as person, person.page() as page:
        await _begun(wire, page)
        deletion = f"{PROVIDERS}wire/delete/"
        assert (await person.send("POST", deletion, {"post": "yes"}, htmx=False))[0] == 302
        await _refused(person)
        wire.released.set()
        assert await page.ended() == "complete"


async def _begun(wire: Wire, page: Page) -> None:
    """Sends a prompt whose reply waits in its middle."""
    await page.ask("/wire tokens=5 hold=2")
    await page.until(lambda: "word1" in page.text)
    await wire.reached(2)


async def _refused(person: Person) -> None:
    """The next prompt is refused, which needs no time: each process reads the row when a prompt is sent."""
    async with person.page(dead=True) as page:
        with pytest.raises(RefusedError, match="cannot be used"):
            await page.offer("/wire", uuid4(), person._model)


def _keys(wire: Wire) -> list[str]:
    return [entry.headers["Authorization"].removeprefix("Bearer ") for entry in wire.log]


def _tables(database: str) -> Iterator[str]:
    """Yields all tables as text, as a dump of the database has them."""
    with psycopg.connect(database) as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (name,) in names:
            copy = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(name))
            with connection.cursor().copy(copy) as rows:
                yield b"".join(bytes(row) for row in rows).decode()
