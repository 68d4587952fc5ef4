"""Prepared writes store what the ORM stores, and tell whether there was a row."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import JSONField, Value
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from chat.models import (
    LIVE,
    Conversation,
    Generation,
    JournalEntry,
    Message,
    Role,
    SentRequest,
    Status,
    User,
)
from chat.models.prepared_writes import columns_of, delete, insert, save, save_changes, update

pytestmark = pytest.mark.django_db


@pytest.fixture
def chat() -> Conversation:
    user = User.objects.create_user("ada@example.org")
    return Conversation.objects.create(owner=user, title="Kept", revision=3)


def _message(chat: Conversation, position: int, **fields: Any) -> Message:
    own = {"role": Role.ASSISTANT, "added_revision": 1, "revision": 1, **fields}
    return Message(conversation=chat, position=position, **own)


def _columns(row: Any) -> dict[str, Any]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def test_inserted_rows_are_those_of_the_orm(chat: Conversation) -> None:
    first = _message(chat, 1, parts=[{"type": "text", "text": "é'\\"}], text="é'\\")
    second = _message(chat, 2, parent=first, client_id=uuid.uuid4())
    insert([first, second])
    generation = Generation(conversation=chat, message=second, queued_at=timezone.now(), parameters={"a": 1})
    insert([generation])
    for row in (first, second, generation):
        assert not row._state.adding
        assert _columns(type(row)._default_manager.get(pk=row.pk)) == _columns(row)
    assert generation.error_detail == ""  # the default of the database
    assert Generation.objects.filter(error_detail="", parameters__a=1, continues=None).count() == 1


def test_what_the_database_computes_is_left_to_it(chat: Conversation) -> None:
    message = _message(chat, 1)
    insert([message])
    insert(
        [Generation(conversation=chat, message=message, queued_at=Now(), parameters=Value(None, JSONField()))]
    )
    stored = Generation.objects.get()
    assert abs((timezone.now() - stored.queued_at).total_seconds()) < 3600
    held = {"message": message, "status": LIVE}
    assert update(Generation, held, {"status": Status.COMPLETE, "finished_at": Now()}) == 1
    assert update(Generation, held, {"status": Status.FAILED, "finished_at": Now()}) == 0


def test_a_row_is_changed_only_where_all_conditions_hold(chat: Conversation) -> None:
    messages = [_message(chat, 1), _message(chat, 2)]
    insert(messages)
    insert(
        [Generation(conversation=chat, message=it, owner="me", queued_at=timezone.now()) for it in messages]
    )
    first, second = Generation.objects.order_by("message__position")
    values = {"status": Status.COMPLETE, "cost": None, "parameters": None, "summary": None}
    for owner, changed in (("you", 0), ("me", 1), ("me", 0)):
        assert update(Generation, {"pk": first.pk, "owner": owner, "status": LIVE}, values) == changed
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.status, second.status) == (Status.COMPLETE, Status.QUEUED)
    assert Generation.objects.filter(parameters__isnull=True, pk=first.pk).exists()


def test_a_saved_row_has_the_named_columns_only(chat: Conversation) -> None:
    chat.title, chat.revision, chat.tools = "Not this", 4, ["clock"]
    save(chat, "revision", "tools")
    stored = Conversation.objects.get()
    assert (stored.title, stored.revision, stored.tools) == ("Kept", 4, ["clock"])
    chat.head = _message(chat, 1)
    insert([chat.head])
    save(chat)
    assert _columns(Conversation.objects.get()) == _columns(chat)
    Conversation.objects.all().delete()
    with pytest.raises(Conversation.NotUpdated):
        save(chat, "revision")


def test_a_second_record_replaces_the_first(chat: Conversation) -> None:
    message = _message(chat, 1)
    insert([message])
    generation = Generation(conversation=chat, message=message, queued_at=timezone.now())
    insert([generation])
    for tools in (["a"], ["b"]):
        insert([SentRequest(generation=generation, tools=tools)], replaces="generation")
    assert [sent.tools for sent in SentRequest.objects.all()] == [["b"]]
    with pytest.raises(IntegrityError), transaction.atomic():
        insert([SentRequest(generation=generation)])


def test_only_the_journal_of_one_reply_is_deleted(chat: Conversation) -> None:
    messages = [_message(chat, 1), _message(chat, 2)]
    insert(messages)
    generations = [Generation(conversation=chat, message=it, queued_at=timezone.now()) for it in messages]
    insert(generations)
    for generation in generations:
        JournalEntry.objects.create(generation=generation, start=0, segments=[])
    delete(JournalEntry, {"generation": generations[0].pk})
    assert [entry.generation_id for entry in JournalEntry.objects.all()] == [generations[1].pk]


def test_each_write_is_one_statement(chat: Conversation) -> None:
    with CaptureQueriesContext(connection) as queries:
        insert([_message(chat, 1), _message(chat, 2)])
        save(chat, "revision")
    assert [query["sql"].split()[0] for query in queries] == ["INSERT", "UPDATE"]


def test_an_error_that_is_caught_spoils_the_transaction_as_one_of_the_orm_does(chat: Conversation) -> None:
    message = _message(chat, 1)
    with transaction.atomic():
        insert([message])
        with pytest.raises(IntegrityError):
            insert([message])
        assert connection.needs_rollback
        transaction.set_rollback(True)
    assert not Message.objects.exists()


def test_only_changed_columns_are_saved(chat: Conversation) -> None:
    chat = Conversation.objects.get(pk=chat.pk)
    before = columns_of(chat)
    Conversation.objects.filter(pk=chat.pk).update(title="Another", tools=["add"])
    chat.parameters, chat.revision, chat.head_id = {"temperature": 1}, 4, uuid.uuid4()
    with CaptureQueriesContext(connection) as queries:
        save_changes(chat, before)
    assert len(queries) == 1 and "title" not in queries[0]["sql"]
    stored = Conversation.objects.get(pk=chat.pk)
    assert (stored.title, stored.tools, stored.parameters, stored.revision, stored.head_id) == (
        *("Another", ["add"], {"temperature": 1}, 4),
        chat.head_id,
    )
