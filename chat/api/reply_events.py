"""The events of replies from a position on: what is stored or running, in this process or another one.

Built on the same subscription as the page, so access, restarts and lost messages are handled as there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing
from typing import Any
from uuid import UUID

from django.utils import timezone
from django.utils.translation import gettext

from chat.access import replies_for
from chat.api import events
from chat.api.events import HEARTBEAT, Event
from chat.api.output import Output, Piece, Shaper
from chat.api.resources import asking_json, asking_tool_calls
from chat.database import run_unit
from chat.live.buffering import parsed_buffer
from chat.live.changes import Change, Closed, ConversationChanged, Heartbeat, ReplyGrew, ReplyWaits
from chat.live.reply_log import Segment
from chat.live.session_monitor import Viewer
from chat.models import Generation, Message, Status, ToolRun, User
from chat.parts import loaded
from chat.pipeline.tokens import estimate_tokens
from chat.runtime import current

USAGE_SECONDS = 1.0  # between two counts of tokens


async def reply_events(
    viewer: Viewer, user: User, replies: Sequence[Message], after: Sequence[int], buffer: str
) -> AsyncGenerator[Event]:
    """Yields the events of these replies of one conversation, each from its position in `after` on. Ends
    after the `done` of the last one, or after an `error` without a reply. Raises `DatabaseError`, and
    `NotFoundError` if a reply is deleted meanwhile."""
    states = {
        reply.pk: _Reply(reply, position, buffer) for reply, position in zip(replies, after, strict=True)
    }
    for reply in replies:
        for event in states[reply.pk].begin(reply):
            yield event
    pending = {pk: reply for pk, reply in states.items() if not reply.has_ended}
    if not pending:
        return
    conversation = replies[0].conversation
    holds_for_a_time = parsed_buffer(buffer)[1] is not None
    subscribe = current().subscriptions.subscribe
    async with (
        aclosing(subscribe(viewer, conversation.pk, conversation.revision)) as stream,
        # A timer costs a task for each batch: only where text is held for a time.
        aclosing(_timed(stream, pending) if holds_for_a_time else stream) as batches,
    ):
        async for batch in batches:
            for change in batch:
                for event in _events_of(change, pending):
                    yield event
                if isinstance(change, Closed):
                    return
                if isinstance(change, ConversationChanged) and pending.keys() - change.outputs.keys():
                    for event in await _events_of_rows(user, pending):
                        yield event
            for event in _due(pending):
                yield event
            for pk in [pk for pk, reply in pending.items() if reply.has_ended]:
                del pending[pk]
            if not pending:
                return


class _Reply:
    """The place of the stream in one reply."""

    def __init__(self, message: Message, position: int, buffer: str) -> None:
        self.id = message.pk
        self._queued_at = message.generation.queued_at
        self._output = Output(position)
        self._shaper = Shaper(buffer, position)
        self._position = position
        self._is_new = position == 0
        self._tokens, self._counted_at = 0, time.monotonic()
        self._asked: list[dict[str, Any]] = []  # the calls that wait for a decision, as sent
        self.due: float | None = None  # when the held text must be sent, in monotonic time
        self.has_ended = False

    def begin(self, message: Message) -> Iterator[Event]:
        yield events.started(message, self._position)
        yield from self.update(message)

    def update(self, message: Message) -> Iterator[Event]:
        """Takes the row: the end, if the reply has ended."""
        if message.generation.is_live or self.has_ended:
            return
        self.has_ended = True
        yield from self._sent(self._output.feed_parts(loaded(message.parts)), ended=message.generation)
        # Less than was sent if the process was killed: the client drops what lies behind.
        yield from events.ended(message, self._output.length)

    def update_waiting(self, message: Message, asked: list[dict[str, Any]]) -> Iterator[Event]:
        """Takes the row of a reply that waits for decisions on the calls `asked`: no process has its
        log."""
        if message.generation.status != Status.WAITING or self.has_ended:
            return
        yield from self._sent(self._output.feed_parts(loaded(message.parts)))
        yield from self.flush()
        if asked != self._asked:
            self._asked = asked
            yield events.approval_needed(asked, self._position, self.id)

    def take(self, segments: Iterable[Segment], *, whole: bool) -> Iterator[Event]:
        if whole:
            self._output.restart()
        yield from self._sent(self._output.feed(segments))

    def retry(self, change: ReplyWaits) -> Iterator[Event]:
        if change.waiting is not None:
            yield events.retrying(change.waiting, self._position, self.id)

    def flush(self) -> Iterator[Event]:
        self.due = None
        yield from map(self._event, self._shaper.flush())

    def _sent(self, pieces: Iterable[Piece], *, ended: Generation | None = None) -> Iterator[Event]:
        for piece in pieces:
            if self._is_new:
                self._is_new = False
                first = (ended.first_token_at if ended else None) or timezone.now()
                seconds = max(0.0, (first - self._queued_at).total_seconds())
                data = {"kind": "first_token", "seconds": round(seconds, 3)}
                yield Event("metadata", self._position, data, self.id)
            self._tokens += estimate_tokens(piece.text)
            yield from map(self._event, self._shaper.take(piece))
        if ended is not None:
            yield from self.flush()
            return
        if self._shaper.hold is not None and self._shaper.is_holding and self.due is None:
            self.due = time.monotonic() + self._shaper.hold
        if time.monotonic() - self._counted_at >= USAGE_SECONDS:
            self._counted_at = time.monotonic()
            data = {"kind": "usage", "output_tokens": self._tokens, "estimated": True}
            yield Event("metadata", self._position, data, self.id)

    def _event(self, piece: Piece) -> Event:
        self._position = piece.end
        return events.of_piece(piece, self._shaper.type, self.id)


def _events_of(change: Change, pending: dict[UUID, _Reply]) -> Iterator[Event]:
    match change:
        case ConversationChanged():
            for pk, segments in change.outputs.items():
                if pk in pending:
                    yield from pending[pk].take(segments, whole=True)
        case ReplyGrew(pk, segments) if pk in pending:
            yield from pending[pk].take(segments, whole=False)
        case ReplyWaits(pk) if pk in pending:
            yield from pending[pk].retry(change)
        case Heartbeat():
            yield HEARTBEAT
        case Closed(reason):
            yield _closed(reason)


async def _events_of_rows(user: User, pending: dict[UUID, _Reply]) -> list[Event]:
    """Reads the replies: they have ended, wait, or are not shown any more."""

    def read() -> tuple[list[Message], list[ToolRun]]:
        rows = replies_for(user, list(pending))
        waiting = [row.generation.pk for row in rows if row.generation.status == Status.WAITING]
        return rows, asking_tool_calls(waiting) if waiting else []

    rows, calls = await run_unit(read)
    found: list[Event] = []
    for row in rows:
        asked = [call for call in calls if call.generation_id == row.generation.pk]
        found += pending[row.pk].update(row)
        found += pending[row.pk].update_waiting(row, asking_json(asked))
    return found


def _due(pending: dict[UUID, _Reply]) -> Iterator[Event]:
    now = time.monotonic()
    for reply in pending.values():
        if reply.due is not None and reply.due <= now:
            yield from reply.flush()


def _closed(reason: str) -> Event:
    match reason:
        case "revoked":
            words = gettext("The token was revoked or has expired.")
            return events.stream_error("unauthenticated", words, recoverable=False)
        case "gone":
            return events.stream_error("not_found", gettext("The chat was deleted."), recoverable=False)
        case _:
            words = gettext("The server is stopping. Resume after the last event that you have.")
            return events.stream_error("restart", words, recoverable=True)


async def _timed(
    stream: AsyncGenerator[list[Change]], pending: dict[UUID, _Reply]
) -> AsyncGenerator[list[Change]]:
    """Yields the batches of `stream`, and an empty one whenever held text is due."""
    waiting: asyncio.Task[list[Change]] | None = None
    try:
        while True:
            waiting = waiting or asyncio.ensure_future(anext(stream))
            due = [reply.due for reply in pending.values() if reply.due is not None]
            timeout = max(0.0, min(due) - time.monotonic()) if due else None
            await asyncio.wait([waiting], timeout=timeout)
            if not waiting.done():
                yield []
                continue
            batch, waiting = waiting, None
            try:
                changes = batch.result()
            except StopAsyncIteration:
                return
            yield changes
    finally:
        if waiting is not None:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
