"""Values that were read from the database a moment ago, in the memory of one process."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.db.models import Model
from django.db.models.signals import m2m_changed, post_delete, post_save

type Version[K, V] = dict[K, tuple[float, V]]


class Recent[K, V]:
    """Keeps values for `seconds`. Rows of `models` that are saved or deleted in this process end all of them
    at once and again with the commit; changes by `update` must call `clear`. May be used from any thread."""

    MOST = 1_000

    def __init__(self, seconds: float, models: Iterable[type[Model]]) -> None:
        self._seconds = seconds
        self._values: Version[K, V] = {}
        for model in models:  # by sender: a listener to all models would slow down each deletion
            for signal in (post_save, post_delete, m2m_changed):
                signal.connect(self._forget, sender=model)

    def get(self, key: K) -> V | None:
        until, value = self._values.get(key, (0.0, None))
        return value if until > time.monotonic() else None

    def version(self) -> Version[K, V]:
        """Returns the version for `put`. Call it before the value is read from the database."""
        return self._values

    def put(self, key: K, value: V, version: Version[K, V]) -> None:
        """Keeps the value, unless `clear` was called since `version`: the value may be out of date."""
        if len(version) >= self.MOST:
            version.clear()
        version[key] = (time.monotonic() + self._seconds, value)

    def clear(self) -> None:
        self._values = {}  # what is read now is put into the former dictionary, which nobody uses any more

    def _forget(self, using: str, **_: Any) -> None:
        self.clear()
        transaction.on_commit(self.clear, using=using)  # until then other threads read the former row
