"""A read-only view of a part of a chat, by a link."""

from __future__ import annotations

import secrets
import uuid

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chat.models.conversation import TITLE_LENGTH, Conversation
from chat.models.message import Message, MessageQuerySet


class Audience(models.TextChoices):
    """Who can open a link."""

    TEAM = "team", _("People who are logged in here")
    ANYONE = "anyone", _("Anyone with the link")


def new_secret() -> str:
    """Returns 192 random bits for the address of a share, as 32 characters of URLs."""
    return secrets.token_urlsafe(24)


class ShareQuerySet(models.QuerySet["Share"]):
    def open(self) -> ShareQuerySet:
        """Returns the shares that have not expired, of chats that are not deleted and whose owners are
        active."""
        kept = self.filter(conversation__deleted_at=None, conversation__owner__is_active=True)
        return kept.filter(expires_at__gt=timezone.now())


class Share(models.Model):
    """`messages` are chosen once: messages that are added later are not in it. They are not copied, since a
    finished message does not change and a deleted one must leave its shares. `author` is the owner's name at
    the time, empty for a share without names. `shows_steps`: also reasoning and calls of tools."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    secret = models.CharField(max_length=43, unique=True, default=new_secret, editable=False)
    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, related_name="shares", verbose_name=_("chat")
    )
    messages = models.ManyToManyField(Message, related_name="shares")
    title = models.CharField(max_length=TITLE_LENGTH)
    author = models.CharField(max_length=300, blank=True)
    audience = models.CharField(_("can be opened by"), max_length=6, choices=Audience)
    shows_files = models.BooleanField(_("with files"), default=False)
    shows_steps = models.BooleanField(_("with reasoning and tool calls"), default=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    expires_at = models.DateTimeField(_("expires"))

    objects = ShareQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        verbose_name = _("share link")
        verbose_name_plural = _("share links")
        indexes = [models.Index(fields=["expires_at"])]

    def __str__(self) -> str:
        return str(self.pk)

    @property
    def has_expired(self) -> bool:
        return self.expires_at <= timezone.now()

    @property
    def shown_messages(self) -> MessageQuerySet:
        """Returns the messages that the link shows now, in order, with their generations. Those below a
        deleted message are left out, also variants that were hidden when it was deleted."""
        found = Message.objects.filter(shares=self, deleted_at=None).exclude(pk__in=self._below_deleted())
        return found.order_by("position").select_related("generation")

    def _below_deleted(self) -> set[uuid.UUID]:
        rows = Message.objects.filter(conversation=self.conversation_id)
        if not rows.exclude(deleted_at=None).exists():
            return set()
        gone: set[uuid.UUID] = set()
        for pk, parent, deleted_at in rows.order_by("position").values_list("pk", "parent_id", "deleted_at"):
            if deleted_at or parent in gone:  # a parent has the smaller position
                gone.add(pk)
        return gone & set(self.messages.values_list("pk", flat=True))
