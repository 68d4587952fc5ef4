"""Retry and Continue when the model of the reply is gone, with and without scripts."""

from __future__ import annotations

import re
import uuid

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from chat.access import NotFoundError
from chat.actions.message import delete_message
from chat.actions.reply import continue_reply, retry_reply
from chat.actions.send import send_message
from chat.models import ChatModel, Endpoint, Generation, Message, Status, User

pytestmark = pytest.mark.django_db

NAMES = ("gone", "other", "third")


@pytest.fixture
def models(db: None) -> list[ChatModel]:
    provider = Endpoint.objects.create(slug="demo", name="Demo")
    return [ChatModel.objects.create(endpoint=provider, name=name) for name in NAMES]


@pytest.fixture
def reply(person: User, models: list[ChatModel]) -> Message:
    """A reply that was stopped in the middle, by a model that nobody can use any more."""
    ids = {"client_id": uuid.uuid4(), "model_ids": [models[0].pk]}
    sent = send_message(person, uuid.uuid4(), text="Words", **ids)  # type: ignore[arg-type]
    Message.objects.filter(parent=sent.message).update(text="As far as")
    Generation.objects.update(status=Status.STOPPED)
    ChatModel.objects.filter(name="gone").update(enabled=False)
    return Message.objects.get(parent=sent.message)


def by(message: Message) -> str:
    return Generation.objects.select_related("model").get(message=message).model.name  # type: ignore[union-attr]


def newest() -> Message:
    return Message.objects.latest("position")


@pytest.mark.parametrize("again", [retry_reply, continue_reply])
def test_the_model_of_the_composer_answers_if_the_last_one_is_gone(
    again: object, person: User, reply: Message, models: list[ChatModel]
) -> None:
    done = again(person, reply.pk, fallback_id=models[1].pk)  # type: ignore[operator]
    assert by(done) == "other"
    assert done.generation.continues == (reply if again is continue_reply else None)


def test_the_same_model_answers_again_as_long_as_it_can(
    person: User, reply: Message, models: list[ChatModel]
) -> None:
    ChatModel.objects.update(enabled=True)
    assert by(retry_reply(person, reply.pk, fallback_id=models[1].pk)) == "gone"


def test_a_model_that_was_asked_for_by_name_is_not_replaced(
    person: User, reply: Message, models: list[ChatModel]
) -> None:
    with pytest.raises(NotFoundError):
        retry_reply(person, reply.pk, models[0].pk, fallback_id=models[1].pk)


def test_a_prompt_whose_reply_was_deleted_is_answered_by_what_the_composer_shows(
    person: User, reply: Message, models: list[ChatModel]
) -> None:
    delete_message(person, reply.pk)
    assert reply.parent is not None
    assert by(retry_reply(person, reply.parent.pk, fallback_id=models[2].pk)) == "third"


def posted(client: Client, reply: Message, *, htmx: bool = False, **fields: object) -> HttpResponse:
    headers = {"HX-Request": "true"} if htmx else {"Accept": "text/html"}
    return client.post(reverse("generations", args=[reply.pk]), fields, headers=headers)


def test_each_form_of_the_page_sends_along_what_the_composer_shows(
    person: User, client: Client, reply: Message
) -> None:
    client.force_login(person)
    page = client.get(reverse("conversation", args=[reply.conversation_id])).content.decode()
    forms = re.findall(r'<form[^>]*class="(?:retry|continue)"[^>]*>.*?</form>', page, re.DOTALL)
    assert len(forms) == 2
    for form in forms:
        assert re.search('(hx-include|data-post)="#model', form) and 'name="keep"' in form


def test_with_scripts_the_composers_model_is_taken(
    person: User, client: Client, reply: Message, models: list[ChatModel]
) -> None:
    client.force_login(person)
    assert posted(client, reply, htmx=True, keep="1", model=models[1].pk).status_code == 204
    assert by(newest()) == "other"


@pytest.mark.parametrize("fields", [{}, {"continue": "1"}], ids=["retry", "continue"])
def test_without_scripts_the_list_of_models_is_offered(
    person: User, client: Client, reply: Message, models: list[ChatModel], fields: dict[str, str]
) -> None:
    client.force_login(person)
    answer = posted(client, reply, keep="1", **fields)
    page = answer.content.decode()
    assert answer.status_code == 409 and newest() == reply
    assert re.findall(r'<option value="(\d+)"', page) == [str(models[1].pk), str(models[2].pk)]
    assert ('name="continue"' in page) == bool(fields)
    answer = posted(client, reply, model=models[2].pk, **fields)
    assert answer.status_code == 302
    assert by(newest()) == "third"
    assert (newest().generation.continues == reply) == bool(fields)


def test_a_chat_without_any_model_says_so(person: User, client: Client, reply: Message) -> None:
    ChatModel.objects.update(enabled=False)
    client.force_login(person)
    page = posted(client, reply, keep="1").content.decode()
    assert "No model is set up yet" in page and "<select" not in page
    notice = posted(client, reply, htmx=True, keep="1", model="")
    assert notice.status_code == 404 and "cannot be used" in notice.content.decode()


def test_a_retry_of_an_earlier_reply_says_what_happened_to_the_rest_and_can_be_undone(
    person: User, client: Client, reply: Message, models: list[ChatModel]
) -> None:
    chat = reply.conversation
    ids = {"client_id": uuid.uuid4(), "model_ids": [models[1].pk]}
    later = send_message(person, chat.pk, text="Later", **ids).message  # type: ignore[arg-type]
    Generation.objects.filter(message__parent=later).update(status=Status.COMPLETE)
    client.force_login(person)
    assert "continues after" in posted(client, reply, htmx=True, **{"continue": "1"}).content.decode()
    toast = posted(client, reply, htmx=True, model=models[1].pk).content.decode()
    assert "What followed is kept with the earlier reply." in toast
    again = newest()
    assert list(chat.messages.shown()) == [reply.parent, again]
    (undo,) = re.findall(r'action="([^"]*undo=[^"]*)"', toast)
    undone = client.post(undo.replace("&amp;", "&"), headers={"HX-Request": "true"})
    assert undone.status_code == 204
    assert list(chat.messages.shown()) == [reply.parent, reply, later, later.children.get()]
    assert again.generation.stop_requested
    client.force_login(User.objects.create_user("other@example.org"))
    assert client.post(undo, headers={"HX-Request": "true"}).status_code == 404
