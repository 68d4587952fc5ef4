"""Reading changes nothing."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from chat.actions.send import send_message
from chat.models import ChatModel, Conversation, Endpoint, Generation, Status, User

pytestmark = pytest.mark.django_db


@contextmanager
def writes() -> Any:
    """Records each statement that takes a write lock."""
    noted: list[str] = []

    def note(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if sql.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE", "REPLACE")):
            noted.append(sql)
        return execute(sql, *rest)

    with connection.execute_wrapper(note):
        yield noted


@pytest.fixture
def client_and_chat(make_user: Callable[..., User]) -> tuple[Client, Conversation]:
    user = make_user("reader@example.org")
    provider = Endpoint.objects.create(slug="demo", name="Demo")
    model = ChatModel.objects.create(endpoint=provider, name="demo")
    prompt = send_message(
        user, uuid.uuid4(), client_id=uuid.uuid4(), text="Look", model_ids=[model.pk]
    ).message
    Generation.objects.update(status=Status.COMPLETE)
    client = Client()
    client.force_login(user)
    client.get(reverse("settings"))
    return client, prompt.conversation


@pytest.mark.parametrize("htmx", [{}, {"HX-Request": "true"}], ids=["page", "htmx"])
def test_a_get_writes_nothing(client_and_chat: tuple[Client, Conversation], htmx: dict[str, str]) -> None:
    client, chat = client_and_chat
    own = reverse("conversation", args=[chat.pk])
    addresses = [
        own,
        reverse("conversation", args=[uuid.uuid4()]),
        f"{reverse('conversations')}?seen=1",
        reverse("earlier", args=[chat.pk, 2]),
        reverse("message", args=[chat.head_id]),
        reverse("home"),
        reverse("settings"),
    ]
    headers = {"HX-Current-URL": f"http://testserver{own}", **htmx}
    for address in addresses:
        with writes() as noted:
            answer = client.get(address, headers=headers)
        assert answer.status_code < 400, address
        assert noted == [], address
    chat.refresh_from_db()
    assert chat.seen_revision == 0


def test_what_was_seen_is_said_by_post(client_and_chat: tuple[Client, Conversation]) -> None:
    client, chat = client_and_chat
    own = reverse("conversation", args=[chat.pk])
    headers = {"HX-Current-URL": f"http://testserver{own}", "HX-Request": "true"}
    for seen, expected in (("nonsense", 0), (str(chat.revision + 1), 0), (str(chat.revision), chat.revision)):
        client.post(reverse("conversations"), {"seen": seen}, headers=headers)
        chat.refresh_from_db()
        assert chat.seen_revision == expected
