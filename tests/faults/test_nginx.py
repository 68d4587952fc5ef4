"""The project's nginx configurations, in front of processes that are replaced while users click."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import uuid4

import pytest

from tests.faults.client import LOST, TERMINAL, Page, Person
from tests.faults.installation import started
from tests.faults.stack import Stack, free_port, nginx, stack
from tests.faults.test_processes import streaming
from tests.providers.wire import Script

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.needs_nginx,
]


@asynccontextmanager
async def behind(file: str, processes: int, scheme: str) -> AsyncIterator[tuple[Stack, Person]]:
    """An installation behind one of the configuration files, and a logged-in user."""
    port, ports = free_port(), [free_port() for _ in range(processes)]
    url = f"{scheme}://127.0.0.1:{port}"
    backend = "postgres" if processes > 1 else "sqlite"
    async with stack(backend, processes=0, STEADY_URL=url, TRUST_PROXY="1") as steady:
        with nginx(steady.folder, port, *ports, file=file) as trust:
            for each in ports:
                await steady.add_process(each)
            async with Person(url, trust=trust) as person:
                yield steady, person


class Clicks:
    """Repeated clicks of a user, and the returned statuses."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.statuses: Counter[str] = Counter()
        self.bare: list[str] = []  # responses of nginx itself
        self.sent: list[str] = []  # client ids of the accepted prompts
        self._tasks: list[asyncio.Task[None]] = []

    async def begin(self, page: Page, model: str) -> None:
        reply = page.replies[-1].id[2:]

        async def prompt() -> tuple[int, str]:
            client_id = str(uuid4())
            form = {"client_id": client_id, "text": "clicked /wire tokens=2", "model": model}
            status, text = await self.person.send("POST", f"/conversations/{uuid4()}/messages/", form)
            if status == 200:
                self.sent.append(client_id)
            return status, text

        kinds: dict[str, Callable[[], Awaitable[tuple[int, str]]]] = {
            "page": lambda: self.person.get(f"/conversations/{page.id}/"),
            "prompt": prompt,
            "verdict": lambda: self.person.send("POST", f"/messages/{reply}/feedback/", {"good": "1"}),
        }
        self._tasks = [asyncio.create_task(self._click(kind, click)) for kind, click in kinds.items()]

    async def _click(self, kind: str, click: Callable[[], Awaitable[tuple[int, str]]]) -> None:
        while True:
            try:
                status, text = await click()
            except LOST as error:
                status, text = 0, type(error).__name__
            self.statuses[f"{kind} {status}"] += 1
            if status == 0 or status >= 500:
                self.bare.append(f"{kind} {status} {text[:400]}")
            await asyncio.sleep(0.3)

    async def more(self, clicks: int = 15) -> None:
        """Waits for so many further clicks."""
        until = self.statuses.total() + clicks
        while self.statuses.total() < until:
            await asyncio.sleep(0.02)

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@pytest.mark.needs_postgres
@pytest.mark.needs_redis
async def test_processes_are_replaced_one_after_the_other_without_a_failed_click_or_read() -> None:
    """Two processes without sticky sessions, each replaced in turn while users click, read and send."""
    async with behind("nginx.conf", 2, "https") as (steady, person), AsyncExitStack() as open_pages:
        clicked = await open_pages.enter_async_context(person.page())
        await started(clicked, "tokens=3")
        assert await clicked.ended() == "complete"
        pages = await streaming(open_pages, person, "tokens=500 pace=50")
        clicks = Clicks(person)
        await clicks.begin(clicked, await person.model())
        before: dict[Page, int] = {}
        for process in steady.processes:
            before.update({page: page.connections for page in pages})
            process.terminate()
            assert await asyncio.to_thread(process.wait) == 0
            fresh = await open_pages.enter_async_context(person.page())
            await fresh.ask("asked during the restart /wire tokens=5")  # the other process accepts it
            await clicks.more()
            await asyncio.to_thread(process.start)
            for page in pages:
                if {"closed 1012", "restart"} & set(page.events) and page.connections == before[page]:
                    await page.until(lambda page=page: page.connections > before[page])
            assert await fresh.ended() == "complete"
            await clicks.more()
        await clicks.end()
        assert sum(page.connections > 1 for page in pages) >= len(pages) // 2
        for page in pages:
            assert await page.ended() in TERMINAL
            await page.equals_fresh()
            (reply,) = steady.replies(page.id)
            assert "".join(Script(tokens=500).words).startswith(reply["text"])
        assert clicks.bare == []
        assert {key.split()[1] for key in clicks.statuses} == {"200"}
        assert len({key.split()[0] for key in clicks.statuses}) == 3
        for client_id in clicks.sent:  # accepted once, also where nginx tried a second process
            (stored,) = steady.rows("SELECT count(*) AS n FROM chat_message WHERE client_id = ?", client_id)
            assert stored["n"] == 1


async def test_a_click_while_the_only_process_is_replaced_says_that_it_restarts() -> None:
    """In compose there is one process: while it is away, a page explains it and reloads by itself."""
    async with behind("nginx.compose.conf", 1, "http") as (steady, person), person.page() as page:
        await started(page, "tokens=3")
        assert await page.ended() == "complete"
        clicks = Clicks(person)
        await clicks.begin(page, await person.model())
        (process,) = steady.processes
        process.terminate()
        assert await asyncio.to_thread(process.wait) == 0
        await clicks.more()
        await asyncio.to_thread(process.start)
        await clicks.end()
        assert clicks.bare
        assert all(" 503 " in bare and "Steady is restarting" in bare for bare in clicks.bare), clicks.bare
        assert (await person.get(f"/conversations/{page.id}/"))[0] == 200
