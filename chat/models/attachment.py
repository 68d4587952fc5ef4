"""Files that people attach to their prompts.

A content is stored once (`StoredFile`), however often it is attached (`Attachment`). The bytes are in
Django's default storage; `chat.files` writes and reads them.
"""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chat.models.message import Message
from chat.models.user import User

NAME_LENGTH = 200


class Problem(models.TextChoices):
    """Why a model cannot read a stored file."""

    UNKNOWN = "unknown", _("Models cannot read this kind of file. They get its name only.")
    BROKEN = "broken", _("The file is damaged. Models get its name only.")
    ENCRYPTED = "encrypted", _("The file is protected by a password. Models get its name only.")
    TOO_LARGE = "too_large", _("The file is too large to be read. Models get its name only.")
    EMPTY = "empty", _("No text was found in the file. Models get its name only.")


class StoredFile(models.Model):
    """One content. `sha256` is None once the file is being deleted, so that the same content can be stored
    again meanwhile. `path`, `thumbnail` and `readable` are names in the storage, "" if there is none.
    `readable` is what models get instead of the original: an image without metadata, or the text of a
    document. `tokens` estimates what a model reads. `is_cut` says that the text was longer."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    sha256 = models.CharField(max_length=64, null=True, unique=True)  # noqa: DJ001 - NULL is not a content
    size = models.PositiveBigIntegerField()
    media_type = models.CharField(max_length=100)
    path = models.CharField(max_length=200)
    thumbnail = models.CharField(max_length=200, blank=True)
    readable = models.CharField(max_length=200, blank=True)
    readable_type = models.CharField(max_length=100, blank=True)
    width = models.PositiveIntegerField(default=0)
    height = models.PositiveIntegerField(default=0)
    pages = models.PositiveIntegerField(default=0)
    tokens = models.PositiveIntegerField(default=0)
    is_cut = models.BooleanField(default=False)
    problem = models.CharField(max_length=20, choices=Problem, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return f"{self.media_type}, {self.size} bytes"

    @property
    def note(self) -> str:
        """Returns what people should know about it, in the active language."""
        return (
            gettext("The file is long. Models get the beginning.")
            if self.is_cut
            else self.get_problem_display()
        )

    @property
    def paths(self) -> list[str]:
        """Returns the names of all that the storage has of this file."""
        return [path for path in (self.path, self.thumbnail, self.readable) if path]


class Attachment(models.Model):
    """A file of one person, under its name. `stored` is None while it is uploaded: `size` is what the browser
    announced. `message` is None until the prompt is sent."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="attachments")
    message = models.ForeignKey(
        Message, null=True, blank=True, on_delete=models.CASCADE, related_name="attachments"
    )
    stored = models.ForeignKey(
        StoredFile, null=True, blank=True, on_delete=models.PROTECT, related_name="attachments"
    )
    name = models.CharField(max_length=NAME_LENGTH)
    size = models.PositiveBigIntegerField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        indexes = [
            models.Index(fields=["created_at"], name="chat_unsent_attachments", condition=Q(message=None))
        ]

    def __str__(self) -> str:
        return self.name
