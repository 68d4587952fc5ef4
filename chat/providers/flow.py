"""Limits the rate of one reply, so that it cannot starve the others.

A piece of text costs the event loop about 60 us, and about as much for each 1,000 characters. A provider that
sends single letters, or very long texts, as fast as it can would have the loop for itself. So a reply that is
ahead of its pace waits, and with it, through the connection, its provider. Events are counted where they are
parsed, before neighbouring texts are joined, and pieces again at the end of the pipeline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

BURST = 400  # pieces at once
LEAST_PER_SECOND, MOST_PER_SECOND = 500, 4_000  # of one reply; models write 30 to 2,000
CHARACTERS = 1_000  # that cost as much as a piece


class Flow:
    """The pace of one reply; `running` returns how many share the process."""

    def __init__(self, running: Callable[[], int]) -> None:
        self._running = running
        self._left, self._at = float(BURST), asyncio.get_running_loop().time()

    async def piece(self, characters: int = 0, *, count: int = 1) -> None:
        """Counts one piece of that many characters, or `count` pieces, and waits while the run is ahead."""
        self._left -= count + characters // CHARACTERS
        if self._left > 0:
            return
        loop = asyncio.get_running_loop()
        pace = max(LEAST_PER_SECOND, MOST_PER_SECOND / max(1, self._running()))
        self._left = min(BURST, self._left + (loop.time() - self._at) * pace)
        self._at = loop.time()
        if self._left < BURST / 4:
            await asyncio.sleep((BURST / 4 - self._left) / pace)
