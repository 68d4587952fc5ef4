"""A first-in, first-out lock for threads."""

from __future__ import annotations

import threading
from collections import deque


class QueueLock:
    """Any thread may release it."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._is_held = False
        self._waiting: deque[threading.Event] = deque()

    def acquire(self, seconds: float) -> bool:
        """Waits up to `seconds`. Returns whether the lock was taken."""
        with self._mutex:
            if not self._is_held:
                self._is_held = True
                return True
            turn = threading.Event()
            self._waiting.append(turn)
        if turn.wait(seconds):
            return True
        with self._mutex:
            if turn.is_set():  # given at the last moment
                return True
            self._waiting.remove(turn)
            return False

    def release(self) -> None:
        """Gives the lock to the thread that has waited longest."""
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._is_held = False
