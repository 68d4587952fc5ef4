"""Edited prompts and branches: nothing is overwritten, and each variant can be shown again."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from chat.access import NotFoundError
from chat.actions.branch import ORIGIN, branch_conversation
from chat.actions.errors import ConflictError, InvalidInputError
from chat.actions.message import delete_message, restore_message
from chat.actions.send import send_message
from chat.actions.variant import show_variant
from chat.generation.context import prepare
from chat.models import ChatModel, Conversation, Endpoint, Generation, Message, Status, User

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def model(db: None) -> ChatModel:
    provider = Endpoint.objects.create(slug="demo", name="Demo")
    return ChatModel.objects.create(endpoint=provider, name="demo")


class Chat:
    """A chat of one user, whose replies end at once."""

    def __init__(self, user: User, model: ChatModel) -> None:
        self.user, self.model, self.id = user, model, uuid.uuid4()

    def says(
        self, text: str, *, edits: uuid.UUID | None = None, client_id: uuid.UUID | None = None
    ) -> Message:
        sent = send_message(
            self.user,
            self.id,
            client_id=client_id or uuid.uuid4(),
            text=text,
            model_ids=[self.model.pk],
            edits=edits,
        )
        for reply in Message.objects.filter(generation__status__in=["queued", "running"]):
            Message.objects.filter(pk=reply.pk).update(
                text=f"Re: {text}", parts=[{"type": "text", "text": f"Re: {text}"}]
            )
        Generation.objects.update(status=Status.COMPLETE)
        return sent.message

    @property
    def shown(self) -> list[str]:
        return [message.text for message in Message.objects.filter(conversation=self.id).shown()]

    def place(self, at: int) -> tuple[int, int] | None:
        variant = list(Message.objects.filter(conversation=self.id).shown())[at].variant
        return variant and (variant.number, variant.count)


@pytest.fixture
def chat(person: User, model: ChatModel) -> Chat:
    return Chat(person, model)


def test_an_edited_prompt_replaces_the_other_which_is_kept(chat: Chat) -> None:
    first = chat.says("One")
    second = chat.says("Two")
    edited = chat.says("One, edited", edits=first.pk)
    assert chat.shown == ["One, edited", "Re: One, edited"]
    assert (chat.place(0), chat.place(1)) == ((2, 2), None)
    assert edited.parent is None
    show_variant(chat.user, edited.pk, first.pk)
    assert chat.shown == ["One", "Re: One", "Two", "Re: Two"]
    assert (chat.place(0), chat.place(2)) == ((1, 2), None)
    third = chat.says("Two, edited", edits=second.pk)
    assert (chat.shown[2], chat.place(2)) == ("Two, edited", (2, 2))
    conversation = Conversation.objects.get(pk=chat.id)
    assert conversation.path_revision == conversation.revision
    assert conversation.head == third.children.get()


def test_the_model_is_sent_the_edited_prompt_and_not_the_other(chat: Chat) -> None:
    chat.says("One")
    second = chat.says("Two")
    edited = chat.says("Three", edits=second.pk)
    request = prepare(Generation.objects.get(message__parent=edited)).request
    assert [turn.text for turn in request.turns] == ["One", "Re: One", "Three"]


def test_an_edited_prompt_that_is_sent_twice_is_one(chat: Chat) -> None:
    first = chat.says("One")
    client_id = uuid.uuid4()
    once = chat.says("Edited", edits=first.pk, client_id=client_id)
    assert chat.says("Edited", edits=first.pk, client_id=client_id) == once
    assert Message.objects.filter(conversation=chat.id).count() == 4


def test_only_a_shown_prompt_of_this_chat_can_be_edited(
    chat: Chat, model: ChatModel, make_user: Callable[..., User]
) -> None:
    first = chat.says("One")
    other = Chat(make_user("other@example.org"), model)
    theirs = other.says("Theirs")
    before = chat.shown, Message.objects.count()
    for edits, error in ((theirs.pk, NotFoundError), (first.children.get().pk, InvalidInputError)):
        with pytest.raises(error):
            chat.says("Edited", edits=edits)
    with pytest.raises(NotFoundError):
        Chat(chat.user, model).says("Edited", edits=first.pk)  # in a new chat
    with pytest.raises(NotFoundError):
        send_message(
            other.user, chat.id, client_id=uuid.uuid4(), text="x", model_ids=[model.pk], edits=first.pk
        )
    assert (chat.shown, Message.objects.count()) == before
    chat.says("Edited", edits=first.pk)
    with pytest.raises(ConflictError):
        chat.says("Edited again", edits=first.pk)  # from a tab that still shows it


def test_a_running_reply_is_not_hidden_by_an_edit(chat: Chat) -> None:
    first = chat.says("One")
    Generation.objects.update(status=Status.RUNNING)
    with pytest.raises(ConflictError):
        chat.says("Edited", edits=first.pk)
    assert Message.objects.filter(conversation=chat.id).count() == 2


def test_a_deleted_variant_is_replaced_by_the_nearest_one_until_it_is_restored(chat: Chat) -> None:
    first = chat.says("One")
    edited = chat.says("Edited", edits=first.pk)
    delete_message(chat.user, edited.pk)
    assert chat.shown == ["One", "Re: One"]
    assert chat.place(0) is None, "what was deleted is no variant"
    chat.says("Two")
    restore_message(chat.user, edited.pk)
    assert chat.shown == ["Edited", "Re: Edited"]
    show_variant(chat.user, edited.pk, first.pk)
    assert chat.shown == ["One", "Re: One", "Two", "Re: Two"]
    delete_message(chat.user, first.pk)
    assert chat.shown == ["Edited", "Re: Edited"]
    restore_message(chat.user, first.pk)
    assert chat.shown == ["One", "Re: One", "Two", "Re: Two"]


def test_a_branch_is_a_copy_of_the_path_with_all_parts(chat: Chat) -> None:
    first = chat.says("One")
    second = chat.says("Two")
    reply = first.children.get()
    file = {"type": "file", "sha256": "0" * 64, "media_type": "image/png", "name": "a.png"}
    Message.objects.filter(pk=first.pk).update(parts=[file, {"type": "text", "text": "One"}])
    Generation.objects.update(output_tokens=7, cost="0.5", finish_reason="stop")
    changes = {"tools": ["clock"], "uses_instructions": False, "imported_from": "chatgpt"}
    Conversation.objects.filter(pk=chat.id).update(**changes)
    branch = branch_conversation(chat.user, reply.pk)
    copies = list(branch.messages.shown())
    assert [copy.text for copy in copies] == ["One", "Re: One"]
    assert copies[0].parts[0] == {**file, "id": ""}, "this file is not stored"
    assert copies[1].generation.model == chat.model
    assert copies[1].generation.cost is copies[1].generation.output_tokens is None, "it was paid once"
    assert (branch.head, branch.title, branch.owner) == (copies[1], "One", chat.user)
    assert copies[1].notices == [(ORIGIN, "One")] and copies[0].notices == []
    assert (branch.tools, branch.uses_instructions, branch.imported_from) == (["clock"], False, "chatgpt")
    assert branch.seen_revision == branch.revision > 0
    branch_chat = Chat(chat.user, chat.model)
    branch_chat.id = branch.pk
    branch_chat.says("Other")
    assert branch_chat.shown == ["One", "Re: One", "Other", "Re: Other"]
    assert chat.shown == ["One", "Re: One", "Two", "Re: Two"]
    show_hidden = chat.says("Edited", edits=second.pk)
    assert show_hidden.pk != second.pk
    hidden = branch_conversation(chat.user, second.pk)
    assert [copy.text for copy in hidden.messages.shown()] == ["One", "Re: One", "Two"]


def test_a_branch_needs_a_finished_message_of_the_user(chat: Chat, make_user: Callable[..., User]) -> None:
    prompt = chat.says("One")
    with pytest.raises(NotFoundError):
        branch_conversation(make_user("other@example.org"), prompt.pk)
    reply = prompt.children.get()
    Generation.objects.update(status=Status.RUNNING)
    with pytest.raises(ConflictError):
        branch_conversation(chat.user, reply.pk)
    Generation.objects.update(status=Status.COMPLETE)
    delete_message(chat.user, reply.pk)
    with pytest.raises(ConflictError):
        branch_conversation(chat.user, reply.pk)
    assert Conversation.objects.count() == 1


def test_an_edited_first_prompt_titles_the_chat_unless_the_user_did(chat: Chat) -> None:
    def title() -> tuple[str, str]:
        return Conversation.objects.values_list("title", "titled").get(pk=chat.id)

    first = chat.says("Frist words")
    second = chat.says("First words", edits=first.pk)
    assert title() == ("First words", "")
    third = chat.says("Third words", edits=second.pk)
    assert title() == ("Third words", "")
    Conversation.objects.update(title="By a model", titled="model")
    fourth = chat.says("Fourth words", edits=third.pk)
    assert title() == ("Fourth words", ""), "a model is asked again"
    show_variant(chat.user, fourth.pk, third.pk)
    fourth = chat.says("Other words", edits=third.pk)
    assert title() == ("Other words", ""), "the title was of another variant"
    Conversation.objects.update(title="Fourth words", titled="person")
    chat.says("Fifth words", edits=fourth.pk)
    assert title() == ("Fourth words", "person")
