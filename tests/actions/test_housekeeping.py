"""Unreachable data is deleted by one process in small batches; usage is kept."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connection
from django.utils import timezone

from chat.access import NotFoundError
from chat.actions import housekeeping
from chat.actions.conversation import delete_conversation, restore_conversation
from chat.actions.errors import ConflictError
from chat.actions.message import delete_message, restore_message
from chat.models import Conversation, Generation, JournalEntry, Message, PeriodicTask, Status, User
from chat.search import search
from tests.generation.rows import a_reply

LONG_AGO = timedelta(days=settings.CHAT_KEEP_DELETED_DAYS, minutes=1)


def clear() -> int:
    """Clears until nothing is left. Returns the number of transactions."""
    batches = 0
    while housekeeping.clear_some():
        batches += 1
    return batches


def deleted(person: User, ago: timedelta) -> Generation:
    """Returns a generation in a chat that its owner deleted `ago`."""
    generation = a_reply(person, status=Status.COMPLETE)
    Message.objects.filter(pk=generation.message_id).update(
        text="Because", parts=[{"type": "text", "text": "B"}]
    )
    Generation.objects.filter(pk=generation.pk).update(input_tokens=7, output_tokens=9, cost=Decimal("0.5"))
    delete_conversation(person, generation.conversation_id)
    Conversation.objects.filter(pk=generation.conversation_id).update(deleted_at=timezone.now() - ago)
    return generation


@pytest.mark.django_db
def test_a_chat_deleted_long_ago_is_emptied_and_what_it_cost_is_kept(person: User) -> None:
    old, young = deleted(person, LONG_AGO), deleted(person, timedelta(days=1))
    kept = a_reply(person)
    clear()
    assert [*old.conversation.messages.values_list("text", "parts")] == [("", []), ("", [])]
    old.refresh_from_db()
    assert (old.input_tokens, old.output_tokens, old.cost) == (7, 9, Decimal("0.5"))
    for other in (young, kept):
        assert "Why?" in other.conversation.messages.values_list("text", flat=True)
    restore_conversation(person, young.conversation_id)
    with pytest.raises(NotFoundError):
        restore_conversation(person, old.conversation_id)


@pytest.mark.django_db
def test_messages_deleted_long_ago_are_emptied_with_their_variants(person: User) -> None:
    reply = a_reply(person, status=Status.COMPLETE).message
    Message.objects.filter(pk=reply.pk).update(text="Because")
    chat, prompt = reply.conversation, reply.parent
    assert prompt
    variant = Message.objects.create(
        conversation=chat, parent=reply, position=9, role="user", text="Hidden", added_revision=1, revision=1
    )
    Message.objects.filter(pk=variant.pk).update(shown=False)
    young = a_reply(person, status=Status.COMPLETE).message.parent
    assert young
    for message in (prompt, young):
        delete_message(person, message.pk)
    clear()
    assert sorted(chat.messages.values_list("text", flat=True)) == ["Because", "Hidden", "Why?"]
    chat.messages.exclude(deleted_at=None).update(deleted_at=timezone.now() - LONG_AGO)
    clear()
    assert {*chat.messages.values_list("text", flat=True)} == {""}
    assert chat.messages.count() == 3, "usage and cost are kept"
    young.refresh_from_db()
    assert young.text == "Why?"
    assert not search(person, "Hidden").chats
    with pytest.raises(ConflictError, match="too long ago"):
        restore_message(person, prompt.pk)


@pytest.mark.django_db(transaction=True)
def test_a_message_that_was_restored_meanwhile_is_not_emptied(
    person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = a_reply(person, status=Status.COMPLETE).message.parent
    assert message
    Message.objects.filter(pk=message.pk).update(deleted_at=timezone.now() - LONG_AGO)
    limit = housekeeping.undo_limit()

    def restored() -> datetime:
        if connection.in_atomic_block:  # the ids were read before
            Message.objects.filter(pk=message.pk).update(deleted_at=None)
        return limit

    monkeypatch.setattr(housekeeping, "undo_limit", restored)
    assert housekeeping._empty_deleted_messages() == 1
    message.refresh_from_db()
    assert message.text == "Why?"


@pytest.mark.django_db
def test_provider_metadata_is_deleted_with_its_chat(person: User) -> None:
    old, kept = deleted(person, LONG_AGO), a_reply(person)
    failed = a_reply(person, status=Status.FAILED)
    delete_conversation(person, failed.conversation_id)
    Conversation.objects.filter(pk=failed.conversation_id).update(deleted_at=timezone.now() - LONG_AGO)
    Message.objects.filter(pk=failed.message_id).update(text="", parts=[])
    Generation.objects.update(error_detail="Your prompt 'Why?' was refused.")
    clear()
    details = dict(Generation.objects.values_list("pk", "error_detail"))
    assert (details[old.pk], details[failed.pk]) == ("", "")
    assert details[kept.pk]


@pytest.mark.django_db
def test_a_deletion_can_not_be_undone_when_its_time_is_over(person: User) -> None:
    """Also before it is cleared: no half-empty chat is restored."""
    old = deleted(person, LONG_AGO)
    with pytest.raises(NotFoundError):
        restore_conversation(person, old.conversation_id)


@pytest.mark.django_db
def test_a_long_chat_is_emptied_in_small_transactions(person: User) -> None:
    old = deleted(person, LONG_AGO)
    count = 2 * housekeeping.BATCH
    Message.objects.bulk_create(
        Message(
            conversation=old.conversation, position=n, role="user", text="x", added_revision=n, revision=n
        )
        for n in range(10, 10 + count)
    )
    assert clear() == 3
    assert not old.conversation.messages.exclude(text="").exists()


@pytest.mark.django_db
def test_expired_sessions_and_remains_of_ended_replies_are_deleted(person: User) -> None:
    now = timezone.now()
    for number in range(housekeeping.BATCH + 1):
        Session.objects.create(
            session_key=f"old{number}", session_data="", expire_date=now - timedelta(days=1)
        )
    Session.objects.create(session_key="new", session_data="", expire_date=now + timedelta(days=1))
    ended, running = a_reply(person, status=Status.COMPLETE), a_reply(person)
    for generation in (ended, running):
        JournalEntry.objects.get_or_create(generation=generation, start=99, defaults={"segments": []})
    clear()
    assert list(Session.objects.values_list("session_key", flat=True)) == ["new"]
    assert not ended.journal.exists()
    assert running.journal.exists()
    assert housekeeping.clear_some() == 0


@pytest.mark.django_db
def test_one_of_many_processes_cleans_up_each_hour() -> None:
    assert [housekeeping.is_due() for _ in range(3)] == [True, False, False]
    PeriodicTask.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    assert [housekeeping.is_due() for _ in range(3)] == [True, False, False]
