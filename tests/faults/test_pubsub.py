"""Redis only carries notifications: whatever happens to it, replies continue and pages become up to date."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest
import redis

from tests.faults.calm import PATIENCE, calm_time
from tests.faults.client import Person
from tests.faults.installation import Installation, installation, started
from tests.providers.wire import Script

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.needs_postgres,
    pytest.mark.needs_redis,
]

PAUSE = 70.0 if os.environ.get("STEADY_LONG_FAULTS") else 5.0


@pytest.fixture(autouse=True)
def with_redis(steady: Installation) -> Iterator[None]:
    if steady.redis is None:
        pytest.skip("With SQLite there is no Redis.")
    yield


async def watched_from_elsewhere(steady: Installation, person: Person, tokens: int, disturb: object) -> None:
    """Watches a reply of one process on the other over both transports, during a fault."""
    maker, other = steady.processes
    async with (
        person.page(url=maker.url) as page,
        person.page(page.id, "ws", url=other.url) as over_ws,
        person.page(page.id, "sse", url=other.url) as over_sse,
    ):
        await started(page, f"tokens={tokens} pace=50", 10)
        viewers = (over_ws, over_sse)
        await asyncio.gather(*(viewer.until(lambda viewer=viewer: viewer.text) for viewer in viewers))
        await disturb()  # type: ignore[operator]
        for viewer in viewers:
            before = len(viewer.text)
            if viewer.status == "running":
                await viewer.until(
                    lambda viewer=viewer, before=before: (
                        len(viewer.text) > before + 50 or viewer.status != "running"
                    )
                )
        assert await page.ended(tokens / 50 + PATIENCE) == "complete"
        ended = calm_time()
        for viewer in viewers:
            assert await viewer.ended() == "complete"
            await viewer.equals_fresh()
        assert calm_time() - ended < 5
        assert page.text == "".join(Script(tokens=tokens).words).strip()
        # A stop on one process also stops the replies of the other.
        await page.ask("to be stopped /wire tokens=1000 pace=50")
        for viewer in (page, *viewers):
            await viewer.until(lambda viewer=viewer: len(viewer.replies) == 2 and viewer.status == "running")
        assert await over_ws.stop() == 204
        assert await page.ended() == await over_sse.ended() == "stopped"


async def test_redis_restarts(steady: Installation, person: Person) -> None:
    async def restart() -> None:
        assert steady.redis is not None
        steady.redis.kill()
        await asyncio.sleep(1)
        await asyncio.to_thread(steady.redis.start)

    await watched_from_elsewhere(steady, person, 300, restart)


async def test_redis_is_emptied(steady: Installation, person: Person) -> None:
    async def flush() -> None:
        assert steady.redis is not None
        with redis.Redis.from_url(steady.redis.url) as client:
            client.flushall()

    await watched_from_elsewhere(steady, person, 150, flush)


async def test_redis_is_suspended(steady: Installation, person: Person) -> None:
    async def pause() -> None:
        assert steady.redis is not None and steady.redis.process is not None
        steady.redis.process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(PAUSE)
        finally:
            steady.redis.process.send_signal(signal.SIGCONT)

    await watched_from_elsewhere(steady, person, round(PAUSE * 50) + 150, pause)


@pytest.mark.parametrize("share", ["0.1", "1"])
async def test_published_messages_are_dropped(share: str) -> None:
    async with (
        installation("postgres", DJANGO_SETTINGS_MODULE="tests.faults.lossy", LOSSY_SHARE=share) as steady,
        await steady.newcomer() as person,
    ):

        async def nothing() -> None:
            pass

        await watched_from_elsewhere(steady, person, 150, nothing)
