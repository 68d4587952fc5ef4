"""The chat page without scripts, and its equality with a live update."""

from __future__ import annotations

import uuid

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from chat.actions.feedback import rate_reply
from chat.actions.send import send_message
from chat.live.subscription import PAGE_LENGTH
from chat.models import ChatModel, Conversation, Endpoint, Generation, Message, Role, Status, User
from chat.rendering import dom, fragments

pytestmark = pytest.mark.django_db


def thread_of(person: User, length: int) -> Conversation:
    conversation = Conversation.objects.create(owner=person, revision=1, last_position=length)
    Message.objects.bulk_create(
        Message(
            conversation=conversation,
            position=number,
            role=Role.USER,
            text=f"word{number}.",
            added_revision=1,
            revision=1,
        )
        for number in range(1, length + 1)
    )
    return conversation


def test_earlier_messages_are_a_page_of_their_own_without_scripts(person: User, client: Client) -> None:
    conversation = thread_of(person, PAGE_LENGTH + 10)
    client.force_login(person)
    latest = client.get(reverse("conversation", args=[conversation.pk]))
    assert [m.position for m in latest.context["shown_messages"]] == list(range(11, PAGE_LENGTH + 11))
    page = client.get(latest.context["earlier_url"])
    assert page.templates[0].name == "chat/page.html"
    assert [m.position for m in page.context["shown_messages"]] == list(range(1, 11))
    assert f'href="{reverse("conversation", args=[conversation.pk])}"' in page.content.decode()
    # A page with scripts loads all messages again, whatever has changed.
    assert '<input type="hidden" id="revision" value="0">' in page.content.decode()


def test_all_pages_up_to_a_message_far_above_are_one_answer(
    person: User, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = thread_of(person, 4 * PAGE_LENGTH)
    client.force_login(person)
    url = reverse("earlier", args=[conversation.pk, 3 * PAGE_LENGTH + 1])
    wanted = conversation.messages.get(position=PAGE_LENGTH + 10)

    def positions(to: str) -> list[int]:
        shown = client.get(url, {"to": to}, headers={"HX-Request": "true"}).context["shown_messages"]
        return [message.position for message in shown]

    last_page = list(range(2 * PAGE_LENGTH + 1, 3 * PAGE_LENGTH + 1))
    assert positions(dom.message(wanted.pk)) == list(range(PAGE_LENGTH + 1, 3 * PAGE_LENGTH + 1))
    assert positions(dom.message(uuid.uuid4())) == positions("no id") == last_page
    monkeypatch.setattr("chat.views.conversations.MOST_AT_ONCE", PAGE_LENGTH)
    assert positions(dom.message(wanted.pk)) == last_page


def test_a_thread_of_one_page_has_no_earlier_one(person: User, client: Client) -> None:
    conversation = thread_of(person, PAGE_LENGTH)
    client.force_login(person)
    answer = client.get(reverse("earlier", args=[conversation.pk, 11]))
    assert (answer.status_code, answer["Location"]) == (302, reverse("conversation", args=[conversation.pk]))


def test_the_greeting_of_an_empty_chat_can_be_scrolled_with_the_keyboard(
    person: User, client: Client
) -> None:
    """Many attached files leave little room for it, and nothing in it can have the focus."""
    client.force_login(person)
    assert 'id="scroller" tabindex="0"' in client.get("/", follow=True).content.decode()
    page = client.get(reverse("conversation", args=[thread_of(person, 1).pk])).content.decode()
    assert 'id="scroller" tabindex="-1"' in page


def test_a_bad_rating_asks_why_on_every_page_until_it_is_answered(person: User, client: Client) -> None:
    provider = Endpoint.objects.create(slug="demo", name="Demo")
    model = ChatModel.objects.create(endpoint=provider, name="demo")
    sent = send_message(person, uuid.uuid4(), client_id=uuid.uuid4(), text="Words", model_ids=[model.pk])
    reply = sent.message.children.get()
    Generation.objects.update(status=Status.COMPLETE)
    client.force_login(person)
    for reason, asks in (("", True), ("style", False)):
        rate_reply(person, reply.pk, is_good=False, reason=reason)
        live = fragments.message(Message.objects.get(pk=reply.pk))
        page = client.get(reverse("conversation", args=[reply.conversation_id])).content.decode()
        for html in (live, page):
            assert dom.feedback(reply.pk) in html
            assert ("feedback-form" in html) == asks


def test_the_page_of_a_forgotten_password_promises_no_mail_that_is_not_sent(
    client: Client, settings: Settings
) -> None:
    words = "This server sends no email. Ask an administrator for a log-in link."
    settings.MAILERS = {"default": {"BACKEND": "chatproject.mail.Unsent"}}
    for name in ("account_reset_password", "account_reset_password_done"):
        assert words in client.get(reverse(name)).content.decode()
    settings.MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
    page = client.get(reverse("account_reset_password")).content.decode()
    assert words not in page
    assert 'name="email"' in page
