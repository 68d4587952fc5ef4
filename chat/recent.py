"""Values that were read from the database a moment ago, in the memory of one process."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from django.db.models import Model
from django.db.models.signals import m2m_changed, post_delete, post_save


class Recent[K, V]:
    """Keeps values for `seconds`. Rows of `models` that are saved or deleted in this process end all of them
    at once; changes by `update` must call `clear`. May be used from any thread."""

    MOST = 1_000

    def __init__(self, seconds: float, models: Iterable[type[Model]]) -> None:
        self._seconds = seconds
        self._values: dict[K, tuple[float, V]] = {}
        for model in models:  # by sender: a listener to all models would slow down each deletion
            for signal in (post_save, post_delete, m2m_changed):
                signal.connect(self._forget, sender=model)

    def get(self, key: K) -> V | None:
        until, value = self._values.get(key, (0.0, None))
        return value if until > time.monotonic() else None

    def put(self, key: K, value: V) -> None:
        if len(self._values) >= self.MOST:
            self.clear()
        self._values[key] = (time.monotonic() + self._seconds, value)

    def clear(self) -> None:
        self._values = {}

    def _forget(self, **_: Any) -> None:
        self.clear()
