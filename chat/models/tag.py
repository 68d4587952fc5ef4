"""Tags of chats."""

from __future__ import annotations

from django.db import models

from chat.models.conversation import Conversation

NAME_LENGTH = 40
MOST_TAGS = 20  # of one conversation


class Tag(models.Model):
    """A word that the owner of a conversation gave it. `key` is its name without accents and capitals, as the
    search compares it. The database itself deletes it with its conversation: also for a process of a release
    that has no such model."""

    conversation = models.ForeignKey(
        Conversation, on_delete=models.DO_NOTHING, related_name="tags", db_index=False
    )
    name = models.CharField(max_length=NAME_LENGTH)
    key = models.CharField(max_length=200)

    class Meta:
        ordering = ["key"]
        constraints = [models.UniqueConstraint(fields=["conversation", "key"], name="chat_tag_unique")]

    def __str__(self) -> str:
        return self.name

    @property
    def query(self) -> str:
        """The search for the chats with exactly this tag."""
        return f'tag:"{self.name}"'
