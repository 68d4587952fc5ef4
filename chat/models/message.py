"""One message. Messages form a tree by `parent`; what is shown is the path to the conversation's head."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import models
from django.utils import timezone

from chat.models.conversation import Conversation


class Role(models.TextChoices):
    USER = "user", "Person"
    ASSISTANT = "assistant", "Model"


class Message(models.Model):
    """`parts` is the ordered content: `{"type": "text" | "reasoning" | "tool_call" | "opaque", ...}`;
    `text` is its visible text, which is what search reads. Both are empty while the reply runs: until it
    ends the journal is its record.

    `client_id` is the sender's own id of a prompt: sending it again gives the same message (unique per
    conversation). `position` orders the messages of a conversation."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="messages")
    parent = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.CASCADE, related_name="children"
    )
    position = models.PositiveIntegerField()
    role = models.CharField(max_length=10, choices=Role)
    client_id = models.UUIDField(null=True, blank=True)
    text = models.TextField(blank=True)
    parts = models.JSONField(default=list, blank=True)
    version = models.PositiveBigIntegerField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["conversation", "position"], name="one_message_per_position"),
            models.UniqueConstraint(fields=["conversation", "client_id"], name="one_message_per_client_id"),
        ]
        indexes = [models.Index(fields=["conversation", "version"])]

    def __str__(self) -> str:
        return f"{self.get_role_display()}: {self.text[:60]}"

    @property
    def reasoning(self) -> str:
        """The readable reasoning of a finished reply."""
        return "".join(part["text"] for part in self.parts if part["type"] == "reasoning")

    def part(self, kind: str) -> list[dict[str, Any]]:
        """The parts of one type, in order."""
        return [part for part in self.parts if part["type"] == kind]
