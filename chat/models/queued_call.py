"""The calls of programs in the queue of an endpoint."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from chat.models.endpoint import Endpoint
from chat.models.user import User


class QueuedCall(models.Model):
    """A call to an endpoint with a queue: it waits, runs from `begun_at` on, and has ended at `ended_at`. The
    last ended one of each user stays for an hour, because the order of the queue depends on who was served.
    `process` renews `seen_at`: rows of a killed process soon count no more. All times are the database's.

    The database itself deletes a row with its endpoint or user: also for a process of a release that has no
    such model."""

    id = models.UUIDField(primary_key=True, help_text="Of the call.")
    endpoint = models.ForeignKey(Endpoint, on_delete=models.DB_CASCADE, related_name="+")
    user = models.ForeignKey(User, on_delete=models.DB_CASCADE, related_name="+")
    process = models.CharField(max_length=64)
    queued_at = models.DateTimeField(db_default=Now())
    begun_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    seen_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "chat_linecall"  # as processes of an earlier version name it

    def __str__(self) -> str:
        return str(self.pk)
