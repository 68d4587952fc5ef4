"""The durable log of running replies."""

from __future__ import annotations

from django.db import models

from chat.models.generation import Generation


class JournalEntry(models.Model):
    """The output of one generation from character `start` on. Entries of a generation are contiguous, so a
    gap or an overlap is always noticed. They are deleted in the transaction that writes the finished
    message."""

    generation = models.ForeignKey(Generation, on_delete=models.CASCADE, related_name="journal")
    start = models.PositiveBigIntegerField(help_text="Characters of output before this entry.")
    segments = models.JSONField(help_text='[[kind, text], ...]; kind is "text", "reasoning" or "tool_call".')

    class Meta:
        ordering = ["start"]
        constraints = [
            models.UniqueConstraint(fields=["generation", "start"], name="one_entry_per_offset"),
        ]
        verbose_name_plural = "journal entries"

    def __str__(self) -> str:
        return f"{self.generation_id} from {self.start}"
