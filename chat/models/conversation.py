"""A conversation: the tree of messages of one owner, and the revision that live updates depend on."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chat.models.user import User

TITLE_LENGTH = 200
TITLE_CHARS = 60  # characters of the prompt for the first title, and of a title by a model


# Products whose files can be imported, by the name of the format.
PRODUCTS = {
    "steady": "Steady",
    "chatgpt": "ChatGPT",
    "claude": "Claude",
    "open_webui": "Open WebUI",
    "librechat": "LibreChat",
}


def shortened(text: str) -> str:
    """Returns a title for a conversation that begins with this text."""
    title = " ".join(text.split())
    return title if len(title) <= TITLE_CHARS else title[: TITLE_CHARS - 1].rstrip() + "…"


class ConversationQuerySet(models.QuerySet["Conversation"]):
    def kept(self) -> ConversationQuerySet:
        """Returns the conversations that are not deleted."""
        return self.filter(deleted_at=None)


class Conversation(models.Model):
    """`revision` increases with every structural change. Each message keeps the revision that last changed
    it, so the changes since a revision are one query. `path_revision` is the revision of the last change of
    the shown path that was not an addition at its end; a viewer with an older one must load all messages
    again. `last_position` is the position of the newest message. Order is an integer assigned in the writing
    transaction, never a clock. `sent_from` is the position of the first message that was sent to the model of
    the last reply, 0 if all were sent; `summary` stood in for those before it. A deleted conversation keeps
    its row, so that its id cannot be used again. `tools` has the names of the tools that its owner switched
    on, `approved_tools` those that need no further approval here, with their fingerprints. None is an empty
    list. `parameters` has what its owner set for the requests (`chat.models.parameters`). `preset_name` and
    `preset_number` are those of the version in its `PresetUse`, "" and 0 without one. `indexed_title` is the
    title in the search index, None if it is not in it yet."""

    class Titled(models.TextChoices):
        """Who wrote the title. A title by a model is asked for at most once, and replaces only the first
        words of the prompt."""

        WORDS = "", "first words"
        ASKED = "asked", "first words, a model was asked"
        MODEL = "model", "model"
        PERSON = "person", "person"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(
        User, on_delete=models.CASCADE, related_name="conversations", verbose_name=_("person")
    )
    title = models.CharField(_("title"), max_length=TITLE_LENGTH, blank=True)
    titled = models.CharField(
        max_length=6, choices=Titled, default=Titled.WORDS, db_default="", blank=True, editable=False
    )
    revision = models.PositiveBigIntegerField(default=0)
    path_revision = models.PositiveBigIntegerField(default=0)
    last_position = models.PositiveIntegerField(default=0)
    sent_from = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    summary = models.ForeignKey(
        "chat.Summary",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_constraint=False,
        editable=False,
    )
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
    uses_instructions = models.BooleanField(
        default=True, db_default=True, editable=False, help_text="Whether its owner's instructions are sent."
    )
    folder = models.ForeignKey(
        "chat.Folder",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="conversations",
        editable=False,
    )
    preset_name = models.CharField(max_length=100, blank=True, db_default="", default="", editable=False)
    preset_number = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    tools = models.JSONField(null=True, blank=True, editable=False)
    approved_tools = models.JSONField(null=True, blank=True, editable=False)
    parameters = models.JSONField(null=True, blank=True, editable=False)
    imported_from = models.CharField(
        max_length=20,
        blank=True,
        db_default="",
        editable=False,
        help_text="The format of the file it was imported from: its first messages were not written here.",
    )
    seen_revision = models.PositiveBigIntegerField(
        default=0, editable=False, help_text="The revision that its owner's page last showed."
    )

    indexed_title = models.CharField(max_length=TITLE_LENGTH, null=True, editable=False)  # noqa: DJ001

    objects = ConversationQuerySet.as_manager()

    class Meta:
        ordering = ["-updated_at", "-id"]
        verbose_name = _("chat")
        verbose_name_plural = _("chats")
        indexes = [
            models.Index(fields=["owner", "-updated_at"]),
            models.Index(
                fields=["created_at"],
                name="chat_title_not_indexed",
                condition=models.Q(indexed_title__isnull=True) | ~models.Q(indexed_title=models.F("title")),
            ),
        ]

    def __str__(self) -> str:
        return self.title or gettext("New chat")

    @property
    def product(self) -> str:
        """Returns the product whose file the chat was imported from, "" for other chats."""
        return PRODUCTS.get(self.imported_from, "")

    def next_revision(self) -> int:
        """Increases `revision` by one. The caller holds the row's lock and saves."""
        self.revision += 1
        self.updated_at = timezone.now()
        return self.revision

    def next_position(self) -> int:
        """Returns the position of the next message. The caller holds the row's lock and saves."""
        self.last_position += 1
        return self.last_position
