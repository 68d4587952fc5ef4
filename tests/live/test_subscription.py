"""The changes that a viewer receives, and when."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from chat.access import messages_seen_by
from chat.actions.conversation import rename_conversation
from chat.actor import SessionClaim
from chat.database import run_unit, run_write
from chat.generation.finish import end, finish
from chat.live import subscription as subscription_module
from chat.live.changes import Closed, CommittedChange, ConversationChanged, ReplyGrew
from chat.live.hub import Listener
from chat.live.process import process_name
from chat.live.reply_log import ReplyLog, Segment
from chat.live.session_monitor import Viewer
from chat.models import Conversation, Generation, Message, Status, User
from chat.runtime import Runtime
from chat.transports.viewers import viewer_of
from tests.generation.rows import a_reply

pytestmark = pytest.mark.django_db(transaction=True)


async def test_a_reply_that_is_committed_but_has_not_begun_is_found_later(
    person: User, runtime: Runtime
) -> None:
    reply = await run_unit(a_reply, person)
    viewer = Viewer(SessionClaim(person.pk, "key", "hash"))
    async with aclosing(runtime.subscriptions.subscribe(viewer, reply.conversation_id, 0)) as changes:
        coming = asyncio.ensure_future(anext(changes))
        await asyncio.wait([coming], timeout=0.2)
        assert not coming.done()
        log = ReplyLog([Segment("text", "Be")])
        runtime.hub.logs[reply.pk] = log
        (change,) = await coming
        assert isinstance(change, ConversationChanged)
        assert change.outputs == {reply.message_id: [Segment("text", "Be")]}
        log.append("text", "cause")
        runtime.hub.wake(reply.pk)
        assert await anext(changes) == [ReplyGrew(reply.message_id, [Segment("text", "cause")])]


async def test_a_reply_without_a_process_is_shown(person: User, runtime: Runtime) -> None:
    reply = await run_unit(a_reply, person)
    async with aclosing(
        runtime.subscriptions.subscribe(
            Viewer(SessionClaim(person.pk, "key", "hash")), reply.conversation_id, 0
        )
    ) as changes:
        (change,) = await asyncio.wait_for(anext(changes), 60)
    assert isinstance(change, ConversationChanged)
    assert [message.pk for message in change.messages][-1] == reply.message_id


async def test_a_person_who_is_deactivated_is_told_to_log_in_not_that_the_chat_is_gone(
    person: User, runtime: Runtime
) -> None:
    reply = await run_unit(a_reply, person)
    viewer = Viewer(SessionClaim(person.pk, "key", "hash"))
    async with aclosing(runtime.subscriptions.subscribe(viewer, reply.conversation_id, 0)) as changes:
        await asyncio.wait_for(anext(changes), 60)
        person.is_active = False
        await run_unit(person.save)
        viewer.listener.wake(structural=True)
        assert await anext(changes) == [Closed("revoked")]


async def test_what_changes_during_a_slow_read_is_shown_right_after_it(
    person: User, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = await run_unit(a_reply, person)
    log = ReplyLog()
    runtime.hub.logs[reply.pk] = log
    has_read, may_return = threading.Event(), threading.Event()
    read = subscription_module._changed_since

    def slow_read(*args: Any) -> Any:
        found = read(*args)
        has_read.set()
        assert may_return.wait(60)
        return found

    def rename(title: str) -> None:
        chat = Conversation.objects.get(pk=reply.conversation_id)
        chat.title = title
        chat.next_revision()
        chat.save()

    async with aclosing(
        runtime.subscriptions.subscribe(
            Viewer(SessionClaim(person.pk, "key", "hash")), reply.conversation_id, 0
        )
    ) as changes:
        await anext(changes)
        monkeypatch.setattr(subscription_module, "_changed_since", slow_read)
        await run_unit(rename, "first")
        runtime.hub.wake(reply.conversation_id, structural=True)
        coming = asyncio.ensure_future(anext(changes))
        await asyncio.to_thread(has_read.wait)
        await run_unit(rename, "second")
        runtime.hub.wake(reply.conversation_id, structural=True)
        for _ in range(3):  # a reply keeps growing meanwhile
            log.append("text", "word ")
            runtime.hub.wake(reply.pk)
            await coming
            coming = asyncio.ensure_future(anext(changes))
        may_return.set()
        (first,) = await coming
        (second,) = await asyncio.wait_for(anext(changes), 60)
    assert isinstance(first, ConversationChanged) and isinstance(second, ConversationChanged)
    assert (first.conversation.title, second.conversation.title) == ("first", "second")


async def test_a_reply_leaves_nothing_in_its_viewers(person: User, runtime: Runtime) -> None:
    reply = await run_unit(a_reply, person)
    runtime.hub.logs[reply.pk] = ReplyLog()
    async with aclosing(
        runtime.subscriptions.subscribe(
            Viewer(SessionClaim(person.pk, "key", "hash")), reply.conversation_id, 0
        )
    ) as changes:
        await anext(changes)
        assert runtime.hub.has_listeners(reply.pk)
        publish = runtime.pubsub.conversation_changed
        await run_unit(end, reply.pk, process_name(), Status.COMPLETE, [], publish=publish)
        runtime.hub.wake(reply.conversation_id, structural=True)
        await anext(changes)
        assert not runtime.hub.has_listeners(reply.pk)
    assert not runtime.hub.has_listeners(reply.conversation_id)


async def finished(runtime: Runtime, reply: Generation, text: str) -> None:
    """Ends a reply as its run does."""
    pubsub = runtime.pubsub
    await run_write(
        finish,
        reply,
        Status.COMPLETE,
        [Segment("text", text)],
        publish=pubsub.conversation_changed,
        show=pubsub.committed,
    )


async def test_the_end_of_a_reply_is_shown_without_a_query(
    person: User, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is shown equals what a query finds."""
    reply = await run_unit(a_reply, person)
    runtime.hub.start()
    runtime.hub.logs[reply.pk] = ReplyLog()
    viewer = Viewer(SessionClaim(person.pk, "key", "hash"))
    read = subscription_module._changed_since
    reads: list[int] = []

    def counted(*args: Any) -> Any:
        reads.append(args[2])
        return read(*args)

    monkeypatch.setattr(subscription_module, "_changed_since", counted)
    async with aclosing(runtime.subscriptions.subscribe(viewer, reply.conversation_id, 0)) as changes:
        await asyncio.wait_for(anext(changes), 60)
        await finished(runtime, reply, "Because.")
        (change,) = await asyncio.wait_for(anext(changes), 60)
    assert reads == [0]
    assert isinstance(change, ConversationChanged)
    found = await run_unit(read, person.pk, reply.conversation_id, change.since, False)
    assert found is not None
    assert (change.conversation.revision, change.whole) == (found.conversation.revision, found.whole)
    (shown,), (fresh,) = change.messages, found.messages
    for field in Message._meta.fields:
        assert getattr(shown, field.attname) == getattr(fresh, field.attname)
    for field in Generation._meta.fields:
        assert getattr(shown.generation, field.attname) == getattr(fresh.generation, field.attname)
    assert (shown.verdict, shown.variant) == (fresh.verdict, fresh.variant) == (None, None)


async def test_the_first_prompt_of_a_chat_is_shown_without_another_query(
    person: User, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = await run_unit(a_reply, person)
    runtime.hub.start()
    runtime.hub.logs[reply.pk] = ReplyLog()
    reads: list[int] = []

    def unused(*args: Any) -> None:
        reads.append(args[2])

    monkeypatch.setattr(subscription_module, "_changed_since", unused)
    viewer = Viewer(SessionClaim(person.pk, "key", "hash"))
    messages = await run_unit(lambda: list(messages_seen_by(person.pk, reply.conversation_id)))
    async with aclosing(runtime.subscriptions.subscribe(viewer, reply.conversation_id, 0)) as changes:
        coming = asyncio.ensure_future(anext(changes))
        while viewer.listener.structural or not reads:
            await asyncio.sleep(0)
        runtime.pubsub.committed(CommittedChange(0, messages[0].conversation, messages))
        (change,) = await asyncio.wait_for(coming, 60)
    assert reads == [0]
    assert isinstance(change, ConversationChanged)
    assert (change.messages, change.since, change.whole) == (messages, 0, False)


async def test_a_page_that_lacks_nothing_needs_no_query(
    person: User, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The socket has read the conversation while it listened. A change since then is shown."""
    reply = await run_unit(partial(a_reply, person, status=Status.COMPLETE))
    conversation = reply.conversation
    reads: list[int] = []
    read = subscription_module._changed_since

    def counted(*args: Any) -> Any:
        reads.append(args[2])
        return read(*args)

    def viewer() -> Viewer:
        listener = Listener(structural=False)
        return Viewer(
            SessionClaim(person.pk, "key", "hash"), listener=listener, is_known=True, known=conversation
        )

    monkeypatch.setattr(subscription_module, "_changed_since", counted)
    subscribe = runtime.subscriptions.subscribe
    async with aclosing(subscribe(viewer(), conversation.pk, 2)) as changes:
        (change,) = await asyncio.wait_for(anext(changes), 60)
        assert isinstance(change, ConversationChanged)
        assert (reads, change.messages, change.whole) == ([], [], False)
        await run_unit(rename_conversation, person, conversation.pk, "Renamed")
        runtime.hub.wake(conversation.pk, structural=True)
        (change,) = await asyncio.wait_for(anext(changes), 60)
        assert isinstance(change, ConversationChanged)
        assert change.conversation.title == "Renamed"
    reads.clear()
    changed_meanwhile = viewer()
    changed_meanwhile.listener.wake(structural=True)
    for page, revision in ((viewer(), 1), (changed_meanwhile, 2)):
        async with aclosing(subscribe(page, conversation.pk, revision)) as changes:
            (change,) = await asyncio.wait_for(anext(changes), 60)
            assert isinstance(change, ConversationChanged)
            assert change.conversation.title == "Renamed"
    assert reads == [1, 2]


def test_a_reconnect_reads_only_what_its_page_lacks(
    person: User, client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    reply = a_reply(person, status=Status.COMPLETE)
    client.force_login(person)
    key, read = client.session.session_key, subscription_module._changed_since
    with django_assert_num_queries(1):
        viewer = viewer_of(key, reply.conversation_id, Listener(structural=False))
    assert viewer.is_known and viewer.known == reply.conversation
    assert not {"password", "session_data"} & vars(viewer.known).keys()
    with django_assert_num_queries(2):  # the chat, and its messages of a later revision
        found = read(person.pk, reply.conversation_id, 2, True)
    assert found is not None
    assert (found.conversation.pk, found.messages, found.whole) == (reply.conversation_id, [], False)
    found = read(person.pk, reply.conversation_id, 1, True)
    assert found is not None
    assert [message.pk for message in found.messages] == [reply.message_id]
    live = a_reply(person)
    assert not viewer_of(key, live.conversation_id, Listener(structural=False)).is_known
    unused = viewer_of(key, uuid4(), Listener(structural=False))
    assert unused.is_known and unused.known is None


async def test_a_change_that_does_not_continue_what_the_page_has_is_read(
    person: User, runtime: Runtime
) -> None:
    """The page missed the change before it, whose message was lost."""
    reply = await run_unit(a_reply, person)
    runtime.hub.start()
    runtime.hub.logs[reply.pk] = ReplyLog()
    viewer = Viewer(SessionClaim(person.pk, "key", "hash"))
    async with aclosing(runtime.subscriptions.subscribe(viewer, reply.conversation_id, 0)) as changes:
        await asyncio.wait_for(anext(changes), 60)
        await run_unit(rename_conversation, person, reply.conversation_id, "Renamed")
        viewer.listener.structural = False
        await finished(runtime, reply, "Because.")
        (change,) = await asyncio.wait_for(anext(changes), 60)
    assert isinstance(change, ConversationChanged)
    assert (change.conversation.title, change.messages[-1].text) == ("Renamed", "Because.")


async def test_another_users_viewer_is_shown_nothing_from_memory(
    person: User, make_user: Callable[..., User], runtime: Runtime
) -> None:
    reply = await run_unit(a_reply, person)
    other = await run_unit(make_user, "other@example.org")
    runtime.hub.start()
    viewer = Viewer(SessionClaim(other.pk, "key", "hash"))
    viewer.listener.structural = False
    async with aclosing(runtime.subscriptions.subscribe(viewer, reply.conversation_id, 2)) as changes:
        coming = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)
        await finished(runtime, reply, "Because.")
        assert await asyncio.wait_for(coming, 60) == [Closed("gone")]
