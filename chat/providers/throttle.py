"""Limits the rate of one reply, so that it cannot block the event loop for the others.

A piece of text takes the event loop about 60 us, and about as much again for each 1,000 characters. A
provider may send single letters or very long texts as fast as it can. A reply above its rate waits, and
backpressure makes its provider wait too. Events are counted where they are parsed, before neighbouring texts
are joined, and pieces are counted again at the end of the pipeline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

BURST = 400  # pieces at once
LEAST_PER_SECOND, MOST_PER_SECOND = 500, 4_000  # of one reply; models write 30 to 2,000
CHARACTERS = 1_000  # that cost as much as a piece


class Throttle:
    """A token bucket for one reply. `running` returns the number of replies that share the process."""

    def __init__(self, running: Callable[[], int]) -> None:
        self._running = running
        self._left, self._at = float(BURST), asyncio.get_running_loop().time()

    async def consume(self, characters: int = 0, *, count: int = 1) -> None:
        """Counts `count` pieces with this number of characters. Waits while the reply is above its rate."""
        self._left -= count + characters // CHARACTERS
        if self._left > 0:
            return
        loop = asyncio.get_running_loop()
        rate = max(LEAST_PER_SECOND, MOST_PER_SECOND / max(1, self._running()))
        self._left = min(BURST, self._left + (loop.time() - self._at) * rate)
        self._at = loop.time()
        if self._left < BURST / 4:
            await asyncio.sleep((BURST / 4 - self._left) / rate)
