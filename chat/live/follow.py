"""One viewer's way through a conversation: a snapshot, then what changed, without a gap and nothing twice.

The viewer says which version its page shows. Every look takes what changed since from the database and
the output of running replies from their logs, each from the character where the viewer is. First
connect, reconnect, another tab and another process are the same path. Pulled, not pushed: what happens
while the viewer is busy is one larger change afterwards, and no queue can grow.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import ExitStack
from uuid import UUID

from django.db.models import Q

from chat.access import NotFoundError, conversation_seen_by
from chat.database import run_unit
from chat.live.changes import Change, Closed, Quiet, ReplyGrew, ThreadChanged
from chat.live.hub import hub
from chat.live.process import PROCESS_NAME
from chat.live.replica import replicas
from chat.live.reply_log import ReplyLog, Segment
from chat.live.sentinel import Viewer, sentinel
from chat.models import LIVE, Conversation, Message

PAGE_LENGTH = 50  # messages that a page opens with
QUIET_SECONDS = 15.0


async def follow(viewer: Viewer, conversation_id: UUID, version: int) -> AsyncGenerator[list[Change]]:
    """Yields what changed, at least each 15 s; ends after `Closed`. An id that nobody has used yet is
    waited for. Close it (`aclosing`) to stop watching."""
    with ExitStack() as stack:
        stack.enter_context(sentinel.guarding(viewer))
        stack.enter_context(hub.watching(conversation_id, viewer.watcher))
        thread = _Thread(viewer, conversation_id, version, stack)
        while True:
            changes = await thread.changes()
            if changes:
                yield changes
            if changes and isinstance(changes[-1], Closed):
                return
            if not await viewer.watcher.wait(QUIET_SECONDS):
                yield [Quiet()]


class _Thread:
    """Where one viewer is: the version, and the position in each running reply."""

    def __init__(self, viewer: Viewer, conversation_id: UUID, version: int, stack: ExitStack) -> None:
        self.viewer, self.conversation_id, self.version = viewer, conversation_id, version
        self.stack = stack
        self.first = True
        self.seen = False
        self.replies: dict[UUID, _Reply] = {}  # by message

    async def changes(self) -> list[Change]:
        if self.viewer.closed:
            return [Closed(self.viewer.closed)]
        changes: list[Change] = []
        if self.viewer.watcher.structural:
            self.viewer.watcher.structural = False
            try:
                found = await run_unit(
                    _look, self.viewer.user_id, self.conversation_id, self.version, self.first
                )
            except NotFoundError:
                return [Closed("gone")]
            if found is None and self.seen:
                return [Closed("gone")]
            if found is not None:
                changes += self._take(*found)
        changes += [
            ReplyGrew(message_id, segments)
            for message_id, reply in self.replies.items()
            if (segments := reply.news())
        ]
        return changes

    def _take(self, conversation: Conversation, messages: list[Message], whole: bool) -> list[Change]:
        since, self.version = self.version, conversation.version
        first, self.first, self.seen = self.first, False, True
        if not (messages or whole or first or conversation.version > since):
            return []
        if whole:
            self._drop(list(self.replies))
        outputs = {}
        for message in list(messages):
            generation = getattr(message, "generation", None)
            self._drop([message.pk])
            if generation is None or generation.status not in LIVE:
                continue
            reply = self._open(generation.pk, generation.owner)
            if reply is not None:
                self.replies[message.pk] = reply
                outputs[message.pk] = reply.news()
            elif generation.owner == PROCESS_NAME and not whole:
                messages.remove(message)  # it ended since we looked: its end is the next thing we hear of
        return [ThreadChanged(conversation, messages, outputs, since, whole)]

    def _open(self, reply_id: UUID, owner: str) -> _Reply | None:
        if not owner:
            return None
        stack = self.stack.enter_context(ExitStack())
        if owner == PROCESS_NAME:
            log = hub.logs.get(reply_id)
        else:
            log = stack.enter_context(replicas.watching(reply_id))
        if log is None:
            return None
        stack.enter_context(hub.watching(reply_id, self.viewer.watcher))
        return _Reply(log, stack)

    def _drop(self, message_ids: list[UUID]) -> None:
        for message_id in message_ids:
            if reply := self.replies.pop(message_id, None):
                reply.stack.close()


class _Reply:
    def __init__(self, log: ReplyLog, stack: ExitStack) -> None:
        self.log, self.stack, self.position = log, stack, 0

    def news(self) -> list[Segment]:
        segments = self.log.since(self.position)
        self.position = self.log.length
        return segments


def _look(
    user_id: int, conversation_id: UUID, version: int, first: bool
) -> tuple[Conversation, list[Message], bool] | None:
    """The conversation, the messages that changed since `version` (and on the first look those that are
    running), and whether they are to replace all; None for an id that nobody has used yet. Raises
    `NotFoundError` for what is not this person's."""
    conversation = conversation_seen_by(user_id, conversation_id)
    if conversation is None:
        return None
    shown = conversation.messages.shown()
    if version >= conversation.path_version and version <= conversation.version:
        news = Q(version__gt=version)
        if first:
            news |= Q(generation__status__in=LIVE)
        messages = list(shown.filter(news)[: PAGE_LENGTH + 1])
        if len(messages) <= PAGE_LENGTH:
            return conversation, messages, False
    return conversation, list(reversed(shown.reverse()[:PAGE_LENGTH])), True
