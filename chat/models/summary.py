"""A summary of the beginning of a chat, for models whose window is full."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone

from chat.models.catalog import ChatModel
from chat.models.conversation import Conversation
from chat.models.message import Message


class Summary(models.Model):
    """It stands in for the message `covers` and all messages before it on its path. A message has one path
    to the start, so a summary is valid for each branch that contains the message. `model_label` is the name
    of the model that wrote it, at the time."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="summaries")
    covers = models.OneToOneField(Message, on_delete=models.CASCADE, related_name="summary")
    text = models.TextField()
    model = models.ForeignKey(ChatModel, null=True, on_delete=models.SET_NULL, related_name="+")
    model_label = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name_plural = "summaries"

    def __str__(self) -> str:
        return f"Summary by {self.model_label}"
