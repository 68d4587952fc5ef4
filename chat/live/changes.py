"""The changes that a viewer receives, as values."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from chat.live.reply_log import RetryWait, Segment
from chat.models import Conversation, Message


@dataclass(frozen=True, slots=True)
class ConversationChanged:
    """The messages that changed after the revision `since`, in order. If `whole` is set, `messages` replace
    all that the viewer has: it is too far behind, or the shown path changed. `outputs` has the output so far
    of running replies, by message. `conversation.revision` is the viewer's revision afterwards."""

    conversation: Conversation
    messages: list[Message]
    outputs: dict[UUID, list[Segment]]
    since: int
    whole: bool


@dataclass(frozen=True, slots=True)
class CommittedChange:
    """The changes of one transaction, as a query right after it would find them: the conversation, whose
    revision was `since` before, and the messages that were added or changed, in order."""

    since: int
    conversation: Conversation
    messages: list[Message]


@dataclass(frozen=True, slots=True)
class ReplyGrew:
    """New output of the reply in this message, right after what the viewer had."""

    message_id: UUID
    segments: list[Segment]


@dataclass(frozen=True, slots=True)
class ReplyWaits:
    """The reply in this message waits for another attempt, or with None not any more."""

    message_id: UUID
    waiting: RetryWait | None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Nothing happened for a while, or `Listener.ask` was called: the page needs a heartbeat."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The end of the stream. `reason` is "revoked" (access ended), "gone" (the conversation
    was deleted, or is not this viewer's) or "restart" (the server stops)."""

    reason: str


type Change = ConversationChanged | ReplyGrew | ReplyWaits | Heartbeat | Closed
