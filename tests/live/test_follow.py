"""What a viewer is told, and when."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from chat.database import run_unit
from chat.live.changes import Closed, ReplyGrew, ThreadChanged
from chat.live.follow import follow
from chat.live.hub import hub
from chat.live.reply_log import ReplyLog, Segment
from chat.live.sentinel import Viewer
from chat.models import User
from tests.generation.rows import a_reply

pytestmark = pytest.mark.django_db(transaction=True)


async def test_a_reply_that_is_committed_and_not_begun_yet_is_looked_for_again(
    person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = await run_unit(a_reply, person)
    viewer = Viewer(person.pk, "key", "hash")
    async with aclosing(follow(viewer, reply.conversation_id, 0)) as changes:
        coming = asyncio.ensure_future(anext(changes))
        await asyncio.wait([coming], timeout=0.2)
        assert not coming.done()
        log = ReplyLog([Segment("text", "Be")])
        monkeypatch.setitem(hub.logs, reply.pk, log)
        (change,) = await coming
        assert isinstance(change, ThreadChanged)
        assert change.outputs == {reply.message_id: [Segment("text", "Be")]}
        log.append("text", "cause")
        hub.wake(reply.pk)
        assert await anext(changes) == [ReplyGrew(reply.message_id, [Segment("text", "cause")])]


async def test_a_reply_that_nobody_makes_is_shown_all_the_same(person: User) -> None:
    reply = await run_unit(a_reply, person)
    async with aclosing(follow(Viewer(person.pk, "key", "hash"), reply.conversation_id, 0)) as changes:
        (change,) = await asyncio.wait_for(anext(changes), 10)
    assert isinstance(change, ThreadChanged)
    assert [message.pk for message in change.messages][-1] == reply.message_id


async def test_a_person_who_is_deactivated_is_told_to_log_in_not_that_the_chat_is_gone(person: User) -> None:
    reply = await run_unit(a_reply, person)
    viewer = Viewer(person.pk, "key", "hash")
    async with aclosing(follow(viewer, reply.conversation_id, 0)) as changes:
        await asyncio.wait_for(anext(changes), 10)
        person.is_active = False
        await run_unit(person.save)
        viewer.watcher.wake(structural=True)
        assert await anext(changes) == [Closed("revoked")]
