"""Prompts that people save, and call by `/name` in the message box."""

from __future__ import annotations

from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chat.models.sharing import Shared

NAME_LENGTH = 40
TEXT_LENGTH = 20_000


class SavedPrompt(Shared):
    """Its text may have variables (`chat.models.variables`)."""

    name = models.CharField(
        _("Name"),
        max_length=NAME_LENGTH,
        validators=[RegexValidator(r"^\w[\w-]*\Z", _("Use letters, digits, - and _ only, without spaces."))],
    )
    text = models.TextField(_("Text"), max_length=TEXT_LENGTH)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name", "pk"]
        verbose_name = _("saved prompt")
        verbose_name_plural = _("saved prompts")
        constraints = [
            models.UniqueConstraint(fields=["owner", "name"], name="chat_saved_prompt_name_unique")
        ]

    def __str__(self) -> str:
        return self.name
