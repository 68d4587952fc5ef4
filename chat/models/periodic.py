"""Periodic tasks, which one process of an installation runs at a time."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.db.models.functions import Now


class PeriodicTask(models.Model):
    """The process that advances `due_at` runs the task, so exactly one does each time. If that process ends
    early, another one continues when the task is due again."""

    name = models.SlugField(primary_key=True)
    due_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.name

    @classmethod
    def take(cls, name: str, *, every: timedelta) -> bool:
        """Returns whether this process must run the task now. If so, the task is not due again until `every`
        has passed by the database's clock."""
        PeriodicTask.objects.bulk_create([PeriodicTask(name=name)], ignore_conflicts=True)
        return bool(PeriodicTask.objects.filter(name=name, due_at__lte=Now()).update(due_at=Now() + every))
