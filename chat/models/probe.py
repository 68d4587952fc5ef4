"""A row that is written to prove that the database takes writes."""

from __future__ import annotations

from django.db import models


class Probe(models.Model):
    """One row, written anew by each look at whether a process is ready."""

    written_at = models.DateTimeField()

    class Meta:
        verbose_name = "probe"

    def __str__(self) -> str:
        return f"written at {self.written_at}"
