"""Sending a prompt: exactly once, completely or not at all."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from threading import Barrier

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings

from chat.access import NotFoundError
from chat.actions import reply as reply_module
from chat.actions.conversation import delete_conversation, rename_conversation
from chat.actions.errors import (
    ConflictError,
    InvalidInputError,
    LimitReachedError,
    MismatchError,
    TooLongError,
)
from chat.actions.reply import continue_reply, retry_reply, stop_reply
from chat.actions.send import Sent, send_message
from chat.generation.endpoint_queue import BusyError
from chat.generation.lease import claim
from chat.live.process import process_name
from chat.models import ChatModel, Conversation, Endpoint, Generation, Message, Role, Status, User
from chat.runtime import Runtime

pytestmark = pytest.mark.django_db


@pytest.fixture
def model(db: None) -> ChatModel:
    provider = Endpoint.objects.create(slug="demo", name="Demo")
    return ChatModel.objects.create(endpoint=provider, name="demo")


@pytest.fixture
def other_model(model: ChatModel) -> ChatModel:
    return ChatModel.objects.create(endpoint=model.endpoint, name="demo-fast")


def send(user: User, model: ChatModel, text: str = "Hello", **ids: uuid.UUID) -> Sent:
    conversation_id = ids.get("conversation_id", uuid.uuid4())
    client_id = ids.get("client_id", uuid.uuid4())
    return send_message(user, conversation_id, client_id=client_id, text=text, model_ids=[model.pk])


def reply_to(sent: Sent, status: Status = Status.COMPLETE, text: str = "") -> Message:
    """Returns the reply to a prompt after ending it with this status and text."""
    reply = sent.message.children.get(shown=True)
    Message.objects.filter(pk=reply.pk).update(text=text)
    Generation.objects.filter(message=reply).update(status=status)
    return Message.objects.get(pk=reply.pk)


def test_the_first_prompt_makes_the_conversation_and_names_it(person: User, model: ChatModel) -> None:
    sent = send(person, model, "  How do\n tides work?  ")
    conversation = sent.message.conversation
    assert (conversation.title, conversation.owner) == ("How do tides work?", person)
    assert [m.role for m in conversation.messages.all()] == ["user", "assistant"]
    assert Generation.objects.get().status == Status.QUEUED
    assert conversation.head == sent.message.children.get()


def test_a_process_that_serves_takes_the_reply_with_the_prompt_unless_it_must_wait(
    person: User, model: ChatModel, runtime: Runtime
) -> None:
    runtime.runner.accepting = True
    first = send(person, model)
    taken = Generation.objects.get()
    assert (taken.status, taken.owner) == (Status.RUNNING, process_name())
    assert taken.started_at and taken.heartbeat_at
    send(person, model, "And then?", conversation_id=first.message.conversation_id)
    waiting = Generation.objects.exclude(pk=taken.pk).get()
    assert (waiting.status, waiting.owner, waiting.heartbeat_at) == (Status.QUEUED, "", None)


def test_the_same_client_id_gives_one_message_and_one_generation(person: User, model: ChatModel) -> None:
    ids = {"conversation_id": uuid.uuid4(), "client_id": uuid.uuid4()}
    first, second = send(person, model, **ids), send(person, model, **ids)
    assert first.message == second.message
    assert (first.is_new, second.is_new) == (True, False)
    assert Generation.objects.count() == 1


def test_several_models_answer_the_same_prompt(
    person: User, model: ChatModel, other_model: ChatModel
) -> None:
    sent = send_message(
        person, uuid.uuid4(), client_id=uuid.uuid4(), text="Both", model_ids=[model.pk, other_model.pk]
    )
    assert {reply.generation.model for reply in sent.message.children.all()} == {model, other_model}


@pytest.mark.parametrize("text", ["", "   \n ", "\x00"])
def test_an_empty_prompt_is_refused_and_nothing_is_written(person: User, model: ChatModel, text: str) -> None:
    with pytest.raises(InvalidInputError):
        send(person, model, text)
    assert not Conversation.objects.exists()


def test_a_prompt_one_character_over_the_limit_is_refused(
    person: User, model: ChatModel, settings: Settings
) -> None:
    settings.CHAT_MAX_PROMPT_CHARS = 10
    send(person, model, "x" * 10)
    with pytest.raises(TooLongError):
        send(person, model, "x" * 11)
    assert Message.objects.filter(role="user").count() == 1


@pytest.mark.parametrize("text", ["a\x00b", "lone \ud800 surrogate", "‮rtl", "=cmd|' /C calc'!A0", "{{7*7}}"])
def test_odd_text_is_stored_as_text(person: User, model: ChatModel, text: str) -> None:
    stored = send(person, model, text).message
    stored.refresh_from_db()
    assert stored.text == text.replace("\x00", "").replace("\ud800", "?")


@pytest.mark.parametrize("model_id", [0, -1, 2**63, 10**30, "", "1;", "none", "🙂", 999_999])
def test_an_unknown_model_is_refused(person: User, model: ChatModel, model_id: int | str) -> None:
    with pytest.raises(NotFoundError):
        send_message(person, uuid.uuid4(), client_id=uuid.uuid4(), text="Hi", model_ids=[model_id])
    assert not Conversation.objects.exists()


def test_a_disabled_or_unconfigured_or_foreign_model_is_refused(person: User, model: ChatModel) -> None:
    hidden = Endpoint.objects.create(slug="not-configured", name="Elsewhere")
    for refused in (
        ChatModel.objects.create(endpoint=hidden, name="a"),
        ChatModel.objects.create(endpoint=model.endpoint, name="b", enabled=False),
        ChatModel.objects.create(endpoint=model.endpoint, name="c", for_everyone=False),
    ):
        with pytest.raises(NotFoundError):
            send(person, refused)


def test_someone_elses_conversation_takes_no_prompt(
    person: User, make_user: Callable[..., User], model: ChatModel
) -> None:
    conversation_id = send(person, model).message.conversation_id
    stranger = make_user("stranger@example.org")
    with pytest.raises(NotFoundError):
        send(stranger, model, conversation_id=conversation_id)
    assert Message.objects.filter(role="user").count() == 1


def test_too_many_replies_at_once_are_refused(person: User, model: ChatModel, settings: Settings) -> None:
    settings.CHAT_RUNNING_PER_PERSON = 2
    send(person, model)
    send(person, model)
    with pytest.raises(LimitReachedError):
        send(person, model)


def test_stop_before_the_start_ends_it_at_once(person: User, model: ChatModel) -> None:
    reply = send(person, model).message.children.get()
    stop_reply(person, reply.pk)
    assert Generation.objects.get().status == Status.STOPPED
    stop_reply(person, reply.pk)  # the second click came late; no error


def test_retry_keeps_the_old_reply_beside_the_new_one(person: User, model: ChatModel) -> None:
    sent = send(person, model)
    old = reply_to(sent, Status.FAILED)
    new = retry_reply(person, old.pk)
    assert [m.pk for m in sent.message.children.filter(shown=True)] == [new.pk]
    assert new.parent == old.parent
    assert sent.message.conversation.messages.count() == 3


def test_retry_of_a_running_reply_is_refused(person: User, model: ChatModel) -> None:
    reply = send(person, model).message.children.get()
    with pytest.raises(ConflictError):
        retry_reply(person, reply.pk)


def test_continue_begins_with_the_text_so_far(person: User, model: ChatModel) -> None:
    old = reply_to(send(person, model), Status.INTERRUPTED, "Half of")
    new = continue_reply(person, old.pk)
    assert new.generation.continues == old
    with pytest.raises(ConflictError):
        continue_reply(person, old.pk)  # it is not the last one any more


def test_a_reply_of_the_maximum_length_is_not_paid_for_again(
    person: User, model: ChatModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reply_module, "MAX_REPLY_CHARS", 7)
    full = reply_to(send(person, model), Status.LENGTH, "Half of")
    with pytest.raises(ConflictError, match="maximum length"):
        continue_reply(person, full.pk)
    assert full.conversation.messages.count() == 2


def test_a_complete_reply_cannot_be_continued(person: User, model: ChatModel) -> None:
    with pytest.raises(ConflictError):
        continue_reply(person, reply_to(send(person, model)).pk)


def test_rename_and_delete(person: User, model: ChatModel) -> None:
    conversation = send(person, model).message.conversation
    assert rename_conversation(person, conversation.pk, "  A \n title ").title == "A title"
    with pytest.raises(InvalidInputError):
        rename_conversation(person, conversation.pk, " ")
    with pytest.raises(TooLongError):
        rename_conversation(person, conversation.pk, "x" * 201)
    delete_conversation(person, conversation.pk)
    assert Generation.objects.get().stop_requested
    with pytest.raises(NotFoundError):
        rename_conversation(person, conversation.pk, "Back")


def test_the_same_client_id_with_another_text_is_refused_and_no_text_is_lost(
    person: User, model: ChatModel
) -> None:
    ids = {"conversation_id": uuid.uuid4(), "client_id": uuid.uuid4()}
    send(person, model, "First", **ids)
    with pytest.raises(ConflictError):
        send(person, model, "First, and what I typed since", **ids)


def test_the_same_client_id_in_another_chat_is_refused_and_costs_nothing(
    person: User, model: ChatModel
) -> None:
    client_id = uuid.uuid4()
    first = send(person, model, client_id=client_id)
    Generation.objects.update(status=Status.COMPLETE)
    other = send(person, model).message.conversation_id
    for conversation_id in (uuid.uuid4(), other):
        with pytest.raises(MismatchError):
            send(person, model, client_id=client_id, conversation_id=conversation_id)
    delete_conversation(person, first.message.conversation_id)
    with pytest.raises(MismatchError):
        send(person, model, client_id=client_id, conversation_id=other)
    assert Generation.objects.count() == 2


def test_the_client_id_of_another_user_is_free(
    person: User, model: ChatModel, make_user: Callable[..., User]
) -> None:
    client_id = uuid.uuid4()
    send(person, model, client_id=client_id)
    assert send(make_user("other@example.org"), model, client_id=client_id).is_new


def test_a_client_id_is_looked_up_by_its_index(person: User, model: ChatModel) -> None:
    with CaptureQueriesContext(connection) as queries:
        send(person, model)
    (lookup,) = [it["sql"] for it in queries if '"client_id" =' in it["sql"]]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":  # which chooses another way for a table that is almost empty
            chat = Conversation.objects.get()
            Message.objects.bulk_create(
                Message(
                    conversation=chat,
                    position=n,
                    role=Role.USER,
                    client_id=uuid.uuid4(),
                    text="x" * 99,
                    added_revision=1,
                    revision=1,
                )
                for n in range(10, 1_000)
            )
            cursor.execute("ANALYZE chat_message")
            cursor.execute(f"EXPLAIN {lookup}")
        else:
            cursor.execute(f"EXPLAIN QUERY PLAN {lookup}")
        assert "chat_message_client_id" in str(cursor.fetchall())


def test_a_prompt_sent_again_after_its_model_was_switched_off_is_still_the_same(
    person: User, model: ChatModel
) -> None:
    ids = {"conversation_id": uuid.uuid4(), "client_id": uuid.uuid4()}
    first = send(person, model, **ids)
    ChatModel.objects.update(enabled=False)
    assert send(person, model, **ids).message == first.message


def test_the_limit_counts_every_model_of_a_prompt(
    person: User, model: ChatModel, other_model: ChatModel, settings: Settings
) -> None:
    settings.CHAT_RUNNING_PER_PERSON = 1
    with pytest.raises(LimitReachedError):
        send_message(
            person, uuid.uuid4(), client_id=uuid.uuid4(), text="Both", model_ids=[model.pk, other_model.pk]
        )


def test_a_reply_beside_others_is_retried_after_the_chat_has_continued_unless_a_later_one_runs(
    person: User, model: ChatModel, other_model: ChatModel
) -> None:
    sent = send_message(
        person, uuid.uuid4(), client_id=uuid.uuid4(), text="Both", model_ids=[model.pk, other_model.pk]
    )
    Generation.objects.update(status=Status.COMPLETE)
    later = send(person, model, "Next", conversation_id=sent.message.conversation_id).message
    first, second = sent.message.children.order_by("position")
    for again in (retry_reply, continue_reply):
        with pytest.raises(ConflictError):
            again(person, first.pk)
    Generation.objects.update(status=Status.INTERRUPTED)
    with pytest.raises(ConflictError):
        continue_reply(person, first.pk)
    new = retry_reply(person, first.pk)
    conversation = Conversation.objects.get(pk=later.conversation_id)
    assert list(conversation.messages.shown()) == [sent.message, second, new]
    assert (conversation.head, conversation.path_revision) == (second, conversation.revision)
    with pytest.raises(ConflictError):
        retry_reply(person, first.pk)  # a second click


def test_a_deleted_user_cannot_send(person: User, model: ChatModel) -> None:
    ghost = User.objects.get(pk=person.pk)
    User.objects.filter(pk=person.pk).delete()
    with pytest.raises(IntegrityError), transaction.atomic():
        send(ghost, model)
        connection.check_constraints()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("again", [retry_reply, continue_reply])
def test_two_clicks_at_once_are_one_reply(
    person: User, model: ChatModel, again: Callable[[User, uuid.UUID], Message]
) -> None:
    reply = reply_to(send(person, model), Status.INTERRUPTED, "Half")
    together = Barrier(2)

    def click() -> str:
        together.wait()
        try:
            again(person, reply.pk)
        except ConflictError:
            return "refused"
        finally:
            connection.close()
        return "taken"

    with ThreadPoolExecutor(2) as threads:
        outcomes = sorted(future.result() for future in [threads.submit(click) for _ in range(2)])
    assert outcomes == ["refused", "taken"]


@pytest.mark.django_db(transaction=True)
def test_the_same_client_id_in_two_chats_at_once_is_one_prompt(person: User, model: ChatModel) -> None:
    together, client_id = Barrier(2), uuid.uuid4()

    def click() -> str:
        try:
            connection.ensure_connection()
            together.wait()
            send(person, model, client_id=client_id)
        except MismatchError:
            return "refused"
        finally:
            connection.close()
        return "taken"

    with ThreadPoolExecutor(2) as threads:
        outcomes = sorted(future.result() for future in [threads.submit(click) for _ in range(2)])
    assert outcomes == ["refused", "taken"]


@pytest.mark.django_db(transaction=True)
def test_a_stop_during_the_start_causes_no_deadlock(
    person: User, model: ChatModel, settings: Settings
) -> None:
    settings.CHAT_RUNNING_PER_PERSON = 100

    def start_or_wait(generation_id: uuid.UUID) -> None:
        with suppress(BusyError):  # the stop has the conversation's row: the claim is repeated soon
            claim(generation_id, lambda _: None)

    for _ in range(15):
        reply = send(person, model).message.children.get()
        together = Barrier(2)

        def meet(action: Callable[[], object], together: Barrier = together) -> None:
            together.wait()
            try:
                action()
            finally:
                connection.close()

        with ThreadPoolExecutor(2) as threads:
            stop = threads.submit(meet, partial(stop_reply, person, reply.pk))
            start = threads.submit(meet, partial(start_or_wait, reply.generation.pk))
            stop.result()
            start.result()


@pytest.mark.django_db(transaction=True)
def test_forty_prompts_at_once_start_exactly_as_many_replies_as_one_person_may_have(
    person: User, model: ChatModel, settings: Settings
) -> None:
    settings.CHAT_RUNNING_PER_PERSON = 8
    together = Barrier(40)

    def click() -> str:
        try:
            connection.ensure_connection()
            together.wait()
            send(person, model)
        except LimitReachedError:
            return "refused"
        finally:
            connection.close()
        return "taken"

    with ThreadPoolExecutor(40) as threads:
        outcomes = [future.result() for future in [threads.submit(click) for _ in range(40)]]
    assert (outcomes.count("taken"), outcomes.count("refused")) == (8, 32)
    assert Generation.objects.live().count() == 8
