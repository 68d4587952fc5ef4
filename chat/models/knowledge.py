"""Files of folders and presets, which the models of their chats get."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chat.models.attachment import Attachment, Problem
from chat.models.folder import Folder
from chat.models.preset import Preset

READ_CHARACTERS = 400_000  # of the text of one file, as in `chat/files/worker.py`


class Reading(models.TextChoices):
    OPEN = "open", _("Being read")
    READY = "ready", _("Ready")
    FAILED = "failed", _("Could not be read")


_REASONS = {
    Problem.UNKNOWN: _("Only the text of files is read, and this kind has none."),
    Problem.BROKEN: _("The file is damaged."),
    Problem.ENCRYPTED: _("The file is protected by a password."),
    Problem.TOO_LARGE: _("The file is too large."),
    Problem.EMPTY: _("No text was found in it."),
}


class KnowledgeQuerySet(models.QuerySet["Knowledge"]):
    def kept(self) -> KnowledgeQuerySet:
        return self.exclude(folder=None, preset=None)

    def removed(self) -> KnowledgeQuerySet:
        """Returns those that were removed from their folder or preset, and wait for their deletion."""
        return self.filter(folder=None, preset=None)


class Knowledge(models.Model):
    """A file of one folder or one preset, or of neither once it is removed. Its attachment belongs to the
    owner of it, is in no message, and counts for the owner's limit. `tokens` estimates the text, and
    `passages` is their number, once they are written. The database itself deletes it with its attachment,
    folder or preset: also for a process of a release that has no such model."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    attachment = models.OneToOneField(Attachment, on_delete=models.DO_NOTHING, related_name="knowledge")
    folder = models.ForeignKey(Folder, null=True, on_delete=models.DO_NOTHING, related_name="knowledge")
    preset = models.ForeignKey(Preset, null=True, on_delete=models.DO_NOTHING, related_name="knowledge")
    state = models.CharField(max_length=10, choices=Reading, default=Reading.OPEN)
    tokens = models.PositiveIntegerField(default=0)
    passages = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = KnowledgeQuerySet.as_manager()

    class Meta:
        ordering = ["created_at", "pk"]
        verbose_name_plural = "knowledge"
        indexes = [models.Index(fields=["created_at"], name="chat_knowledge_open", condition=Q(state="open"))]

    def __str__(self) -> str:
        return self.attachment.name

    @property
    def scope(self) -> str:
        """Returns the word for its folder or preset in the index of passages."""
        return f"f{self.folder_id.hex}" if self.folder_id else f"p{self.preset_id.hex}"  # type: ignore[union-attr]

    @property
    def note(self) -> str:
        """Returns what people should know about it, in the active language."""
        file = self.attachment.stored
        if file is None or self.state == Reading.OPEN:
            return ""
        if self.state == Reading.FAILED:
            if not file.problem and file.readable_type == "text/plain":  # the server failed
                return gettext("Remove it, and attach it again.")
            return str(_REASONS.get(Problem(file.problem or "unknown"), ""))
        if not file.is_cut:
            return ""
        words = gettext(
            "The file is long. At most its first {number} characters are used, about {pages} pages."
        )
        number = number_format(READ_CHARACTERS, force_grouping=True)
        return words.format(number=number, pages=READ_CHARACTERS // 2_000)


class Passage(models.Model):
    """A piece of the text of a file. `page` is 0 if the file has none. `overlap` is the number of characters
    at its beginning that the passage before it ends with. Its words are in columns that differ by database
    and are not fields (`chat.search.passages`)."""

    knowledge = models.ForeignKey(Knowledge, on_delete=models.DO_NOTHING, related_name="passage_set")
    number = models.PositiveIntegerField()
    page = models.PositiveIntegerField(default=0)
    overlap = models.PositiveIntegerField(default=0)
    text = models.TextField()

    class Meta:
        ordering = ["knowledge_id", "number"]
        constraints = [models.UniqueConstraint(fields=["knowledge", "number"], name="chat_passage_unique")]

    def __str__(self) -> str:
        return f"{self.number}: {self.text[:60]}"
