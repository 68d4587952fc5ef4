"""A reply that arrives too fast waits; a reply at the speed of models never does."""

from __future__ import annotations

import asyncio

import pytest

from chat.providers.throttle import BURST, CHARACTERS, LEAST_PER_SECOND, MOST_PER_SECOND, Throttle
from tests.pipeline.virtual_time import in_virtual_time


@pytest.mark.parametrize("running", [1, 4, 8, 200])
@in_virtual_time
async def test_a_flood_of_letters_is_slowed_to_its_rate(running: int) -> None:
    throttle, loop = Throttle(lambda: running), asyncio.get_running_loop()
    for _ in range(20_000):
        await throttle.consume()
    pace = max(LEAST_PER_SECOND, MOST_PER_SECOND / running)
    assert (20_000 - 2 * BURST) / pace <= loop.time() <= 20_000 / pace


@in_virtual_time
async def test_two_hundred_replies_at_the_pace_of_models_never_wait() -> None:
    throttle, loop = Throttle(lambda: 200), asyncio.get_running_loop()
    for _ in range(5_000):
        await asyncio.sleep(1 / 200)
        before = loop.time()
        await throttle.consume()
        assert loop.time() == before


@in_virtual_time
async def test_long_pieces_count_by_their_length() -> None:
    throttle, loop = Throttle(lambda: 1), asyncio.get_running_loop()
    for _ in range(60):
        await throttle.consume(32 * CHARACTERS)
    assert loop.time() >= (60 * 32 - 2 * BURST) / MOST_PER_SECOND
