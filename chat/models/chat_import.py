"""An import of chats from a file: a task that survives the end of its process."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chat.models.user import User

NAME_LENGTH = 200
MOST_PROBLEMS = 100  # that are kept


class ChatImport(models.Model):
    """`file` is the name of the uploaded file in the storage. It is deleted at the end.

    First the file is read and its chats are counted; nothing is written. When its owner has agreed, the chats
    are taken one after the other. `next_line` is the number of the first line of `chat.transfer.reader` that
    is not done. `current` is the id of a chat that was begun: a long one takes several transactions, and is
    hidden until it is whole.

    `worker` names the process that works on it. Another one continues when `heartbeat_at` (database time) is
    old.
    """

    class State(models.TextChoices):
        READING = "reading", _("Reading the file")
        READY = "ready", _("Ready to import")
        RUNNING = "running", _("Importing")
        DONE = "done", _("Imported")
        FAILED = "failed", _("Failed")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="imports")
    name = models.CharField(max_length=NAME_LENGTH)
    file = models.CharField(max_length=200, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.READING)
    format = models.CharField(max_length=20, blank=True)
    error = models.CharField(max_length=500, blank=True)

    chats = models.PositiveIntegerField(default=0, help_text="Readable chats in the file.")
    messages = models.PositiveIntegerField(default=0)
    known = models.PositiveIntegerField(default=0, help_text="Chats that were here before.")
    taken = models.PositiveIntegerField(default=0)
    unreadable = models.PositiveIntegerField(default=0)
    problems = models.JSONField(default=list, help_text="`{title, reason}` of unreadable chats.")
    left_out = models.JSONField(default=dict, help_text="How much of each kind is not taken.")
    extras = models.JSONField(
        null=True,
        blank=True,
        help_text="How many folders, presets and saved prompts are in it, or were taken.",
    )
    titles = models.JSONField(default=list, help_text="The first titles in the file.")
    oldest_at = models.DateTimeField(null=True, blank=True)
    newest_at = models.DateTimeField(null=True, blank=True)

    next_line = models.PositiveIntegerField(default=0)
    current = models.UUIDField(null=True, blank=True)
    worker = models.CharField(max_length=64, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["owner"],
                condition=models.Q(state__in=["reading", "ready", "running"]),
                name="one_open_import_per_person",
            )
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.get_state_display()}"

    @property
    def is_open(self) -> bool:
        return self.state in (self.State.READING, self.State.READY, self.State.RUNNING)

    @property
    def new(self) -> int:
        """Returns how many chats would be added."""
        return max(0, self.chats - self.known)

    @property
    def has_new(self) -> bool:
        """Returns whether there may be anything to take. Extras are compared when they are taken."""
        return bool(self.new or self.extras)

    @property
    def done(self) -> int:
        """Returns how many chats of the file are done."""
        return self.taken + self.known
