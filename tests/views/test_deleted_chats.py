"""A deleted chat is listed and can be restored until its messages are gone."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from chat.actions.conversation import delete_conversation
from chat.actions.erasure import erase_conversations
from chat.models import Conversation, User

pytestmark = pytest.mark.django_db

LIST = reverse("conversations")


def chat_of(owner: User, title: str) -> Conversation:
    return Conversation.objects.create(owner=owner, title=title, last_position=1, revision=1)


def test_deleted_chats_are_listed_and_restored(person: User, administrator: User, client: Client) -> None:
    kept, gone, old, erased = (chat_of(person, title) for title in ("Kept", "Gone", "Long ago", "Erased"))
    theirs = chat_of(administrator, "Theirs")
    client.force_login(person)
    assert "Deleted chats" not in client.get(LIST).content.decode()
    for chat in (gone, old, erased):
        delete_conversation(person, chat.pk)
    delete_conversation(administrator, theirs.pk)
    erase_conversations([erased.pk], by=administrator)
    long_ago = timezone.now() - timedelta(days=settings.CHAT_KEEP_DELETED_DAYS, minutes=1)
    Conversation.objects.filter(pk=old.pk).update(deleted_at=long_ago)
    assert "Deleted chats" in client.get(LIST).content.decode()
    for headers in ({}, {"HX-Request": "true"}):
        page = client.get(LIST, {"deleted": "1"}, headers=headers).content.decode()
        assert "Gone" in page
        assert not any(title in page for title in ("Kept", "Long ago", "Erased", "Theirs"))
    again = client.get(LIST, {"deleted": "1"}, headers={"HX-Request": "true"})
    stamp = {"deleted": "1", "stamp": again.context["stamp"]}
    assert client.get(LIST, stamp, headers={"HX-Request": "true"}).status_code == 204
    restored = client.post(reverse("restoration", args=[gone.pk]), headers={"HX-Request": "true"})
    assert "Gone" in restored.content.decode()
    assert "No deleted chats." in client.get(LIST, {"deleted": "1"}).content.decode()
    for chat in (old, erased, theirs, kept):
        assert client.post(reverse("restoration", args=[chat.pk])).status_code == 404
