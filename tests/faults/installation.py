"""One installation for many tests. Each test leaves it in its original state."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

from tests.faults.client import Page, Person
from tests.faults.proxy import Proxy, proxied
from tests.faults.stack import Stack, stack

LONG = bool(os.environ.get("STEADY_LONG_FAULTS"))  # includes the tests that take minutes
QUICK = {  # Short limits for faults, which still allow for a busy machine.
    "CHAT_CONNECT_SECONDS": "2",
    "CHAT_FIRST_TOKEN_SECONDS": "15",
    "CHAT_SILENCE_SECONDS": "10",
    "CHAT_ATTEMPTS": "2",
}


@dataclass
class Installation(Stack):
    """A stack behind a relay, with users."""

    proxy: Proxy = None  # type: ignore[assignment]

    @property
    def url(self) -> str:
        return self.proxy.url

    async def newcomer(self) -> Person:
        """Returns a new logged-in user with the administrator's password and rights."""
        email = f"{uuid4().hex}@example.org"
        self.execute(
            "INSERT INTO chat_user (password, is_superuser, first_name, last_name, is_staff, is_active,"
            " date_joined, email) SELECT password, is_superuser, '', '', is_staff, is_active, date_joined, ?"
            " FROM chat_user WHERE email = ?",
            email,
            "admin@example.org",
        )
        person = Person(self.url, email)
        try:
            await person.log_in()
        except BaseException:
            await person.http.close()
            raise
        return person

    async def repair(self) -> None:
        """Starts the processes that a test has ended."""
        if self.redis is not None and self.redis.process is None:
            self.redis.start()
        for process in self.processes:
            if not process.is_running:
                await asyncio.to_thread(process.start)


@asynccontextmanager
async def installation(backend: str, **env: str) -> AsyncIterator[Installation]:
    count = 1 if backend == "sqlite" else 2
    async with (
        stack(backend, processes=count, **{**QUICK, **env}) as steady,
        proxied(steady.processes) as entrance,
    ):
        yield Installation(**steady.__dict__, proxy=entrance)


async def started(page: Page, script: str, words: int = 3) -> str:
    """Sends a prompt and waits until so many words are shown. Returns the prompt's mark."""
    mark = f"mark-{uuid4().hex}"
    await page.ask(f"{mark} /wire {script}")
    await page.until(lambda: len(page.text.split()) >= words)
    return mark
