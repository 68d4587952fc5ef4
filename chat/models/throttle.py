"""Counts of failed log-ins, which make guessing slow."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class LogInThrottle(models.Model):
    """The failed attempts of one source at one target. `key` is a keyed hash, so no address of a person or
    machine is stored. No attempt is accepted before `retry_at`."""

    key = models.CharField(primary_key=True, max_length=32)
    failures = models.PositiveIntegerField(default=0, db_default=0)
    retry_at = models.DateTimeField(null=True)
    succeeded_at = models.DateTimeField(null=True)
    updated_at = models.DateTimeField(db_default=Now(), db_index=True)

    def __str__(self) -> str:
        return f"{self.failures} failures"
