"""The production of one reply: its state, lease, timings, usage and cost."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import models
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chat.models.catalog import ChatModel
from chat.models.conversation import Conversation
from chat.models.message import Message


class Status(models.TextChoices):
    QUEUED = "queued", _("Waiting to start")
    RUNNING = "running", _("Answering")
    WAITING = "waiting", _("Waiting for approval")
    COMPLETE = "complete", _("Complete")
    LENGTH = "length", _("Cut off at the length limit")
    STOPPED = "stopped", _("Stopped")
    INTERRUPTED = "interrupted", _("Interrupted")
    FAILED = "failed", _("Failed")
    REFUSED = "refused", _("Refused")


LIVE = (Status.QUEUED, Status.RUNNING, Status.WAITING)  # it has not ended


class GenerationQuerySet(models.QuerySet["Generation"]):
    def live(self) -> GenerationQuerySet:
        return self.filter(status__in=LIVE)

    def made_here(self) -> GenerationQuerySet:
        """Returns the replies without the imported ones, which have one time for all."""
        return self.exclude(queued_at=F("finished_at"))


class Generation(models.Model):
    """`owner` names the process that holds the lease, and `heartbeat_at` (database time) keeps the lease
    valid. Every write of the owner is conditional on still being the owner, so a late write changes nothing.

    `batch` is the same for all replies that one prompt asked for together. `sent_from` is the position of the
    first message that was sent to the model; `summary` was sent for those before it. `input_estimate` is our
    estimate of the tokens of all that were sent. All are None until they are known. Usage and cost are the
    sums of all steps.

    `parameters` are those of the chat when the reply was asked for, and from its end on those that it was
    made with. Defaults of the model are not among them.

    A generation that waits for the approval of a tool call has no owner and needs no process. Its journal and
    its message have the output so far. The decision queues it again.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="generations")
    message = models.OneToOneField(Message, on_delete=models.CASCADE, related_name="generation")
    continues = models.ForeignKey(
        Message, null=True, blank=True, on_delete=models.SET_NULL, related_name="continuations"
    )
    model = models.ForeignKey(ChatModel, null=True, on_delete=models.SET_NULL, related_name="generations")
    model_label = models.CharField(max_length=200, help_text="The model's name at the time.")
    status = models.CharField(max_length=12, choices=Status, default=Status.QUEUED)

    batch = models.UUIDField(null=True, blank=True)
    owner = models.CharField(max_length=64, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    stop_requested = models.BooleanField(default=False)
    queued_by_endpoint = models.BooleanField(
        default=False,
        db_default=False,
        db_column="in_line",  # as processes of an earlier version name it
        help_text="When it was sent, it had to wait for its endpoint.",
    )

    queued_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    first_token_at = models.DateTimeField(null=True, blank=True)
    first_text_at = models.DateTimeField(null=True, blank=True, help_text="When the reasoning was over.")
    finished_at = models.DateTimeField(null=True, blank=True)

    sent_from = models.PositiveIntegerField(null=True, blank=True)
    summary = models.ForeignKey(
        "chat.Summary",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_constraint=False,
    )
    input_estimate = models.PositiveIntegerField(null=True, blank=True)
    input_tokens = models.PositiveIntegerField(null=True, blank=True)
    output_tokens = models.PositiveIntegerField(null=True, blank=True)
    cached_input_tokens = models.PositiveIntegerField(default=0)
    reasoning_tokens = models.PositiveIntegerField(default=0)
    searches = models.PositiveIntegerField(default=0, db_default=0, help_text="Of the web.")
    usage_estimated = models.BooleanField(default=False)
    cost = models.DecimalField(max_digits=14, decimal_places=8, null=True, blank=True)

    parameters = models.JSONField(null=True, blank=True)
    fell_back_from = models.CharField(
        max_length=200, blank=True, default="", db_default="", help_text="The model that failed first."
    )
    finish_reason = models.CharField(max_length=100, blank=True, help_text="The provider's own word.")
    error_code = models.CharField(max_length=40, blank=True)
    error_message = models.CharField(max_length=500, blank=True)
    error_detail = models.CharField(
        max_length=500,
        blank=True,
        db_default="",
        help_text="The provider's own sentence, for administrators.",
    )

    objects = GenerationQuerySet.as_manager()

    class Meta:
        ordering = ["queued_at"]
        indexes = [
            models.Index(fields=["status", "heartbeat_at"]),
            models.Index(fields=["conversation", "status"]),
            models.Index(fields=["finished_at"]),  # the last day, on the start page of the administration
        ]

    def __str__(self) -> str:
        return f"{self.model_label}: {self.get_status_display()}"

    @property
    def is_live(self) -> bool:
        return self.status in LIVE

    @property
    def written_so_far(self) -> str:
        """Returns the visible text of a running reply, as far as the journal has it."""
        return "".join(
            text for entry in self.journal.all() for kind, text in entry.segments if kind == "text"
        )

    @property
    def seconds_queued(self) -> float | None:
        if self.started_at is None:
            return None
        return (self.started_at - self.queued_at).total_seconds()

    @property
    def seconds_to_first_token(self) -> float | None:
        if self.first_token_at is None or self.started_at is None:
            return None
        return (self.first_token_at - self.started_at).total_seconds()

    @property
    def ended_at(self) -> datetime | None:
        """Returns the end time. None while the generation runs, and if its process ended early: recovery
        knows neither the end nor the time of the first token."""
        was_swept = self.error_code == "server_stopped" and self.first_token_at is None
        return None if was_swept else self.finished_at

    @property
    def seconds_of_thought(self) -> float | None:
        """Returns the time from the start to the first word of the answer, or to the end if there was
        none."""
        until = self.first_text_at or self.ended_at
        if until is None or self.started_at is None:
            return None
        return (until - self.started_at).total_seconds()

    @property
    def seconds(self) -> float | None:
        """Returns the time from the start to the end; None while it runs, if it never started, or if its end
        is unknown."""
        if self.ended_at is None or self.started_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds()

    @property
    def tokens_per_second(self) -> float | None:
        """Returns output tokens per second, from the first token to the end."""
        if not self.output_tokens or self.first_token_at is None or self.ended_at is None:
            return None
        seconds = (self.ended_at - self.first_token_at).total_seconds()
        return self.output_tokens / seconds if seconds > 0 else None
