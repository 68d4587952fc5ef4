"""Limits the workers that read new files: few at once, and one for each person. So the slow files of one
person do not delay the files of others."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

AT_ONCE = 2  # workers of this process
MOST_WAITING = 4  # requests of one person; each holds a thread of the server


class TooManyError(Exception):
    """No slot is free in time, or too many requests of this person wait for one."""


class WorkerSlots:
    """The slots for workers of this process. Thread-safe."""

    def __init__(self, at_once: int = AT_ONCE, most_waiting: int = MOST_WAITING) -> None:
        self._at_once, self._most_waiting = at_once, most_waiting
        self._running: set[Hashable] = set()
        self._waiting: Counter[Hashable] = Counter()
        self._changed = threading.Condition()

    @contextmanager
    def slot(self, person: Hashable, *, seconds: float) -> Iterator[None]:
        """Holds a slot for a worker of this person. Waits at most `seconds`. Raises `TooManyError`."""
        with self._changed:
            if self._waiting[person] >= self._most_waiting:
                raise TooManyError
            self._waiting[person] += 1
            try:
                if not self._changed.wait_for(lambda: self._is_free(person), seconds):
                    raise TooManyError
                self._running.add(person)
            finally:
                self._waiting[person] -= 1
                if not self._waiting[person]:
                    del self._waiting[person]
        try:
            yield
        finally:
            with self._changed:
                self._running.discard(person)
                self._changed.notify_all()

    def _is_free(self, person: Hashable) -> bool:
        return person not in self._running and len(self._running) < self._at_once
