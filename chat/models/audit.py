"""Who read whose conversation: the record that keeps those who may read everything honest."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chat.models.conversation import Conversation
from chat.models.user import User


class TranscriptRead(models.Model):
    """One reading or export of one conversation by someone who administers. It outlives the conversation
    and both people: what it says about them is copied."""

    class How(models.TextChoices):
        READ = "read", _("Read")
        EXPORTED = "exported", _("Exported")

    reader = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    reader_email = models.EmailField(_("who read"))
    owner = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    owner_email = models.EmailField(_("whose"))
    conversation_id = models.UUIDField(_("conversation"), db_index=True)
    how = models.CharField(_("how"), max_length=8, choices=How)
    at = models.DateTimeField(_("time"), default=timezone.now, db_index=True)

    class Meta:
        ordering = ["-at", "-id"]
        verbose_name = _("transcript reading")
        verbose_name_plural = _("transcript readings")

    def __str__(self) -> str:
        return f"{self.reader_email} {self.get_how_display().lower()} a conversation of {self.owner_email}"

    @classmethod
    def of(cls, conversation: Conversation, reader: User, how: How) -> TranscriptRead:
        """An unsaved record. The caller has selected the conversation's owner with it."""
        return cls(
            reader=reader,
            reader_email=reader.email,
            owner=conversation.owner,
            owner_email=conversation.owner.email,
            conversation_id=conversation.pk,
            how=how,
        )
