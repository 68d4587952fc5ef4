"""Folders of chats."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chat.models.preferences import INSTRUCTIONS_LENGTH
from chat.models.user import User

NAME_LENGTH = 100


class Folder(models.Model):
    """Its instructions are sent with each of its chats, as they are at that moment. Its preset is that of the
    chats that begin in it. `is_open`: whether the list of chats shows what is in it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="folders")
    name = models.CharField(_("Name"), max_length=NAME_LENGTH)
    instructions = models.TextField(
        _("Instructions"),
        blank=True,
        max_length=INSTRUCTIONS_LENGTH,
        help_text=_("Sent to the model with each chat in this folder."),
    )
    preset = models.ForeignKey(
        "chat.Preset",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        verbose_name=_("Preset for new chats"),
    )
    is_open = models.BooleanField(default=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name", "pk"]
        verbose_name = _("folder")
        verbose_name_plural = _("folders")
        constraints = [models.UniqueConstraint(fields=["owner", "name"], name="chat_folder_name_unique")]

    def __str__(self) -> str:
        return self.name
