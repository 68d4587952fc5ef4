"""Ratings of replies."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chat.models.message import Message
from chat.models.user import User

COMMENT_LENGTH = 2000


class Feedback(models.Model):
    """One rating of one reply by one user. A new rating replaces it."""

    class Reason(models.TextChoices):
        INCORRECT = "incorrect", _("Not correct")
        UNHELPFUL = "unhelpful", _("Not helpful")
        INSTRUCTIONS = "instructions", _("Did not follow the instructions")
        STYLE = "style", _("Tone, length or format")
        UNSAFE = "unsafe", _("Harmful or offensive")
        OTHER = "other", _("Something else")

    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="feedback")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    is_good = models.BooleanField()
    reason = models.CharField(max_length=12, choices=Reason, blank=True)
    comment = models.CharField(max_length=COMMENT_LENGTH, blank=True)
    at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["message", "user"], name="one_verdict_per_reply")]
        verbose_name_plural = "feedback"

    def __str__(self) -> str:
        return "good" if self.is_good else self.get_reason_display() or "not good"

    @property
    def asks(self) -> bool:
        """Returns whether to ask the user for the reason."""
        return not (self.is_good or self.reason)
