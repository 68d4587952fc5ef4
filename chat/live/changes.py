"""The changes that a viewer receives, as values."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from chat.live.reply_log import Segment, Waiting
from chat.models import Conversation, Message


@dataclass(frozen=True, slots=True)
class ConversationChanged:
    """The messages that changed since `since`, in order; `whole` when the viewer is too far behind or the
    shown path changed, and takes `messages` in place of all it has. `outputs` has the output so far of
    those that are running, by message. The viewer is at `conversation.revision` afterwards."""

    conversation: Conversation
    messages: list[Message]
    outputs: dict[UUID, list[Segment]]
    since: int
    whole: bool


@dataclass(frozen=True, slots=True)
class CommittedChange:
    """What one transaction changed in a conversation, as a query right after it finds it:
    the conversation, and the messages that were added or changed, in order. The conversation's revision
    was `since` before."""

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
    """The reply in this message waits for another attempt; None: it waits no longer."""

    message_id: UUID
    waiting: Waiting | None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Nothing happened for a while, or `Listener.ask` was called: the page needs a heartbeat."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The end of the stream. `reason` is "revoked" (access ended), "gone" (the conversation
    was deleted, or is not this viewer's) or "restart" (the server stops)."""

    reason: str


type Change = ConversationChanged | ReplyGrew | ReplyWaits | Heartbeat | Closed
