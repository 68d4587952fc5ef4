"""A locked, unreachable or full database: replies continue in memory, nothing uncommitted is acknowledged,
and pages say so."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, closing, contextmanager
from itertools import pairwise
from uuid import uuid4

import aiohttp
import psycopg
import pytest
from psycopg import sql

from tests.faults.calm import PATIENCE, calm_time
from tests.faults.client import Page, Person
from tests.faults.installation import LONG, Installation, started
from tests.faults.stack import POSTGRES_URL, Stack, memory
from tests.providers.wire import Script
from tests.servers import ADMIN, PASSWORD

pytestmark = pytest.mark.asyncio(loop_scope="session")

LOCKED = 15.0
OUTLASTING = 22.0  # seconds: longer than a lease, the next sweep, and SQLite's own wait
AWAY = 60.0 if LONG else 10.0  # longer than a pool's first attempts to reconnect
BACK = 8.0  # seconds; 1 to 3 on an idle machine


@contextmanager
def locked(steady: Stack) -> Iterator[None]:
    """Prevents all others from writing (SQLite) or even reading (PostgreSQL)."""
    if steady.backend == "sqlite":
        path = steady.folder / "data" / "steady.sqlite3"
        with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            yield
            connection.execute("ROLLBACK")
        return
    with psycopg.connect(steady.database_url) as connection:
        tables = "chat_conversation, chat_generation, chat_message, chat_journalentry"
        connection.execute(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE".encode())
        yield
        connection.rollback()


@contextmanager
def away(steady: Stack) -> Iterator[None]:
    """The database accepts no connection and has ended the existing ones."""
    name = steady.database_url.rsplit("/", 1)[1]
    with psycopg.connect(POSTGRES_URL, autocommit=True) as server:
        change = "ALTER DATABASE {} ALLOW_CONNECTIONS {}"
        server.execute(sql.SQL(change).format(sql.Identifier(name), sql.SQL("false")))
        try:
            server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )
            yield
        finally:
            server.execute(sql.SQL(change).format(sql.Identifier(name), sql.SQL("true")))


@contextmanager
def full(steady: Stack, size: int = 64 * 1024) -> Iterator[None]:
    """The server process cannot write beyond the first 64 KiB of a file, as on a full disk. SQLite's log may
    have reusable space, but not enough for a prompt of 150 kB."""
    pid = steady.processes[0].pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


async def grows(page: Page, words: int = 20) -> None:
    """Waits until the reply on this page is so much longer."""
    before = len(page.text.split())
    await page.until(lambda: len(page.text.split()) >= before + words, 60)


async def is_whole(steady: Installation, page: Page, tokens: int) -> None:
    assert await page.ended(120) == "complete"
    await page.equals_fresh()
    (reply,) = steady.replies(page.id)
    assert reply["text"] == "".join(Script(tokens=tokens).words)


async def test_a_locked_database_delays_writes_and_loses_nothing(
    steady: Installation, person: Person
) -> None:
    """Two replies, one of which ends meanwhile. A prompt sent meanwhile is acknowledged after the lock, not
    before."""
    sizes = [memory(process.pid) for process in steady.processes]
    async with person.page() as over_ws, person.page(transport="sse") as over_sse, person.page() as third:
        await started(over_ws, "tokens=900 pace=50")
        await started(over_sse, "tokens=200 pace=50")
        client_id, model = uuid4(), await person.model()
        with locked(steady):
            begun = time.monotonic()
            asking = asyncio.create_task(third.ask("waits /wire tokens=5", client_id, 60, model))
            await grows(over_ws)
            await asyncio.sleep(LOCKED - (time.monotonic() - begun))
            assert not third.has_receipt(client_id)
            assert over_sse.status == "running"
        await asking
        assert await third.ended() == "complete"
        await is_whole(steady, over_sse, 200)
        await is_whole(steady, over_ws, 900)
    assert len(steady.prompts(client_id)) == 1
    for process, size in zip(steady.processes, sizes, strict=True):
        assert memory(process.pid) - size < 64 * 1024 * 1024


@contextmanager
def locked_for_writers(steady: Stack) -> Iterator[None]:
    """Prevents all others from writing to the SQLite database; they can read."""
    path = steady.folder / "data" / "steady.sqlite3"
    with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


async def test_a_lock_longer_than_a_lease_ends_no_living_reply(steady: Installation, person: Person) -> None:
    """Replies of every process, each shown by every process: no shown output disappears."""
    lock = locked_for_writers if steady.backend == "sqlite" else locked
    async with AsyncExitStack() as stack:
        pages = [
            await stack.enter_async_context(person.page(url=process.url))
            for process in steady.processes
            for _ in range(2)
        ]
        tokens = int(50 * (OUTLASTING + 6))
        await asyncio.gather(*(started(page, f"tokens={tokens} pace=50") for page in pages))
        with lock(steady):
            begun = time.monotonic()
            await grows(pages[0])
            await asyncio.sleep(OUTLASTING - (time.monotonic() - begun))
            shown = [page.text for page in pages]
            assert [page.status for page in pages] == ["running"] * len(pages)
        for page, text in zip(pages, shown, strict=True):
            await is_whole(steady, page, tokens)
            assert page.text.startswith(text)


async def test_while_the_database_is_away_replies_continue_and_a_prompt_is_refused_in_words(
    steady: Installation, person: Person
) -> None:
    if steady.backend == "sqlite":
        pytest.skip("A file is away only with its disk; a full disk is tried instead.")
    # Pages on the very process that writes their replies, which needs no database to show them.
    process = steady.processes[0]
    async with person.page(url=process.url) as page, person.page(url=process.url) as other:
        tokens = int(50 * (AWAY + 4))
        await started(page, f"tokens={tokens} pace=50")
        await other.until(lambda: other.connections)
        model, client_id = await person.model(), uuid4()
        begun = time.monotonic()
        with away(steady):
            await grows(page)
            await other.tell({"type": "send", "client_id": str(client_id), "text": "now", "model": model})
            await other.until(lambda: "Nothing was changed" in other.notice)
            assert not other.has_receipt(client_id)
            await asyncio.sleep(max(0.0, AWAY - (time.monotonic() - begun)))
        for each in steady.processes:
            begun = calm_time()
            async with asyncio.timeout(PATIENCE):
                while (await person.get(f"/conversations/{page.id}/", each.url))[0] != 200:
                    await asyncio.sleep(0.1)
            assert calm_time() - begun < BACK
        await is_whole(steady, page, tokens)
        assert steady.prompts(client_id) == []


async def test_a_log_in_on_a_full_disk_is_answered_in_words(steady: Installation) -> None:
    if steady.backend == "postgres":
        pytest.skip("A full disk is the database server's; to Steady it is an error like any other.")
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        someone = Person.__new__(Person)
        someone.url, someone.http = steady.processes[0].url, http
        await someone.get("/accounts/login/")
        form = {"login": ADMIN, "password": PASSWORD}
        with full(steady, size=1):
            path = f"{someone.url}/accounts/login/"
            async with http.post(path, data=form, headers=someone.headers()) as answer:
                assert answer.status == 503
                assert "Nothing was changed" in await answer.text()
        async with http.post(path, data=form, headers=someone.headers()) as answer:
            assert answer.status == 200
            assert "/accounts/login" not in str(answer.url)


async def test_an_outage_is_a_few_lines_of_the_log(steady: Installation, person: Person) -> None:
    """Each cause is logged once by each part, without a traceback for each request."""
    if steady.backend == "sqlite":
        pytest.skip("A file is away only with its disk.")
    process = steady.processes[0]
    async with person.page(url=process.url) as page:
        await started(page, "tokens=400 pace=50")
        before = len(process.log())
        with away(steady):
            begun, answers = time.monotonic(), 0
            while answers < 30 or time.monotonic() - begun < AWAY:
                looks = [person.get("/", process.url), person.get("/readyz", process.url)]
                answers += len(
                    await asyncio.gather(*looks, *(person.get("/", process.url) for _ in range(8)))
                )
        await is_whole(steady, page, 400)
    log = process.log()[before:]
    assert "Traceback" not in log
    # psycopg's pool logs each attempt, one per second; our lines must not grow with the requests or the time.
    ours = [line for line in log.splitlines() if " psycopg.pool: " not in line]
    assert len(ours) < 30, log
    assert "A request failed because of the database." in log


async def test_on_a_full_disk_nothing_is_acknowledged_and_the_reply_is_kept_in_memory(
    steady: Installation, person: Person
) -> None:
    if steady.backend == "postgres":
        pytest.skip("A full disk is the database server's; to Steady it is an error like any other.")
    async with person.page() as page, person.page() as other:
        await started(page, "tokens=400 pace=50")
        await other.until(lambda: other.connections)
        model, client_id = await person.model(), uuid4()
        with full(steady):
            long = "x" * 150_000
            await other.tell({"type": "send", "client_id": str(client_id), "text": long, "model": model})
            await other.until(lambda: "Nothing was changed" in other.notice)
            await grows(page, 50)
            assert not other.has_receipt(client_id)
        await is_whole(steady, page, 400)
        assert steady.prompts(client_id) == []
        assert await other.ask("again /wire tokens=5", client_id) == client_id
        assert await other.ended() == "complete"


@pytest.mark.parametrize("fault", [locked, full])
async def test_readiness_reports_a_database_that_accepts_no_writes(
    steady: Installation, person: Person, fault: Callable[[Stack], AbstractContextManager[None]]
) -> None:
    if fault is full and steady.backend == "postgres":
        pytest.skip("A full disk is the database server's; to Steady it is an error like any other.")
    url = steady.processes[0].url

    async def until(status: int) -> str:
        async with asyncio.timeout(120):
            while (answer := await person.get("/readyz", url))[0] != status:
                await asyncio.sleep(0.1)
        return answer[1]

    await until(200)
    said = len(steady.processes[0].log())
    with fault(steady):
        if fault is full:  # SQLite's log may have reusable space
            resource.prlimit(steady.processes[0].pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        assert "The database" in await until(503)
        assert (await person.get("/healthz", url))[0] == 200
    await until(200)
    lines = steady.processes[0].log()[said:].splitlines()
    told = [line.partition("readiness: ")[2].partition(" [")[0] for line in lines if "readiness: " in line]
    assert told[0].startswith("The process is not ready for requests: database: ")
    assert told[-1] == "The process is ready for requests again."
    assert all(one != other for one, other in pairwise(told)), told  # once for each change
