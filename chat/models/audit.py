"""Who read whose conversation, who searched: the record that keeps those who may read all honest."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chat.models.conversation import Conversation
from chat.models.user import User

WORDS_LENGTH = 200


class TranscriptRead(models.Model):
    """One reading or export of one conversation by someone who administers, or one search in all of them. It
    outlives the conversation and both people: what it says about them is copied."""

    class How(models.TextChoices):
        READ = "read", _("Read")
        EXPORTED = "exported", _("Exported")
        SEARCHED = "searched", _("Searched")

    reader = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    reader_email = models.EmailField(_("who read"))
    owner = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    owner_email = models.EmailField(_("whose"), blank=True)
    conversation_id = models.UUIDField(_("conversation"), db_index=True, null=True)
    words = models.CharField(_("searched for"), max_length=WORDS_LENGTH, blank=True)
    found = models.PositiveIntegerField(_("found"), null=True)
    how = models.CharField(_("how"), max_length=8, choices=How)
    at = models.DateTimeField(_("time"), default=timezone.now, db_index=True)

    class Meta:
        ordering = ["-at", "-id"]
        verbose_name = _("transcript reading")
        verbose_name_plural = _("transcript readings")

    def __str__(self) -> str:
        what = f"a conversation of {self.owner_email}" if self.conversation_id else "all conversations"
        return f"{self.reader_email} {self.get_how_display().lower()} {what}"

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

    @classmethod
    def of_search(cls, words: str, found: int, reader: User) -> TranscriptRead:
        """An unsaved record of a search for `words` that found so many conversations."""
        words = words.replace("\x00", "")[:WORDS_LENGTH]
        return cls(reader=reader, reader_email=reader.email, how=cls.How.SEARCHED, words=words, found=found)
