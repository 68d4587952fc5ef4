"""What the processes of an installation do now and then, one of them at a time."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.db.models.functions import Now


class PeriodicTask(models.Model):
    """The process that moves `due_at` on does the task, so one of them does it each time. When it
    dies, another one does the rest when it is due again."""

    name = models.SlugField(primary_key=True)
    due_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.name

    @classmethod
    def take(cls, name: str, *, every: timedelta) -> bool:
        """Whether this process is to do the task now. If so, it is due for nobody until `every` has passed by
        the database's clock."""
        PeriodicTask.objects.bulk_create([PeriodicTask(name=name)], ignore_conflicts=True)
        return bool(PeriodicTask.objects.filter(name=name, due_at__lte=Now()).update(due_at=Now() + every))
