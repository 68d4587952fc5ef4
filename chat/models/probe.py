"""A row that proves that the database accepts writes."""

from __future__ import annotations

from django.db import models


class Probe(models.Model):
    """One row, written again by each readiness check."""

    written_at = models.DateTimeField()

    class Meta:
        verbose_name = "probe"

    def __str__(self) -> str:
        return f"written at {self.written_at}"
