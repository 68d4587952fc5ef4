"""Usage of models outside of chats."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models.functions import Now
from django.utils import timezone

from chat.models.api_token import ApiToken
from chat.models.catalog import ChatModel
from chat.models.generation import Generation, Status
from chat.models.user import User


class UsageEntry(models.Model):
    """What one call of a program used and cost. Entries are only added. They outlive everything they name,
    so nothing cascades. A call that was kept as a chat has its reply in `generation`, which counts the same
    usage."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="usage_entries")
    token = models.ForeignKey(ApiToken, null=True, on_delete=models.SET_NULL, related_name="usage_entries")
    model = models.ForeignKey(ChatModel, null=True, on_delete=models.SET_NULL, related_name="usage_entries")
    model_label = models.CharField(max_length=200, help_text="The model's name at the time.")
    generation = models.OneToOneField(
        Generation, null=True, on_delete=models.SET_NULL, related_name="usage_entry"
    )
    api = models.CharField(max_length=20, help_text="The API that the program used.")
    status = models.CharField(max_length=12, choices=Status)
    error_code = models.CharField(max_length=40, blank=True)
    at = models.DateTimeField(default=timezone.now, help_text="When the call ended.")
    seconds = models.FloatField(null=True)
    seconds_to_first_token = models.FloatField(null=True)
    input_tokens = models.PositiveIntegerField(null=True)
    output_tokens = models.PositiveIntegerField(null=True)
    cached_input_tokens = models.PositiveIntegerField(default=0)
    reasoning_tokens = models.PositiveIntegerField(default=0)
    estimated = models.BooleanField(default=False)
    cost = models.DecimalField(max_digits=14, decimal_places=8, null=True)

    class Meta:
        ordering = ["-at"]
        indexes = [models.Index(fields=["user", "-at"]), models.Index(fields=["at"])]
        verbose_name_plural = "usage entries"

    def __str__(self) -> str:
        return f"{self.model_label}: {self.get_status_display()}"


class RunningCall(models.Model):
    """A call that runs now. The rows count for the limit of their user in all processes; where there is one
    process only (SQLite), its memory counts and there are none. `process` renews `seen_at` (database time):
    rows of a killed process soon count no more."""

    id = models.UUIDField(primary_key=True, help_text="Of the call.")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    process = models.CharField(max_length=64)
    seen_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return str(self.pk)
