"""Pinning, archiving, deleting and restoring; seen and unread changes; ratings and favourites."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from chat.access import NotFoundError, conversation_for, conversations_of
from chat.actions.conversation import (
    archive_conversation,
    delete_conversation,
    pin_conversation,
    rename_conversation,
    restore_conversation,
    see_conversation,
)
from chat.actions.erasure import erase_conversations
from chat.actions.errors import ConflictError, InvalidInputError, TooLongError
from chat.actions.feedback import rate_reply, remove_rating
from chat.actions.message import delete_message, restore_message
from chat.actions.preferences import favour_model
from chat.actions.reply import retry_reply
from chat.actions.send import send_message
from chat.actions.variant import show_variant
from chat.models import ChatModel, Conversation, Endpoint, Generation, Message, Preferences, Status, User
from chat.views.sidebar import LISTED, list_context

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def model(db: None) -> ChatModel:
    provider = Endpoint.objects.create(slug="demo", name="Demo")
    return ChatModel.objects.create(endpoint=provider, name="demo")


@pytest.fixture
def stranger(make_user: Callable[..., User]) -> User:
    return make_user("stranger@example.org")


def ask(user: User, model: ChatModel, conversation_id: uuid.UUID | None = None) -> tuple[Message, Message]:
    """Returns a prompt and its finished reply."""
    sent = send_message(
        user,
        conversation_id or uuid.uuid4(),
        client_id=uuid.uuid4(),
        text="Words",
        model_ids=[model.pk],
    )
    reply = sent.message.children.get()
    Generation.objects.filter(message=reply).update(status=Status.COMPLETE)
    return sent.message, reply


def labels(user: User, current: uuid.UUID | None = None, **options: bool) -> list[tuple[str, list[str]]]:
    groups = list_context(user, current, **options)["groups"]  # type: ignore[arg-type]
    return [(group.label, [entry.state for entry in group.entries]) for group in groups]


def test_a_pinned_conversation_has_a_group_of_its_own(person: User, model: ChatModel) -> None:
    prompt, _ = ask(person, model)
    pin_conversation(person, prompt.conversation_id, pinned=True)
    assert [label for label, _ in labels(person)] == ["Pinned"]
    pin_conversation(person, prompt.conversation_id, pinned=False)
    assert [label for label, _ in labels(person)] == ["Today"]


def test_an_old_pinned_conversation_stays_in_the_list(person: User) -> None:
    old = Conversation.objects.create(owner=person, updated_at=timezone.now() - timedelta(days=9))
    pin_conversation(person, old.pk, pinned=True)
    Conversation.objects.bulk_create(Conversation(owner=person) for _ in range(LISTED + 1))
    first = list_context(person, None)["groups"][0]
    assert [entry.conversation for entry in first.entries] == [old]


def test_an_archived_conversation_is_listed_in_the_archive_alone(person: User, model: ChatModel) -> None:
    prompt, _ = ask(person, model)
    archive_conversation(person, prompt.conversation_id, archived=True)
    assert labels(person) == []
    assert [label for label, _ in labels(person, archived=True)] == ["Today"]
    archive_conversation(person, prompt.conversation_id, archived=False)
    assert [label for label, _ in labels(person)] == ["Today"]


def test_a_deleted_conversation_is_restored_unchanged(person: User, model: ChatModel) -> None:
    prompt, reply = ask(person, model)
    delete_conversation(person, prompt.conversation_id)
    assert not conversations_of(person).exists()
    restore_conversation(person, prompt.conversation_id)
    conversation = conversation_for(person, prompt.conversation_id)
    assert list(conversation.messages.shown()) == [prompt, reply]
    with pytest.raises(NotFoundError):
        restore_conversation(person, prompt.conversation_id)


def test_an_erased_conversation_cannot_be_restored(person: User, model: ChatModel) -> None:
    prompt, _ = ask(person, model)
    erase_conversations([prompt.conversation_id], by=person)
    with pytest.raises(NotFoundError):
        restore_conversation(person, prompt.conversation_id)
    assert not conversations_of(person).exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda user, pk: pin_conversation(user, pk, pinned=True),
        lambda user, pk: archive_conversation(user, pk, archived=True),
        lambda user, pk: rename_conversation(user, pk, "Mine"),
        restore_conversation,
        delete_conversation,
    ],
)
def test_a_stranger_changes_nothing(
    change: Callable[[User, uuid.UUID], object], person: User, stranger: User, model: ChatModel
) -> None:
    prompt, _ = ask(person, model)
    before = Conversation.objects.values().get()
    with pytest.raises(NotFoundError):
        change(stranger, prompt.conversation_id)
    assert Conversation.objects.values().get() == before


def test_a_reply_is_unread_until_it_is_seen(person: User, stranger: User, model: ChatModel) -> None:
    prompt, _ = ask(person, model)
    revision = prompt.conversation.revision
    assert labels(person) == [("Today", ["new"])]
    assert labels(person, current=prompt.conversation_id) == [("Today", [""])]
    see_conversation(stranger, prompt.conversation_id, revision)
    assert labels(person) == [("Today", ["new"])]
    see_conversation(person, prompt.conversation_id, revision + 1)
    assert labels(person) == [("Today", ["new"])]
    see_conversation(person, prompt.conversation_id, revision)
    assert labels(person) == [("Today", [""])]


def test_the_stamp_changes_only_with_what_is_listed(person: User, model: ChatModel) -> None:
    prompt, _ = ask(person, model)
    first = list_context(person, None)["stamp"]
    assert list_context(person, None)["stamp"] == first
    see_conversation(person, prompt.conversation_id, prompt.conversation.revision)
    assert list_context(person, None)["stamp"] != first


def test_a_deleted_message_is_deleted_and_restored_with_what_follows(person: User, model: ChatModel) -> None:
    first, reply = ask(person, model)
    second, last = ask(person, model, first.conversation_id)
    delete_message(person, second.pk)
    conversation = conversation_for(person, first.conversation_id)
    assert list(conversation.messages.shown()) == [first, reply]
    assert conversation.head == reply
    restore_message(person, second.pk)
    assert list(conversation.messages.shown()) == [first, reply, second, last]
    assert conversation_for(person, first.conversation_id).head == last


def test_separate_deletions_at_the_same_moment_are_restored_separately(
    person: User, model: ChatModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat.actions.message.timezone.now", lambda: datetime(2026, 1, 1, tzinfo=UTC))
    first, reply = ask(person, model)
    second, last = ask(person, model, first.conversation_id)
    delete_message(person, last.pk)
    delete_message(person, second.pk)
    restore_message(person, second.pk)
    assert shown(first.conversation_id) == [first, reply, second]
    restore_message(person, last.pk)
    assert shown(first.conversation_id) == [first, reply, second, last]


def test_a_deleted_message_is_restored_as_a_variant_of_what_was_sent_since(
    person: User, model: ChatModel
) -> None:
    first, reply = ask(person, model)
    second, last = ask(person, model, first.conversation_id)
    delete_message(person, second.pk)
    third, answer = ask(person, model, first.conversation_id)
    restore_message(person, second.pk)
    assert shown(first.conversation_id) == [first, reply, second, last]
    show_variant(person, second.pk, third.pk)
    assert shown(first.conversation_id) == [first, reply, third, answer]


def test_a_deletion_cannot_be_undone_after_the_chat_has_continued(person: User, model: ChatModel) -> None:
    first, reply = ask(person, model)
    second, _ = ask(person, model, first.conversation_id)
    delete_message(person, reply.pk)
    retry_reply(person, first.pk)
    for gone in (second, reply):
        with pytest.raises(ConflictError):
            restore_message(person, gone.pk)


def test_deleting_a_hidden_message_deletes_nothing_else(person: User, model: ChatModel) -> None:
    prompt, old = ask(person, model)
    new = retry_reply(person, old.pk)
    with pytest.raises(ConflictError):
        delete_message(person, old.pk)  # from a tab that still shows it
    assert list(prompt.conversation.messages.shown()) == [prompt, new]


def test_a_rating_reaches_other_pages_and_marks_nothing_as_unread(person: User, model: ChatModel) -> None:
    _, reply = ask(person, model)
    see_conversation(person, reply.conversation_id, Conversation.objects.get().revision)
    before = Conversation.objects.get()
    for change in (
        lambda: rate_reply(person, reply.pk, is_good=True),
        lambda: remove_rating(person, reply.pk),
    ):
        revision = Conversation.objects.get().revision
        change()
        conversation = Conversation.objects.get()
        reply.refresh_from_db()
        assert revision < conversation.revision == reply.revision
    assert conversation.updated_at == before.updated_at
    assert labels(person) == [("Today", [""])]


def test_a_rating_replaces_the_previous_one_and_can_be_withdrawn(person: User, model: ChatModel) -> None:
    prompt, reply = ask(person, model)
    rate_reply(person, reply.pk, is_good=True)
    rate_reply(person, reply.pk, is_good=False, reason="style", comment=" Too long. ")
    verdict = reply.feedback.get()
    assert (verdict.is_good, verdict.reason, verdict.comment) == (False, "style", "Too long.")
    with pytest.raises(InvalidInputError):
        rate_reply(person, reply.pk, is_good=False, reason="invented")
    with pytest.raises(InvalidInputError):
        rate_reply(person, prompt.pk, is_good=True)
    with pytest.raises(TooLongError):
        rate_reply(person, reply.pk, is_good=False, comment="x" * 2001)
    remove_rating(person, reply.pk)
    assert not reply.feedback.exists()


def test_a_favourite_must_be_a_model_that_the_user_may_use(person: User, model: ChatModel) -> None:
    favour_model(person, model.pk, favourite=True)
    assert list(Preferences.of(person).favourites.all()) == [model]
    favour_model(person, model.pk, favourite=False)
    assert not Preferences.of(person).favourites.exists()
    ChatModel.objects.update(enabled=False)
    with pytest.raises(NotFoundError):
        favour_model(person, model.pk, favourite=True)


def shown(conversation_id: uuid.UUID) -> list[Message]:
    return list(Message.objects.filter(conversation=conversation_id).shown())


def test_each_variant_of_a_reply_is_shown_with_what_followed_it(person: User, model: ChatModel) -> None:
    prompt, first = ask(person, model)
    chat = prompt.conversation_id
    follow_up, answer = ask(person, model, chat)
    before = shown(chat)
    delete_message(person, follow_up.pk)
    second = retry_reply(person, first.pk)
    Generation.objects.update(status=Status.COMPLETE)
    later, later_answer = ask(person, model, chat)
    place = shown(chat)[1].variant
    assert place is not None and place.previous is not None
    assert (place.number, place.count, place.previous, place.next) == (2, 2, first.pk, None)
    show_variant(person, second.pk, first.pk)
    assert [message.pk for message in shown(chat)] == [prompt.pk, first.pk], "what was deleted stays so"
    assert follow_up in before and answer in before
    conversation = conversation_for(person, chat)
    assert (conversation.head_id, conversation.path_revision) == (first.pk, conversation.revision)
    show_variant(person, first.pk, second.pk)
    path = [prompt.pk, second.pk, later.pk, later_answer.pk]
    assert [message.pk for message in shown(chat)] == path


def test_replies_side_by_side_are_not_variants_of_each_other(person: User, model: ChatModel) -> None:
    other = ChatModel.objects.create(endpoint=model.endpoint, name="other")
    sent = send_message(
        person, uuid.uuid4(), client_id=uuid.uuid4(), text="Words", model_ids=[model.pk, other.pk]
    )
    Generation.objects.update(status=Status.COMPLETE)
    left, right = sent.message.children.all()
    assert [message.variant for message in shown(left.conversation_id)] == [None] * 3
    with pytest.raises(ConflictError):
        show_variant(person, left.pk, right.pk)
    again = retry_reply(person, left.pk)
    Generation.objects.update(status=Status.COMPLETE)
    assert [message.variant for message in shown(left.conversation_id)] == [None] * 3
    for beside in (again, right):
        with pytest.raises(ConflictError):
            show_variant(person, beside.pk, left.pk)


def test_replies_side_by_side_are_shown_together_with_the_previous_variant(
    person: User, model: ChatModel
) -> None:
    other = ChatModel.objects.create(endpoint=model.endpoint, name="other")
    prompt, first = ask(person, model)
    chat = prompt.conversation_id
    second = retry_reply(person, first.pk)
    Generation.objects.update(status=Status.COMPLETE)
    models: list[int | str] = [model.pk, other.pk]
    send_message(person, chat, client_id=uuid.uuid4(), text="Both", model_ids=models)
    Generation.objects.update(status=Status.COMPLETE)
    before = [message.pk for message in shown(chat)]
    assert len(before) == 5
    show_variant(person, second.pk, first.pk)
    show_variant(person, first.pk, second.pk)
    assert [message.pk for message in shown(chat)] == before


def test_variants_requested_at_the_same_moment_are_not_shown_side_by_side(
    person: User, model: ChatModel
) -> None:
    prompt, first = ask(person, model)
    chat = prompt.conversation_id
    second = retry_reply(person, first.pk)
    Generation.objects.update(status=Status.COMPLETE)
    _, answer = ask(person, model, chat)
    anew = retry_reply(person, answer.pk)
    Generation.objects.update(status=Status.COMPLETE, queued_at=timezone.now())  # a clock of whole seconds
    before = [message.pk for message in shown(chat)]
    assert anew.pk in before and answer.pk not in before
    show_variant(person, second.pk, first.pk)
    show_variant(person, first.pk, second.pk)
    assert [message.pk for message in shown(chat)] == before


def test_a_prompt_whose_reply_was_deleted_is_answered_again(person: User, model: ChatModel) -> None:
    prompt, first = ask(person, model)
    second = retry_reply(person, first.pk)
    Generation.objects.update(status=Status.COMPLETE)
    delete_message(person, second.pk)
    assert [message.pk for message in shown(prompt.conversation_id)] == [prompt.pk]
    third = retry_reply(person, prompt.pk)
    Generation.objects.update(status=Status.COMPLETE)
    assert [message.pk for message in shown(prompt.conversation_id)] == [prompt.pk, third.pk]
    place = shown(prompt.conversation_id)[1].variant
    assert place is not None and place.previous is not None and place.previous == first.pk
    with pytest.raises(InvalidInputError):
        retry_reply(person, prompt.pk)


def test_a_message_that_is_erased_during_a_read_has_no_variants(person: User, model: ChatModel) -> None:
    prompt, reply = ask(person, model)
    found = Message.objects.shown().get(pk=reply.pk)
    Conversation.objects.filter(pk=prompt.conversation_id).update(head=None)
    Message.objects.filter(pk=reply.pk).delete()
    assert found.variant is None


def test_a_running_reply_is_not_hidden(person: User, model: ChatModel, stranger: User) -> None:
    _, first = ask(person, model)
    second = retry_reply(person, first.pk)
    with pytest.raises(ConflictError):
        show_variant(person, second.pk, first.pk)
    Generation.objects.update(status=Status.COMPLETE)
    with pytest.raises(NotFoundError):
        show_variant(stranger, second.pk, first.pk)
    show_variant(person, second.pk, first.pk)
    with pytest.raises(ConflictError):
        show_variant(person, second.pk, first.pk)
