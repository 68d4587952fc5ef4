"""What the full text search knows of a message or a title."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from chat.models.conversation import Conversation
from chat.models.message import Message


class SearchEntry(models.Model):
    """The entry of a message, or without a message of a conversation's title. `chat.search` writes it. Its
    words are in columns that differ by database and are not fields: the migration makes the table. `id`
    begins with the message's time, so entries in the order of their ids are in the order of their times.

    The database itself deletes it with its message or conversation: also for a process of a release that has
    no such model, and for whatever else deletes messages."""

    id = models.BigIntegerField(primary_key=True)
    conversation = models.ForeignKey(Conversation, on_delete=models.DO_NOTHING, related_name="+")
    message = models.OneToOneField(Message, null=True, on_delete=models.DO_NOTHING, related_name="+")

    class Meta:
        verbose_name_plural = "search entries"
        constraints = [
            models.UniqueConstraint(
                fields=["conversation"], condition=Q(message=None), name="one_search_entry_per_title"
            )
        ]

    def __str__(self) -> str:
        return str(self.pk)
