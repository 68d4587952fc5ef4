"""One viewer's page as a paced stream of HTML frames, for both transports."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.utils.translation import get_language, get_supported_language_variant, override

from chat.live.changes import Change, Closed, ConversationChanged, Heartbeat, ReplyGrew
from chat.live.pacing import STYLES
from chat.live.session_monitor import Viewer
from chat.rendering.colours import PendingColours, rendering_for, wait_for_colours
from chat.rendering.conversation import ConversationView
from chat.runtime import current

# The shortest time between two frames of growth to one viewer. It is longer if more replies run here: a frame
# costs about as much as two tokens, and nobody reads ten times a second. It is shorter than the interval at
# which providers are read (`chat.providers.paced_reading`), so a frame usually follows its output at once.
FRAME_SECONDS = 0.03
FRAME_SECONDS_PER_REPLY, MOST_FRAME_SECONDS = 0.0009, 0.09

COLOUR_SECONDS = 0.5  # limit of a viewer's stream for the colours of a finished message

SLOW_FRAME_SECONDS = 0.5  # of a user whose pages took more than their time for rendering


class Frame(NamedTuple):
    """`updates` are HTML texts to be swapped one after the other; an empty list is a heartbeat. `revision` is
    the page's revision after the last of them. `closed` is the reason why no further frame follows."""

    updates: list[str]
    revision: int
    closed: str = ""


def known_language(code: str) -> str:
    """Returns the page's language if Steady has it, else the default."""
    try:
        return get_supported_language_variant(code)
    except LookupError:
        return settings.LANGUAGE_CODE


async def frames(
    viewer: Viewer, conversation_id: UUID, revision: int, language: str
) -> AsyncGenerator[Frame]:
    """Yields frames from the page's `revision` on, in the page's language, until the feed is closed. The
    client pulls: changes that happen while it is slow become one larger frame."""
    view = ConversationView(STYLES.get(viewer.style, "none"))
    lock = current().rendering_threads.lock(conversation_id)
    late: set[PendingColours] = set()
    changes_of = current().subscriptions.subscribe
    async with aclosing(changes_of(viewer, conversation_id, revision)) as stream:
        async for changes in stream:
            for part in _parts(changes):
                if _is_known(part[0], revision):
                    yield Frame([], revision)  # the sign that it is connected
                    continue
                if isinstance(part[0], ConversationChanged):
                    revision = part[0].conversation.revision
                if lock.locked() or view.takes_long(part):
                    updates = await _rendered(view, part, language, viewer.user_id, lock)
                else:
                    updates = _render(view, part, language, viewer.user_id, time.perf_counter)
                last = part[-1]
                if isinstance(last, Closed):
                    yield Frame(updates, revision, last.reason)
                elif updates or isinstance(last, Heartbeat):
                    yield Frame(updates, revision)
            if uncoloured := view.uncoloured:
                seconds = COLOUR_SECONDS if isinstance(changes[0], ConversationChanged) else 0
                if await wait_for_colours(uncoloured, seconds):
                    async with lock:
                        updates = _recoloured(view, language, viewer.user_id)
                    if updates:
                        yield Frame(updates, revision)
                late = _wake_when_coloured(late, view.uncoloured, viewer)
            # Only growth is paced: the first word after the frames of a new reply is sent at once.
            if isinstance(changes[-1], ReplyGrew):
                current().metrics.frame_sent(viewer.listener.woken_at)
                is_exceeded = current().rendering_threads.time_of(viewer.user_id).is_exceeded
                period = SLOW_FRAME_SECONDS if is_exceeded else frame_seconds()
                viewer.listener.rests_until = time.monotonic() + period


def _wake_when_coloured(
    known: set[PendingColours], pending: list[PendingColours], viewer: Viewer
) -> set[PendingColours]:
    """Wakes the viewer's stream when each of the `pending` colours that are not `known` is available. Returns
    all of them."""
    loop = asyncio.get_running_loop()

    def ask(_: object) -> None:  # on the thread of the colours
        if not loop.is_closed():
            loop.call_soon_threadsafe(viewer.listener.ask)

    late = set(pending)
    for each in late - known:
        each.add_done_callback(ask)
    return late


def frame_seconds() -> float:
    """Returns the present interval between the frames to one viewer, in seconds."""
    return min(MOST_FRAME_SECONDS, FRAME_SECONDS + FRAME_SECONDS_PER_REPLY * len(current().hub.logs))


def _is_known(change: Change, revision: int) -> bool:
    """Returns whether a page that shows this revision has all of the change: it is a reconnect."""
    return (
        isinstance(change, ConversationChanged)
        and change.conversation.revision == revision
        and not (change.messages or change.whole)
    )


def _parts(changes: list[Change]) -> list[list[Change]]:
    """Splits the changes. A structural change is sent alone: a client that is disconnected after the
    following output must not reconnect with the revision before the change."""
    if len(changes) == 1:
        return [changes]
    parts: list[list[Change]] = []
    for change in changes:
        if (
            not parts
            or isinstance(change, ConversationChanged)
            or isinstance(parts[-1][0], ConversationChanged)
        ):
            parts.append([])
        parts[-1].append(change)
    return parts


async def _rendered(
    view: ConversationView, changes: list[Change], language: str, user_id: int, lock: asyncio.Lock
) -> list[str]:
    """Renders light changes on the event loop and heavy ones on a thread, when the lock is free."""
    async with lock:
        if not view.takes_long(changes):
            return _render(view, changes, language, user_id, time.perf_counter)
        return await current().rendering_threads.run(
            user_id, _render, view, changes, language, user_id, time.thread_time
        )


def _render(
    view: ConversationView,
    changes: list[Change],
    language: str,
    user_id: int,
    clock: Callable[[], float],
) -> list[str]:
    """Renders the changes and charges the time to the user. `clock` is that of the thread's CPU where threads
    take turns. Light changes do not use it: reading it is a system call."""
    started = clock()
    try:
        with rendering_for(user_id, waits=False):
            if get_language() == language:  # as in the task of a page; `override` costs a fifth of a frame
                return view.render(changes)
            with override(language):
                return view.render(changes)
    finally:
        current().rendering_threads.time_of(user_id).spend(clock() - started)


def _recoloured(view: ConversationView, language: str, user_id: int) -> list[str]:
    with override(language), rendering_for(user_id, waits=False):
        return view.recolour()
