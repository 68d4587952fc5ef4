"""What both transports send: one viewer's page as a paced stream of HTML frames."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.utils.translation import get_supported_language_variant, override

from chat.live.changes import Change, Closed, Quiet, ReplyGrew, ThreadChanged
from chat.live.follow import follow
from chat.live.hub import hub
from chat.live.sentinel import Viewer
from chat.rendering.thread import ThreadView

# The first change goes at once; then all that came meanwhile, this often, and less often the more replies run
# here: a frame costs about as much as two tokens, and nobody reads ten times a second.
FRAME_SECONDS = 0.04
FRAME_SECONDS_PER_REPLY, MOST_FRAME_SECONDS = 0.0003, 0.1

# Few, since they take turns with the event loop: each more makes it wait for its turn longer.
_RENDERING = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rendering")


@dataclass(frozen=True, slots=True)
class Frame:
    """`steps` are HTML texts to be swapped one after the other; none is a sign of life. `version` is where
    the page is after the last of them, and not before. `closed` says why nothing will follow."""

    steps: list[str]
    version: int
    closed: str = ""


def known_language(code: str) -> str:
    """The page's language if Steady speaks it, else the default."""
    try:
        return get_supported_language_variant(code)
    except LookupError:
        return settings.LANGUAGE_CODE


async def frames(viewer: Viewer, conversation_id: UUID, version: int, language: str) -> AsyncGenerator[Frame]:
    """Frames from the page's `version` on, in the page's language, until closed. It is pulled: what happens
    while the client is slow becomes one larger frame."""
    view = ThreadView()
    async with aclosing(follow(viewer, conversation_id, version)) as stream:
        async for changes in stream:
            sent_at = time.monotonic()
            for part in _parts(changes):
                if isinstance(part[0], ThreadChanged):
                    version = part[0].conversation.version
                steps = await _rendered(view, part, language)
                last = part[-1]
                if isinstance(last, Closed):
                    yield Frame(steps, version, last.reason)
                elif steps or isinstance(last, Quiet):
                    yield Frame(steps, version)
            # Only growth is paced: the first word after the frames of a new reply goes at once.
            if isinstance(changes[-1], ReplyGrew):
                await asyncio.sleep(max(0.0, frame_seconds() - (time.monotonic() - sent_at)))


def frame_seconds() -> float:
    """How far apart the frames to one viewer are now, in seconds."""
    return min(MOST_FRAME_SECONDS, FRAME_SECONDS + FRAME_SECONDS_PER_REPLY * len(hub.logs))


def _parts(changes: list[Change]) -> list[list[Change]]:
    """A change of the thread stands alone: whoever is cut off after the output that follows it must not come
    back with the version from before it."""
    parts: list[list[Change]] = []
    for change in changes:
        if not parts or isinstance(change, ThreadChanged) or isinstance(parts[-1][0], ThreadChanged):
            parts.append([])
        parts[-1].append(change)
    return parts


async def _rendered(view: ThreadView, changes: list[Change], language: str) -> list[str]:
    """On the event loop what is light, beside it what is not."""
    if view.takes_long(changes):
        return await asyncio.get_running_loop().run_in_executor(_RENDERING, _render, view, changes, language)
    return _render(view, changes, language)


def _render(view: ThreadView, changes: list[Change], language: str) -> list[str]:
    with override(language):
        return view.render(changes)
