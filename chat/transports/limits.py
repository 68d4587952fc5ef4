"""What one socket may ask of the server."""

from __future__ import annotations

import asyncio
import time


class RateLimit:
    """A token bucket: `burst` at once, `per_second` in the long run."""

    def __init__(self, *, burst: int, per_second: float) -> None:
        self._burst, self._per_second = burst, per_second
        self._tokens, self._at = float(burst), time.monotonic()

    def allows(self) -> bool:
        now = time.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_second)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class AckWindow:
    """Bounds what is under way to one client, in frames and bytes. Daphne has no backpressure (210 MB were
    taken for a client that read nothing, measured), so the client's acks are what keeps memory flat."""

    def __init__(self, *, frames: int, size: int) -> None:
        self._frames, self._size = frames, size
        self._under_way: dict[int, int] = {}  # frame number -> bytes
        self._bytes = 0
        self._ended = False
        self._room = asyncio.Event()
        self.number = 0

    def sent(self, size: int) -> None:
        """Frame `number` + 1 goes out. The caller has waited for `room`."""
        self.number += 1
        self._under_way[self.number] = size
        self._bytes += size
        self._update()

    def acked(self, number: int) -> None:
        """All frames up to this one arrived. Numbers that were never sent change nothing."""
        for frame in [n for n in self._under_way if n <= number]:
            self._bytes -= self._under_way.pop(frame)
        self._update()

    def end(self) -> None:
        """Whoever waits for room waits no longer, now and later."""
        self._ended = True
        self._update()

    async def room(self, seconds: float) -> bool:
        """Waits until a frame may be sent; false if the client acked nothing for so long."""
        self._update()
        if self._room.is_set():
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._room.wait()
        except TimeoutError:
            return False
        return True

    def _update(self) -> None:
        if self._ended or (len(self._under_way) < self._frames and self._bytes < self._size):
            self._room.set()
        else:
            self._room.clear()
