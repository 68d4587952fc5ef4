"""One message. Messages form a tree by `parent`; the page shows the path to the conversation's head.

Positions increase along every path, so the shown messages in order of position *are* the path. Opening a
conversation costs what it shows, not what exists.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chat.models.conversation import Conversation
from chat.parts import ReasoningPart, loaded

if TYPE_CHECKING:
    from chat.models.feedback import Feedback
    from chat.models.generation import Generation


class MessageQuerySet(models.QuerySet["Message"]):
    def shown(self) -> MessageQuerySet:
        """Returns the messages shown to the user, in order: the path to the head, with side-by-side replies.
        Each comes with its conversation from the same query, so its revision matches the messages."""
        return self.filter(shown=True).order_by("position").select_related("generation", "conversation")


def shown_with() -> list[str | models.Prefetch[Any]]:
    """Returns the `prefetch_related` arguments for showing finished replies: their ratings and variants.
    Prompts have neither."""
    siblings = Message.objects.only("parent", "position", "shown", "role", "deleted_at")
    parents = models.Prefetch("parent", Message.objects.only("pk"))
    return ["feedback", parents, models.Prefetch("parent__children", siblings)]


@dataclass(frozen=True, slots=True)
class Variant:
    """The number of this reply among the replies to one prompt, from 1, and the replies before and after
    it."""

    number: int
    count: int
    previous: Message | None
    next: Message | None


class Role(models.TextChoices):
    USER = "user", _("Person")
    ASSISTANT = "assistant", _("Model")


class Message(models.Model):
    """`parts` is the ordered content in its stored form (`chat.parts`). `text` is its visible text, which
    search reads. Both are empty while the reply runs: until its end the journal is the record.

    `client_id` is the sender's own id of a prompt, or of a retry: sending it again returns the same message.
    Two users may choose the same id. `position` orders the messages of a conversation. `deletion` is the same
    for all messages that were deleted together.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="messages")
    parent = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.CASCADE, related_name="children"
    )
    position = models.PositiveIntegerField()
    shown = models.BooleanField(default=True, help_text="Whether it is on the path to the head.")
    role = models.CharField(max_length=10, choices=Role)
    client_id = models.UUIDField(null=True, blank=True)
    text = models.TextField(blank=True)
    parts = models.JSONField(default=list, blank=True)
    added_revision = models.PositiveBigIntegerField(help_text="The conversation's revision that added it.")
    revision = models.PositiveBigIntegerField(help_text="The conversation's revision that last changed it.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)
    deletion = models.UUIDField(null=True, blank=True, editable=False)

    objects = MessageQuerySet.as_manager()

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["conversation", "position"], name="one_message_per_position"),
            models.UniqueConstraint(fields=["conversation", "client_id"], name="one_message_per_client_id"),
        ]
        indexes = [
            models.Index(
                fields=["client_id"],
                name="chat_message_client_id",
                condition=models.Q(client_id__isnull=False),
            ),
            models.Index(fields=["conversation", "revision"]),
            models.Index(fields=["conversation", "shown", "position"]),
        ]

    def __str__(self) -> str:
        return f"{self.get_role_display()}: {self.text[:60]}"

    @property
    def reply(self) -> Generation | None:
        """Returns the generation that produced this message, if it is a reply."""
        return getattr(self, "generation", None) if self.role == Role.ASSISTANT else None

    @property
    def is_live(self) -> bool:
        return self.reply is not None and self.reply.is_live

    @property
    def verdict(self) -> Feedback | None:
        """Returns the user's rating."""
        return next(iter(self.feedback.all()), None)

    @property
    def variant_of_reply(self) -> Variant | None:
        """Returns the place of this reply among the replies to one prompt that were made one after the other.
        None if it is the only one, or while another one is shown side by side: it is not known which of the
        two the others belong to."""
        if self.role != Role.ASSISTANT or self.parent is None:
            return None
        replies = [it for it in self.parent.children.all() if it.role == Role.ASSISTANT]
        variants = [it for it in replies if it == self or it.deleted_at is None]
        if self not in variants or any(it.shown for it in variants if it != self):
            return None  # erased since this message was read
        at = variants.index(self)
        before, after = variants[at - 1] if at else None, variants[at + 1 : at + 2]
        return Variant(at + 1, len(variants), before, after[0] if after else None) if variants[1:] else None

    @property
    def reasoning(self) -> str:
        """Returns the readable reasoning of a finished reply."""
        return "".join(part.text for part in loaded(self.parts) if isinstance(part, ReasoningPart))
