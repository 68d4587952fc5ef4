"""A conversation: one person's thread of messages, and the revision that everything live hangs on."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chat.models.user import User

TITLE_LENGTH = 200


class ConversationQuerySet(models.QuerySet["Conversation"]):
    def kept(self) -> ConversationQuerySet:
        """Without the deleted ones."""
        return self.filter(deleted_at=None)


class Conversation(models.Model):
    """`revision` rises with every structural change; each message keeps the revision that last changed it,
    so "what changed since v" is one query. `path_revision` is the revision at which the shown path last
    changed other than by growing: who is behind it must take the thread anew. `last_position` is the
    order of the newest message: order is an integer assigned in the transaction that writes, never a
    clock. `sent_from` is the position of the first message that the last reply's model was sent, 0 if it was
    sent all. A deleted conversation keeps its row, so that its id cannot be taken again."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(
        User, on_delete=models.CASCADE, related_name="conversations", verbose_name=_("person")
    )
    title = models.CharField(_("title"), max_length=TITLE_LENGTH, blank=True)
    revision = models.PositiveBigIntegerField(default=0, db_column="version")
    path_revision = models.PositiveBigIntegerField(default=0, db_column="path_version")
    last_position = models.PositiveIntegerField(default=0)
    sent_from = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    head = models.ForeignKey(
        "chat.Message",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_constraint=False,
    )
    created_at = models.DateTimeField(_("started"), default=timezone.now, editable=False)
    updated_at = models.DateTimeField(_("last change"), default=timezone.now, editable=False)
    deleted_at = models.DateTimeField(_("deleted by its owner"), null=True, blank=True, editable=False)
    pinned_at = models.DateTimeField(null=True, blank=True, editable=False)
    archived_at = models.DateTimeField(null=True, blank=True, editable=False)
    seen_revision = models.PositiveBigIntegerField(
        db_column="seen_version",
        default=0,
        editable=False,
        help_text="The revision that its owner's page last showed.",
    )

    objects = ConversationQuerySet.as_manager()

    class Meta:
        ordering = ["-updated_at", "-id"]
        verbose_name = _("conversation")
        verbose_name_plural = _("conversations")
        indexes = [models.Index(fields=["owner", "-updated_at"])]

    def __str__(self) -> str:
        return self.title or gettext("New chat")

    def next_revision(self) -> int:
        """Raises `revision` by one. The caller holds the row's lock and saves."""
        self.revision += 1
        self.updated_at = timezone.now()
        return self.revision

    def next_position(self) -> int:
        """The place of the next message. The caller holds the row's lock and saves."""
        self.last_position += 1
        return self.last_position
