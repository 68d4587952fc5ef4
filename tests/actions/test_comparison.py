"""Replies side by side: one is kept, the others stay as variants, and the chat continues from one of them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial

import pytest

from chat.access import NotFoundError
from chat.actions.chat_export import chat_of
from chat.actions.comparison import compare_reply, keep_reply
from chat.actions.errors import ConflictError, InvalidInputError, LimitReachedError
from chat.actions.feedback import rate_reply
from chat.actions.message import delete_message
from chat.actions.reply import ReplyOptions, retry_or_continue, retry_reply
from chat.actions.send import send_message
from chat.actions.variant import show_variant, undo_replacement
from chat.generation.context import prepare
from chat.generation.orphans import end_forgotten
from chat.models import ChatModel, Conversation, Endpoint, Feedback, Generation, Message, Status, User
from chat.models.message import side_by_side
from chat.transfer.steady import dump, load

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def models(db: None) -> list[ChatModel]:
    provider = Endpoint.objects.create(slug="demo", name="Demo")
    return [ChatModel.objects.create(endpoint=provider, name=f"model-{number}") for number in range(5)]


def ask(user: User, models: list[ChatModel], chat: uuid.UUID | None = None) -> list[Message]:
    """Returns a prompt and its replies, which have ended."""
    sent = send_message(
        user,
        chat or uuid.uuid4(),
        client_id=uuid.uuid4(),
        text="Words",
        model_ids=[model.pk for model in models],
    )
    ended()
    return [sent.message, *sent.message.children.select_related("generation").order_by("position")]


def ended() -> None:
    for reply in Message.objects.filter(role="assistant", text=""):
        Message.objects.filter(pk=reply.pk).update(text=f"By {reply.generation.model_label}")
    Generation.objects.filter(status__in=["queued", "running"]).update(status=Status.COMPLETE)


def shown(message: Message) -> list[Message]:
    return list(message.conversation.messages.shown())


def head(message: Message) -> Message | None:
    return Conversation.objects.get(pk=message.conversation_id).head


def test_the_kept_reply_is_shown_alone_and_the_others_are_its_variants(
    person: User, models: list[ChatModel]
) -> None:
    prompt, first, second, third = ask(person, models[:3])
    assert [len(group) for group in side_by_side(shown(prompt))] == [1, 3]
    assert all(reply.is_beside for reply in shown(prompt)[1:])
    keep_reply(person, second.pk)
    assert shown(prompt) == [prompt, second]
    place = shown(prompt)[1].variant
    assert place and (place.number, place.count, place.previous, place.next) == (2, 3, first.pk, third.pk)
    assert head(prompt) == second
    keep_reply(person, second.pk)  # a second click
    assert shown(prompt) == [prompt, second]
    show_variant(person, second.pk, third.pk)
    assert shown(prompt) == [prompt, third]


def test_keeping_is_a_vote_that_changes_no_rating(person: User, models: list[ChatModel]) -> None:
    _, first, _ = ask(person, models[:2])
    keep_reply(person, first.pk)
    assert Feedback.objects.get().is_good
    _, bad, _ = ask(person, models[:2])
    rate_reply(person, bad.pk, is_good=False, reason="style")
    keep_reply(person, bad.pk)
    assert not Feedback.objects.get(message=bad).is_good


def test_the_next_prompt_continues_from_the_first_reply_that_has_not_failed(
    person: User, models: list[ChatModel]
) -> None:
    prompt, first, second = ask(person, models[:2])
    assert head(prompt) == first
    next_prompt, *_ = ask(person, models[:1], prompt.conversation_id)
    assert next_prompt.parent == first
    delete_message(person, next_prompt.pk)
    assert head(prompt) == first
    Generation.objects.filter(message=first).update(status=Status.FAILED)
    next_prompt, reply = ask(person, models[:1], prompt.conversation_id)
    assert next_prompt.parent == second
    turns = prepare(Generation.objects.get(message=reply)).request.turns
    assert [turn.text for turn in turns] == ["Words", "By model-1", "Words"]


def test_another_reply_can_be_kept_after_the_chat_has_continued(
    person: User, models: list[ChatModel]
) -> None:
    prompt, first, second = ask(person, models[:2])
    later, answer = ask(person, models[:1], prompt.conversation_id)
    keep_reply(person, second.pk)
    assert shown(prompt) == [prompt, second]
    show_variant(person, second.pk, first.pk)
    assert shown(prompt) == [prompt, first, later, answer]


def test_a_kept_reply_is_restored_alone(person: User, models: list[ChatModel]) -> None:
    prompt, first = ask(person, models[:1])
    _, _, right = ask(person, models[:2], prompt.conversation_id)
    keep_reply(person, right.pk)
    before = shown(prompt)
    delete_message(person, before[2].pk)
    again = retry_reply(person, first.pk)
    ended()
    show_variant(person, again.pk, first.pk)
    assert shown(prompt) == [prompt, first], "what was deleted stays so"
    later, _left, right = ask(person, models[:2], prompt.conversation_id)
    keep_reply(person, right.pk)
    show_variant(person, first.pk, again.pk)
    show_variant(person, again.pk, first.pk)
    assert shown(prompt) == [prompt, first, later, right]


def test_keeping_one_stops_the_others(person: User, models: list[ChatModel]) -> None:
    prompt, first, second = ask(person, models[:2])
    Generation.objects.filter(message=second).update(status=Status.RUNNING)
    with pytest.raises(ConflictError):
        keep_reply(person, second.pk)
    keep_reply(person, first.pk)
    assert Generation.objects.get(message=second).stop_requested
    assert shown(prompt) == [prompt, first]


def test_a_model_is_added_beside_a_finished_reply(person: User, models: list[ChatModel]) -> None:
    prompt, first = ask(person, models[:1])
    second = compare_reply(person, first.pk, models[1].pk).message
    with pytest.raises(ConflictError):
        compare_reply(person, first.pk, models[1].pk)  # a second click
    assert shown(prompt) == [prompt, first, second]
    assert head(prompt) == first
    ended()
    again = retry_reply(person, first.pk)
    assert shown(prompt) == [prompt, second, again]
    assert head(prompt) == second
    ended()
    for model in models[2:4]:
        compare_reply(person, second.pk, model.pk)
    with pytest.raises(LimitReachedError):
        compare_reply(person, second.pk, models[4].pk)


def test_a_model_is_added_beside_an_earlier_reply_which_keeps_its_later_messages(
    person: User, models: list[ChatModel]
) -> None:
    prompt, first = ask(person, models[:1])
    later, answer = ask(person, models[:1], prompt.conversation_id)
    added = compare_reply(person, first.pk, models[1].pk)
    assert added.hidden.last == answer.pk
    second = added.message
    assert shown(prompt) == [prompt, first, second]
    undo_replacement(person, second.pk, answer.pk, is_rated=False)
    assert Generation.objects.get(message=second).stop_requested
    assert shown(prompt) == [prompt, first, later, answer], "and the added one is not put between them"
    ended()
    show_variant(person, first.pk, second.pk)
    third = compare_reply(person, second.pk, models[2].pk).message
    ended()
    show_variant(person, keep_reply(person, third.pk).message.pk, first.pk)
    assert shown(prompt) == [prompt, first, later, answer]
    fourth = compare_reply(person, first.pk, models[3].pk).message
    ended()
    keep_reply(person, first.pk)
    assert shown(prompt) == [prompt, first, later, answer], "it comes with what followed it"
    assert fourth not in shown(prompt)


def test_the_columns_are_restored_with_their_prompt_and_by_an_import(
    person: User, models: list[ChatModel]
) -> None:
    prompt, first, gone = ask(person, models[:2])
    second = compare_reply(person, first.pk, models[2].pk).message
    ended()
    again = retry_reply(person, gone.pk)
    ended()
    columns = [prompt, first, second, again]
    assert shown(prompt) == columns
    chat = chat_of(Conversation.objects.get(pk=prompt.conversation_id))
    loaded = load(dump(chat))
    assert [node.shown for node in loaded.nodes] == [True, True, False, True, True]
    edited = send_message(
        person,
        prompt.conversation_id,
        client_id=uuid.uuid4(),
        text="Other",
        model_ids=[models[0].pk],
        edits=prompt.pk,
    ).message
    ended()
    show_variant(person, edited.pk, prompt.pk)
    assert shown(prompt) == columns


def test_a_choice_that_hides_later_messages_can_be_undone(person: User, models: list[ChatModel]) -> None:
    prompt, first, second = ask(person, models[:2])
    assert keep_reply(person, second.pk).hidden.last is None, "nothing followed"
    prompt, first, second = ask(person, models[:2])
    later, answer = ask(person, models[:1], prompt.conversation_id)
    kept = keep_reply(person, second.pk)
    assert (kept.hidden.last, kept.is_rated) == (answer.pk, True)
    undo_replacement(person, second.pk, answer.pk, beside=kept.hidden.beside, is_rated=True)
    assert shown(prompt) == [prompt, first, second, later, answer]
    assert not Feedback.objects.filter(message=second).exists()


def again(user: User, reply: Message) -> tuple[Message, Callable[[], Message]]:
    """Returns a retry of this reply, and what takes it back."""
    new = retry_or_continue(user, reply.pk, ReplyOptions(), continues=False)
    assert new.hidden.last
    back = partial(undo_replacement, user, new.message.pk, new.hidden.last, beside=new.hidden.beside)
    return new.message, partial(back, is_rated=False)


@pytest.mark.parametrize("number", [0, 1])
def test_a_retry_beside_another_reply_can_be_undone(
    person: User, models: list[ChatModel], number: int
) -> None:
    prompt, *pair = ask(person, models[:2])
    rate_reply(person, pair[0].pk, is_good=True)
    later = ask(person, models[:1], prompt.conversation_id)
    new, undo = again(person, pair[number])
    assert set(shown(prompt)) == {prompt, pair[1 - number], new}
    undo()
    assert shown(prompt) == [prompt, *pair, *later]
    with pytest.raises(ConflictError):
        undo()  # a second click


def test_a_retry_of_an_earlier_reply_can_be_undone_with_all_columns_and_choices(
    person: User, models: list[ChatModel]
) -> None:
    prompt, first, _second = ask(person, models[:2])
    keep_reply(person, first.pk)
    middle, answer = ask(person, models[:1], prompt.conversation_id)
    later, good, other = ask(person, models[:2], prompt.conversation_id)
    rate_reply(person, good.pk, is_good=True)
    _new, undo = again(person, answer)
    undo()
    before = [prompt, first, middle, answer, later, good, other]
    assert shown(prompt) == before, "not the reply that was not kept above it"
    keep_reply(person, good.pk)
    ended()
    _new, undo = again(person, answer)
    undo()
    assert shown(prompt) == before[:-1], "not the reply that was not kept below it"


def test_a_choice_that_stops_other_replies_can_be_undone(person: User, models: list[ChatModel]) -> None:
    prompt, first, second = ask(person, models[:2])
    rate_reply(person, first.pk, is_good=True)
    Generation.objects.filter(message=second).update(status=Status.WAITING)
    kept = keep_reply(person, first.pk)
    assert kept.hidden.last == second.pk and kept.stopped == 1
    assert end_forgotten(lambda _id: None) == [second.generation.pk], "it has no owner"
    assert Generation.objects.get(message=second).status == Status.STOPPED
    undo_replacement(person, first.pk, second.pk, beside=kept.hidden.beside, is_rated=False)
    assert shown(prompt) == [prompt, first, second]


def test_an_undo_keeps_what_was_added_since(person: User, models: list[ChatModel]) -> None:
    prompt, first, second = ask(person, models[:2])
    ask(person, models[:1], prompt.conversation_id)
    new, undo = again(person, first)
    ended()
    keep_reply(person, new.pk)
    added = ask(person, models[:1], prompt.conversation_id)
    Generation.objects.filter(message=added[1]).update(status=Status.RUNNING)
    with pytest.raises(ConflictError):
        undo()
    assert shown(prompt) == [prompt, new, *added]
    assert not Generation.objects.get(message=added[1]).stop_requested
    with pytest.raises(ConflictError):
        undo_replacement(person, second.pk, added[1].pk, is_rated=False)  # it is not shown


def test_only_comparable_replies_are_compared(
    person: User, models: list[ChatModel], make_user: Callable[..., User]
) -> None:
    prompt, first, second = ask(person, models[:2])
    stranger = make_user("stranger@example.org")
    for action in (keep_reply, lambda user, pk: compare_reply(user, pk, models[0].pk)):
        with pytest.raises(NotFoundError):
            action(stranger, first.pk)
        with pytest.raises(InvalidInputError):
            action(person, prompt.pk)
    with pytest.raises(NotFoundError):
        compare_reply(person, first.pk, "0")
    keep_reply(person, first.pk)
    with pytest.raises(ConflictError):
        keep_reply(person, second.pk)  # from a tab that still shows it
