"""How changes become frames."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from chat.actor import SessionClaim
from chat.database import run_unit
from chat.live import subscription as subscription_module
from chat.live.changes import Change, ConversationChanged, ReplyGrew
from chat.live.reply_log import ReplyLog, Segment
from chat.live.session_monitor import Viewer
from chat.live.subscription import Subscriptions
from chat.models import Conversation, Generation, Message, User
from chat.rendering import code as code_module
from chat.rendering.colours import Colours
from chat.runtime import Runtime
from chat.transports import feed


class Scripted(Subscriptions):
    """Gives each viewer these changes."""

    def __init__(self, *changes: Change) -> None:
        self.changes = changes

    async def subscribe(self, *_: object) -> AsyncGenerator[list[Change]]:
        yield list(self.changes)


async def test_a_revision_is_sent_with_its_change_and_not_with_the_output_after_it(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a client that is disconnected between the two receives the new messages a second time."""
    conversation = Conversation(revision=7)
    grew = ReplyGrew(uuid4(), [Segment("text", "Hello")])

    changed = ConversationChanged(conversation, [], {}, 6, whole=False)
    runtime.subscriptions = Scripted(changed, grew, grew)

    class View:
        uncoloured: list[Any] = []

        def __init__(self, style: str) -> None: ...

        def takes_long(self, changes: list[Any]) -> bool:
            return False

        def render(self, changes: list[Any]) -> list[str]:
            return [type(change).__name__ for change in changes]

    monkeypatch.setattr(feed, "ConversationView", View)
    stream = feed.frames(Viewer(SessionClaim(1, "", "")), conversation.pk, 6, "en")
    assert [(frame.updates, frame.revision) async for frame in stream] == [
        (["ConversationChanged"], 7),
        (["ReplyGrew", "ReplyGrew"], 7),
    ]


@pytest.mark.parametrize("heavy", [True, False])
async def test_what_takes_long_is_rendered_beside_the_event_loop(
    heavy: bool, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime.subscriptions = Scripted(ReplyGrew(uuid4(), [Segment("text", "Hello")]))

    class View:
        uncoloured: list[Any] = []

        def __init__(self, style: str) -> None: ...

        def takes_long(self, changes: list[Any]) -> bool:
            return heavy

        def render(self, changes: list[Any]) -> list[str]:
            return [threading.current_thread().name]

    monkeypatch.setattr(feed, "ConversationView", View)
    (frame,) = [frame async for frame in feed.frames(Viewer(SessionClaim(1, "", "")), uuid4(), 6, "en")]
    assert frame.updates == ["rendering_0" if heavy else threading.current_thread().name]


async def test_a_viewer_over_its_share_delays_no_other(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page of the user over the limit is rendered while the other one is rendered and finished."""
    goes_on, begun = threading.Event(), threading.Event()

    runtime.subscriptions = Scripted(ReplyGrew(uuid4(), [Segment("text", "Hello")]))

    class View:
        uncoloured: list[Any] = []

        def __init__(self, style: str) -> None: ...

        def takes_long(self, changes: list[Any]) -> bool:
            return True

        def render(self, changes: list[Any]) -> list[str]:
            name = threading.current_thread().name
            if "later" in name:
                begun.set()
                assert goes_on.wait(60)
            return [name]

    async def first(person_id: int) -> str:
        async with aclosing(feed.frames(Viewer(SessionClaim(person_id, "", "")), uuid4(), 6, "en")) as stream:
            return (await anext(stream)).updates[0]

    monkeypatch.setattr(feed, "ConversationView", View)
    runtime.rendering_threads.time_of(1).spend(1_000)
    greedy = asyncio.create_task(first(1))
    try:
        await asyncio.to_thread(begun.wait, 60)
        assert await asyncio.wait_for(first(2), 60) == "rendering_0"
        assert not greedy.done()
    finally:
        goes_on.set()
    assert await greedy == "rendering-later_0"


def test_however_many_replies_run_a_viewer_is_at_most_a_tenth_of_a_second_behind(
    runtime: Runtime,
) -> None:
    assert feed.frame_seconds() < 0.05
    runtime.hub.logs = {uuid4(): ReplyLog() for _ in range(300)}
    assert feed.frame_seconds() == feed.MOST_FRAME_SECONDS


# A worker that answers each job with the same colours as soon as a file exists.
COLOURED = '<span class="k">late</span>'
LATE = f"""
import json, os, sys, time
for _ in sys.stdin:
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.01)
    print(json.dumps({COLOURED!r}), flush=True)
"""


@pytest.mark.django_db(transaction=True)
async def test_late_colours_are_shown_without_another_change(
    person: User, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Otherwise the page differs from a fresh one until the next message."""
    colours = Colours(1_000_000)
    colours.program = (sys.executable, "-c", LATE, str(tmp_path / "now"))
    monkeypatch.setattr(code_module, "colours", colours)
    monkeypatch.setattr(feed, "COLOUR_SECONDS", 0)
    monkeypatch.setattr(subscription_module, "HEARTBEAT_SECONDS", 3_600.0)
    conversation = await run_unit(Conversation.objects.create, owner=person, revision=2, path_revision=2)
    message = await run_unit(
        Message.objects.create,
        conversation=conversation,
        position=1,
        role="assistant",
        text=f"```py\nx = '{uuid4()}'\n```\n",
        added_revision=1,
        revision=1,
    )
    await run_unit(Generation.objects.create, conversation=conversation, message=message, status="complete")
    try:
        async with (
            asyncio.timeout(60),
            aclosing(
                feed.frames(Viewer(SessionClaim(person.pk, "", "")), conversation.pk, 0, "en")
            ) as stream,
        ):
            plain = "".join((await anext(stream)).updates)
            following = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0.05)
            (tmp_path / "now").touch()
            while COLOURED not in "".join((await following).updates):
                following = asyncio.ensure_future(anext(stream))
    finally:
        colours.close()
    assert "<code>x = " in plain
