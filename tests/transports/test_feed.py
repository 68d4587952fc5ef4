"""How changes become frames."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator
from typing import Any
from uuid import uuid4

import pytest

from chat.live.changes import Change, ReplyGrew, ThreadChanged
from chat.live.reply_log import Segment
from chat.live.sentinel import Viewer
from chat.models import Conversation
from chat.transports import feed


async def test_a_version_is_given_out_with_its_change_and_not_with_the_output_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else whoever is cut off between the two is sent the new messages a second time."""
    conversation = Conversation(version=7)
    grew = ReplyGrew(uuid4(), [Segment("text", "Hello")])

    async def follow(*_: object) -> AsyncGenerator[list[Change]]:
        yield [ThreadChanged(conversation, [], {}, 6, whole=False), grew, grew]

    class View:
        uncoloured: list[Any] = []

        def __init__(self, style: str) -> None: ...

        def takes_long(self, changes: list[Any]) -> bool:
            return False

        def render(self, changes: list[Any]) -> list[str]:
            return [type(change).__name__ for change in changes]

    monkeypatch.setattr(feed, "follow", follow)
    monkeypatch.setattr(feed, "ThreadView", View)
    stream = feed.frames(Viewer(1, "", ""), conversation.pk, 6, "en")
    assert [(frame.steps, frame.version) async for frame in stream] == [
        (["ThreadChanged"], 7),
        (["ReplyGrew", "ReplyGrew"], 7),
    ]


@pytest.mark.parametrize("heavy", [True, False])
async def test_what_takes_long_is_rendered_beside_the_event_loop(
    heavy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def follow(*_: object) -> AsyncGenerator[list[Change]]:
        yield [ReplyGrew(uuid4(), [Segment("text", "Hello")])]

    class View:
        uncoloured: list[Any] = []

        def __init__(self, style: str) -> None: ...

        def takes_long(self, changes: list[Any]) -> bool:
            return heavy

        def render(self, changes: list[Any]) -> list[str]:
            return [threading.current_thread().name]

    monkeypatch.setattr(feed, "follow", follow)
    monkeypatch.setattr(feed, "ThreadView", View)
    (frame,) = [frame async for frame in feed.frames(Viewer(1, "", ""), uuid4(), 6, "en")]
    assert frame.steps == ["rendering_0" if heavy else threading.current_thread().name]


def test_however_many_replies_run_a_viewer_is_at_most_a_tenth_of_a_second_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert feed.frame_seconds() < 0.05
    monkeypatch.setattr(feed.hub, "logs", dict.fromkeys(range(10_000)))
    assert feed.frame_seconds() == 0.1
