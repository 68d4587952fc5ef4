"""The changes for one viewer of a conversation: a snapshot, then each change once, without a gap.

The viewer names the revision that its page shows. Each read fetches newer changes from the database, and the
output of running replies from their logs, from the viewer's position on. First connect, reconnect, another
tab and another process use the same code. Viewers pull: the changes while one is busy become one larger
change, and no queue can grow."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import ExitStack
from typing import NamedTuple
from uuid import UUID

from django.db import DatabaseError
from django.db.models import Q

from chat.access import InactiveError, NotFoundError, conversation_seen_by, messages_seen_by
from chat.database import run_unit
from chat.live.changes import Change, Closed, ConversationChanged, Heartbeat, ReplyGrew, ReplyWaits
from chat.live.hub import Hub
from chat.live.pacing import Pacer
from chat.live.process import process_name
from chat.live.pubsub import PubSub
from chat.live.remote_log import RemoteLogs
from chat.live.reply_log import ReplyLog, RetryWait, Segment
from chat.live.session_monitor import SessionMonitor, Viewer
from chat.models import LIVE, Conversation, Message
from chat.models.message import read_for_showing
from chat.models.prepared import Prepared

PAGE_LENGTH = 50  # messages of a page that is opened
_MOST = PAGE_LENGTH + 1
HEARTBEAT_SECONDS = 15.0
READ_SECONDS = 0.2  # a read of the database that takes longer delays nothing else
RETRY_SECONDS = 2.0  # after a read that failed
EARLY_SECONDS, EARLY_READS = 0.05, 20

logger = logging.getLogger(__name__)


class Subscriptions:
    def __init__(
        self, hub: Hub, pubsub: PubSub, remote_logs: RemoteLogs, session_monitor: SessionMonitor
    ) -> None:
        self.hub, self.pubsub = hub, pubsub
        self.remote_logs, self.session_monitor = remote_logs, session_monitor

    async def subscribe(
        self, viewer: Viewer, conversation_id: UUID, revision: int
    ) -> AsyncGenerator[list[Change]]:
        """Yields changes, at least a heartbeat every 15 s, until `Closed`. Growing replies are in pieces of
        the viewer's style. With an unused id it waits for the conversation. Close it (`aclosing`) to
        unsubscribe."""
        with ExitStack() as stack:
            stack.enter_context(self.session_monitor.guarding(viewer))
            stack.enter_context(self.pubsub.listening(conversation_id, viewer.listener))
            subscription = _Subscription(self, viewer, conversation_id, revision)
            stack.callback(subscription.close)
            sent_at = time.monotonic()
            while True:
                changes = await subscription.changes()
                if changes:
                    yield changes
                    sent_at = time.monotonic()
                if changes and isinstance(changes[-1], Closed):
                    return
                heartbeat_at = sent_at + HEARTBEAT_SECONDS
                until = min((heartbeat_at, *subscription.held_until()))
                woken = await viewer.listener.wait(until - time.monotonic())
                if viewer.listener.asked or (not woken and until == heartbeat_at):
                    viewer.listener.asked = False
                    yield [Heartbeat()]
                    sent_at = time.monotonic()


class _Subscription:
    """The position of one viewer: its revision, and its place in each running reply."""

    def __init__(self, live: Subscriptions, viewer: Viewer, conversation_id: UUID, revision: int) -> None:
        self.live = live
        self.viewer, self.conversation_id, self.revision = viewer, conversation_id, revision
        self.first = True
        self.seen = False
        self.early_reads = 0  # consecutive reads that were too early
        self.replies: dict[UUID, _Reply] = {}  # by message
        self.reading: asyncio.Task[_Found | None] | None = None
        self.known, viewer.known = viewer.known, None
        self.is_known = viewer.is_known and (self.known is None or self.known.revision == revision)
        if not self.is_known:
            viewer.listener.structural = True

    async def changes(self) -> list[Change]:
        if self.viewer.closed:
            return [Closed(self.viewer.closed)]
        changes: list[Change] = []
        try:
            if self._may_read and (found := await self._read()):
                changes += self._apply(found)
        except InactiveError:
            return [Closed("revoked")]
        except NotFoundError:
            return [Closed("gone")]
        changes += [
            ReplyGrew(message_id, segments)
            for message_id, reply in self.replies.items()
            if (segments := reply.paced_output())
        ]
        changes += [
            ReplyWaits(message_id, reply.log.waiting)
            for message_id, reply in self.replies.items()
            if reply.wait_has_changed()
        ]
        return changes

    @property
    def _may_read(self) -> bool:
        """Returns whether `_read` may have anything to do. For most frames of a reply it has not."""
        listener = self.viewer.listener
        return self.is_known or self.reading is not None or listener.structural or bool(listener.committed)

    async def _read(self) -> _Found | None:
        """Returns what a read of the database found, if one is due and done. A slow read continues meanwhile,
        and replies grow without it. Raises `NotFoundError`."""
        listener = self.viewer.listener
        is_known, self.is_known = self.is_known, False
        if is_known and not listener.structural:
            self.first = self.known is not None
            if listener.committed:
                listener.wake()  # what was committed since is shown next
            if self.known is not None:
                return _Found(self.known, [], False)
        if self.reading is None:
            if listener.committed and not listener.structural:
                found = self._from_memory()
                if found is not None or not listener.structural:
                    return found
            if not listener.structural:
                return None
            listener.structural = False
            listener.committed.clear()
            self.reading = asyncio.create_task(
                run_unit(_changed_since, self.viewer.user_id, self.conversation_id, self.revision, self.first)
            )
            await asyncio.wait([self.reading], timeout=READ_SECONDS)
            if not self.reading.done():
                self.reading.add_done_callback(lambda _: listener.wake())
        if not self.reading.done():
            return None
        reading, self.reading = self.reading, None
        if listener.structural or listener.committed:  # the read may have been before these changes
            listener.wake()
        try:
            found = reading.result()
        except DatabaseError as error:
            logger.warning("A conversation could not be read: %s", error)
            asyncio.get_running_loop().call_later(RETRY_SECONDS, lambda: listener.wake(structural=True))
            return None
        if found is None and self.seen:
            raise NotFoundError
        if found is None:
            self.first = False  # nothing runs in a chat that does not exist
        if found is not None and self._is_too_early(found):
            asyncio.get_running_loop().call_later(EARLY_SECONDS, lambda: listener.wake(structural=True))
            return None
        return found

    def _from_memory(self) -> _Found | None:
        """Returns what a read of the database would find, without one, or None if there is nothing new. Asks
        for a read if the changes do not continue what the viewer has."""
        listener, revision = self.viewer.listener, self.revision
        committed, listener.committed = listener.committed, []
        messages: dict[UUID, Message] = {}
        for change in committed:
            if change.conversation.revision <= revision:
                continue
            is_theirs = change.conversation.owner_id == self.viewer.user_id
            if self.first or not is_theirs or change.since != revision:
                listener.structural = True
                return None
            revision = change.conversation.revision
            messages |= {message.pk: message for message in change.messages}
            conversation = change.conversation
        if not messages:
            return None
        found = _Found(conversation, sorted(messages.values(), key=lambda message: message.position), False)
        listener.structural = any(self._lacks_its_log(message) for message in found.messages)
        return None if listener.structural else found

    def _lacks_its_log(self, message: Message) -> bool:
        """Returns whether the log of this running reply must be here and is not: the reply has just ended."""
        reply = message.reply
        return bool(
            reply and reply.is_live and reply.owner == process_name() and reply.pk not in self.live.hub.logs
        )

    def _is_too_early(self, found: _Found) -> bool:
        """Returns whether a reply of this process has no log: it is committed and has not begun, or it has
        ended since. The next read finds out which."""
        if not any(self._lacks_its_log(message) for message in found.messages):
            self.early_reads = 0
            return False
        self.early_reads += 1
        return self.early_reads < EARLY_READS

    def held_until(self) -> list[float]:
        """Returns when held-back text must be sent, in monotonic seconds."""
        return [due for reply in self.replies.values() if (due := reply.pacer.due) is not None]

    def close(self) -> None:
        if self.reading is not None:
            self.reading.cancel()
        self._drop(list(self.replies))

    def _apply(self, found: _Found) -> list[Change]:
        conversation, messages, whole = found
        since, self.revision = self.revision, conversation.revision
        first, self.first, self.seen = self.first, False, True
        if not (messages or whole or first or conversation.revision > since):
            return []
        if whole:
            self._drop(list(self.replies))
        outputs = {}
        for message in messages:
            generation = message.reply
            self._drop([message.pk])
            if generation is None or generation.status not in LIVE:
                continue
            reply = self._open(generation.pk, generation.owner)
            if reply is not None:
                self.replies[message.pk] = reply
                outputs[message.pk] = reply.new_output()
        return [ConversationChanged(conversation, messages, outputs, since, whole)]

    def _open(self, generation_id: UUID, owner: str) -> _Reply | None:
        if not owner:
            return None
        stack = ExitStack()  # closed with the reply
        if owner == process_name():
            log = self.live.hub.logs.get(generation_id)
        else:
            log = stack.enter_context(self.live.remote_logs.watching(generation_id))
        if log is None:
            return None
        stack.enter_context(self.live.pubsub.listening(generation_id, self.viewer.listener))
        return _Reply(log, stack, Pacer(self.viewer.style))

    def _drop(self, message_ids: list[UUID]) -> None:
        for message_id in message_ids:
            if reply := self.replies.pop(message_id, None):
                reply.stack.close()


class _Reply:
    def __init__(self, log: ReplyLog, stack: ExitStack, pacer: Pacer) -> None:
        self.log, self.stack, self.pacer, self.position = log, stack, pacer, 0
        self.waiting: RetryWait | None = None

    def new_output(self) -> list[Segment]:
        segments = self.log.since(self.position)
        self.position = self.log.length
        return segments

    def paced_output(self) -> list[Segment]:
        return self.pacer.release(self.new_output(), time.monotonic())

    def wait_has_changed(self) -> bool:
        """Returns whether the wait state has changed since the last call."""
        before, self.waiting = self.waiting, self.log.waiting
        return before != self.waiting


class _Found(NamedTuple):
    """The conversation, the messages that changed since the viewer's revision (on the first read those that
    are running too), and whether they are to replace all that the viewer has."""

    conversation: Conversation
    messages: list[Message]
    whole: bool


_changes = Prepared(
    lambda user, pk, seen: messages_seen_by(user, pk).filter(revision__gt=seen)[:_MOST], int, UUID, int
)
_first_changes = Prepared(
    lambda user, pk, seen: messages_seen_by(user, pk).filter(
        Q(revision__gt=seen) | Q(generation__status__in=LIVE)
    )[:_MOST],
    int,
    UUID,
    int,
)
_last_page = Prepared(lambda user, pk: messages_seen_by(user, pk).reverse()[:PAGE_LENGTH], int, UUID)


def _changed_since(user_id: int, conversation_id: UUID, revision: int, first: bool) -> _Found | None:
    """None for an id that nobody has used yet. Raises `NotFoundError` for what is not this person's."""
    # It is read before the messages: of what changes in between, its revision does not say that the page
    # has it.
    conversation = conversation_seen_by(user_id, conversation_id)
    if conversation is None:
        return None
    messages = (_first_changes if first else _changes).all(user_id, conversation_id, revision)
    if messages:
        conversation = messages[0].conversation  # as it was with these messages, of one moment
    whole = not conversation.path_revision <= revision <= conversation.revision or len(messages) > PAGE_LENGTH
    if whole:
        messages = _last_page.all(user_id, conversation_id)[::-1]
        conversation = messages[0].conversation if messages else conversation
    read_for_showing(messages)
    return _Found(conversation, messages, whole)
