"""One message. Messages form a tree by `parent`; the page shows the path to the conversation's head.

Positions increase along every path, so the shown messages in order of position *are* the path. Opening a
conversation costs what it shows, not what exists.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

from django.db import models
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from chat.models.conversation import Conversation, shortened
from chat.parts import Citation, FilePart, ReasoningPart, SourcePart, ToolCall, WebSearch, loaded
from chat.sources import Source, sources_of

if TYPE_CHECKING:
    from chat.models.feedback import Feedback
    from chat.models.generation import Generation


class MessageQuerySet(models.QuerySet["Message"]):
    def shown(self) -> MessageQuerySet:
        """Returns the messages shown to the user, in order: the path to the head, with side-by-side replies.
        Each comes with its conversation from the same query, so its revision matches the messages."""
        return self.filter(shown=True).order_by("position").select_related("generation", "conversation")


def side_by_side(messages: Iterable[Message]) -> list[list[Message]]:
    """Groups messages in the order of their positions: the replies to one prompt, and each other message
    alone."""
    groups: list[list[Message]] = []
    for message in messages:
        last = groups[-1][-1] if groups else None
        if last and message.role == last.role == Role.ASSISTANT and message.parent_id == last.parent_id:
            groups[-1].append(message)
        else:
            groups.append([message])
    return groups


class Sibling(NamedTuple):
    """A message with the same parent and role as another one, or that message itself."""

    id: uuid.UUID
    shown: bool


def read_for_showing(messages: Sequence[Message]) -> None:
    """Reads what showing these messages of one conversation needs in addition: ratings and variants, which
    running replies do not show, and the calls of tools of a reply that waits for an approval."""
    waiting = [message.reply for message in messages if message.reply and message.is_live and message.parts]
    if waiting:
        models.prefetch_related_objects(waiting, "tool_runs")
    ended = [message for message in messages if not message.is_live]
    if not ended:
        return
    models.prefetch_related_objects([message for message in ended if message.reply], "feedback")
    is_root = models.Q(conversation=ended[0].conversation_id, parent=None)
    is_below = models.Q(parent__in={message.parent_id for message in ended if message.parent_id})
    has_root = any(message.parent_id is None for message in ended)
    found = Message.objects.filter(is_below | is_root if has_root else is_below, deleted_at=None)
    siblings: dict[object, list[Sibling]] = defaultdict(list)
    rows = found.order_by("position").values_list("parent", "role", "pk", "shown")
    for parent, role, message_id, shown in rows:
        siblings[parent, role].append(Sibling(message_id, shown))
    for message in ended:
        message.siblings = siblings[message.parent_id, message.role]


@dataclass(frozen=True, slots=True)
class Variant:
    """The number of this message among its siblings, from 1, and the ids of those before and after it."""

    number: int
    count: int
    previous: uuid.UUID | None
    next: uuid.UUID | None


class Role(models.TextChoices):
    USER = "user", _("Person")
    ASSISTANT = "assistant", _("Model")


class Message(models.Model):
    """`parts` is the ordered content in its stored form (`chat.parts`). `text` is its visible text, which
    search reads. Both are empty while the reply runs: until its end the journal is the record. While it waits
    for an approval they have what there is so far.

    `client_id` is the sender's own id of a prompt, or of a retry: sending it again returns the same message.
    Two users may choose the same id. `position` orders the messages of a conversation. `deletion` is the same
    for all messages that were deleted together. `is_indexed` is None until the search index has the text, and
    set by `chat.search` alone: a background task indexes what another writer stored.
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
    is_indexed = models.BooleanField(null=True, editable=False)

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
            models.Index(
                fields=["created_at"],
                name="chat_message_not_indexed",
                condition=models.Q(is_indexed__isnull=True),
            ),
            models.Index(
                fields=["deleted_at"],
                name="chat_message_deleted",
                condition=models.Q(deleted_at__isnull=False),
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
    def is_growing(self) -> bool:
        """Returns whether the journal shows it, and not its parts: the reply runs or has not begun."""
        reply = self.reply
        if reply is None:
            return False
        return reply.status == "running" or (reply.status == "queued" and not self.parts)

    @property
    def can_continue(self) -> bool:
        """Returns whether the reply has something to go on from."""
        return bool(self.text.strip()) or any(item["type"] == "tool_result" for item in self.parts)

    @property
    def has_tool_calls(self) -> bool:
        """Returns whether the reply called tools."""
        return any(item["type"] == "tool_call" for item in self.parts)

    @property
    def has_cards(self) -> bool:
        """Returns whether the reply called tools, or its provider searched the web."""
        return any(item["type"] in ("tool_call", "web_search") for item in self.parts)

    @property
    def has_steps(self) -> bool:
        """Returns whether its text alone is not its output: calls of tools, searches or citations."""
        return self.has_cards or bool(self.citations)

    @property
    def citations(self) -> list[Citation]:
        """Returns what the reply cites, in order."""
        items = [item for item in self.parts if item["type"] == "citation"]
        return [part for part in loaded(items) if isinstance(part, Citation)]

    @property
    def cited_pages(self) -> list[Source]:
        """Returns the pages that the reply cites."""
        return sources_of(self.citations)

    @property
    def verdict(self) -> Feedback | None:
        """Returns the user's rating."""
        read: Iterable[Feedback] | None = getattr(self, "_prefetched_objects_cache", {}).get("feedback")
        return next(iter(self.feedback.all() if read is None else read), None)

    @cached_property
    def siblings(self) -> list[Sibling]:
        """Returns the messages with the same parent and role that are not deleted, in order, with this one.
        `read_for_showing` reads them for many messages at once."""
        found = Message.objects.filter(
            conversation=self.conversation_id, parent=self.parent_id, role=self.role, deleted_at=None
        )
        return [Sibling(*row) for row in found.order_by("position").values_list("pk", "shown")]

    @property
    def is_beside(self) -> bool:
        """Returns whether another reply to the same prompt is shown beside this one."""
        return any(sibling.shown for sibling in self.siblings if sibling.id != self.pk)

    @property
    def variant(self) -> Variant | None:
        """Returns the place of this message among its variants: the edited forms of a prompt, or the replies
        to one prompt. None if it is the only one, or while another one is shown side by side."""
        ids = [sibling.id for sibling in self.siblings]
        if len(ids) < 2 or self.pk not in ids:  # it was erased since it was read
            return None
        if self.is_beside:
            return None
        at = ids.index(self.pk)
        return Variant(at + 1, len(ids), ids[at - 1] if at else None, next(iter(ids[at + 1 :]), None))

    @property
    def first_words(self) -> str:
        """Returns the title of a chat that begins with this prompt: its first words, or the name of its first
        file."""
        return shortened(self.text or next((file.name for file in self.files), ""))

    @property
    def files(self) -> list[FilePart]:
        """Returns the files of the message."""
        items = [item for item in self.parts if item["type"] == "file"]
        return [part for part in loaded(items) if isinstance(part, FilePart)]

    @property
    def sources(self) -> list[SourcePart]:
        """Returns what the model of a reply got of the files of the folder or preset."""
        items = [item for item in self.parts if item["type"] == "source"]
        return [part for part in loaded(items) if isinstance(part, SourcePart)]

    @property
    def notices(self) -> list[tuple[str, str]]:
        """Returns what people are told about the content: an English sentence, and the names that follow
        it."""
        texts = [item["text"].split("\n") for item in self.parts if item["type"] == "notice"]
        return [(sentence, ", ".join(names)) for sentence, *names in texts]

    @property
    def reasoning(self) -> str:
        """Returns the readable reasoning of a finished reply, before its first card."""
        before = takewhile(lambda part: not isinstance(part, ToolCall | WebSearch), loaded(self.parts))
        return "".join(part.text for part in before if isinstance(part, ReasoningPart))
