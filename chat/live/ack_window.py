"""Backpressure for one WebSocket."""

from __future__ import annotations

import asyncio


class AckWindow:
    """Limits the unacknowledged frames and bytes to one client. Daphne has no backpressure (it buffered 210
    MB for a client that read nothing, measured), so the acks of the client limit the memory."""

    def __init__(self, *, frames: int, size: int) -> None:
        self._frames, self._size = frames, size
        self._under_way: dict[int, int] = {}  # frame number -> bytes
        self._bytes = 0
        self._ended = False
        self._room = asyncio.Event()
        self.number = 0

    def sent(self, size: int) -> None:
        """Counts frame `number` + 1 as sent. The caller has waited for `room`."""
        self.number += 1
        self._under_way[self.number] = size
        self._bytes += size
        self._update()

    def acked(self, number: int) -> None:
        """Counts all frames up to this one as received. Ignores numbers that were never sent."""
        for frame in [n for n in self._under_way if n <= number]:
            self._bytes -= self._under_way.pop(frame)
        self._update()

    def end(self) -> None:
        """Ends all waits for `room`, now and later."""
        self._ended = True
        self._update()

    @property
    def has_room(self) -> bool:
        """Returns whether a frame may be sent."""
        return self._ended or (len(self._under_way) < self._frames and self._bytes < self._size)

    async def room(self, seconds: float) -> bool:
        """Waits until a frame may be sent. Returns false if the client acknowledged nothing for so long."""
        if self.has_room:
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._room.wait()
        except TimeoutError:
            return False
        return True

    def _update(self) -> None:
        if self.has_room:
            self._room.set()
        else:
            self._room.clear()
