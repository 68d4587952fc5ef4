"""The steps of a reply that used tools, and its calls of tools."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chat.models.generation import Generation


class Step(models.Model):
    """One call to a provider within a generation. A generation of one step has no row: its own columns
    describe it. With more steps, each has a row, and the columns of the generation are their sum."""

    generation = models.ForeignKey(Generation, on_delete=models.CASCADE, related_name="steps")
    number = models.PositiveSmallIntegerField()
    ended_at = models.DateTimeField(default=timezone.now)
    finish_reason = models.CharField(max_length=100, blank=True)
    error_code = models.CharField(max_length=40, blank=True)
    input_estimate = models.PositiveIntegerField(null=True)
    input_tokens = models.PositiveIntegerField(null=True)
    output_tokens = models.PositiveIntegerField(null=True)
    cached_input_tokens = models.PositiveIntegerField(default=0)
    reasoning_tokens = models.PositiveIntegerField(default=0)
    searches = models.PositiveIntegerField(default=0, db_default=0, help_text="Of the web.")
    usage_estimated = models.BooleanField(default=False)
    cost = models.DecimalField(max_digits=14, decimal_places=8, null=True)

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["generation", "number"], name="one_row_per_step"),
        ]

    def __str__(self) -> str:
        return f"{self.generation_id}, step {self.number}"


class ToolCallState(models.TextChoices):
    """`started` is committed before the tool runs. So a call whose process ended is never run again: it
    becomes `unknown`."""

    ASKED = "asked", _("Needs your approval")
    APPROVED = "approved", _("Waiting to run")
    STARTED = "started", _("Running")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")
    DECLINED = "declined", _("Declined")
    UNKNOWN = "unknown", _("Unknown: it was interrupted")
    SKIPPED = "skipped", _("Not run")


class ToolRun(models.Model):
    """One call of a tool. `number` counts the calls of a message from 0. `arguments` and `result` are kept
    here until the reply ends; then the parts of the message have them. `approval` is what an approval for the
    chat holds for: the tool's name and fingerprint."""

    generation = models.ForeignKey(Generation, on_delete=models.CASCADE, related_name="tool_runs")
    step = models.PositiveSmallIntegerField()
    number = models.PositiveIntegerField()
    call_id = models.CharField(max_length=200)
    name = models.CharField(max_length=200)
    arguments = models.TextField(blank=True)
    state = models.CharField(max_length=10, choices=ToolCallState)
    approval = models.CharField(max_length=200, blank=True)
    result = models.TextField(blank=True)
    asked_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["generation", "number"], name="one_row_per_call"),
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.get_state_display()}"

    @property
    def seconds(self) -> float | None:
        """Returns how long the tool ran."""
        if self.started_at is None or self.ended_at is None:
            return None
        return max(0.0, (self.ended_at - self.started_at).total_seconds())
