"""Prepared queries return what their querysets return, with the values of each call."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.db.models import F, QuerySet
from django.db.models.signals import post_init
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from chat.models import ChatModel, Conversation, Endpoint, Generation, Message, Preferences, Role, User
from chat.models.prepared import Prepared

pytestmark = pytest.mark.django_db


@pytest.fixture
def users() -> list[User]:
    return [User.objects.create_user(f"{name}@example.org") for name in ("ada", "bob")]


def test_each_call_has_its_own_values(users: list[User]) -> None:
    ours = Prepared(lambda user, pk: Conversation.objects.filter(owner=user, pk=pk), int, uuid.UUID)
    chats = [Conversation.objects.create(owner=user, title=user.email) for user in users]
    for user, chat in zip(users, chats, strict=True):
        found = ours.first(user.pk, chat.pk)
        assert found == chat
        assert vars(found)["title"] == user.email
        assert found.pk == chat.pk  # a UUID, not the text of the database
    assert ours.first(users[0].pk, chats[1].pk) is None
    assert ours.all(users[1].pk, chats[0].pk) == []


def test_a_value_may_be_used_twice_and_beside_constants(users: list[User]) -> None:
    either = Prepared(
        lambda user: (
            Conversation.objects.filter(owner=user, deleted_at=None, title="kept")
            | Conversation.objects.filter(owner=user, revision=7)
        ),
        int,
    )
    kept = Conversation.objects.create(owner=users[0], title="kept")
    seventh = Conversation.objects.create(owner=users[0], revision=7)
    Conversation.objects.create(owner=users[0], revision=8)
    Conversation.objects.create(owner=users[1], title="kept")
    assert {chat.pk for chat in either.all(users[0].pk)} == {kept.pk, seventh.pk}


def test_times_and_texts_are_values(users: list[User]) -> None:
    now = timezone.now()
    for number, title in enumerate(["old", "new", "new"]):
        Conversation.objects.create(owner=users[0], title=title, deleted_at=now + timedelta(hours=number))
    since = Prepared(
        lambda title, at: Conversation.objects.filter(title=title, deleted_at__gt=at),
        str,
        datetime,
    )
    assert [len(since.all("new", now + timedelta(minutes=minutes))) for minutes in (1, 61, 121)] == [2, 1, 0]
    assert since.all("' OR 1=1 --", now) == []


def test_related_rows_and_plain_values_come_as_from_the_queryset(users: list[User]) -> None:
    def build(user: int) -> QuerySet[Preferences]:
        return Preferences.objects.filter(user=user).select_related("user")

    for user in users:
        Preferences.objects.create(user=user, streaming="calm")
    related = Prepared(build, int).first(users[0].pk)
    assert related is not None
    with CaptureQueriesContext(connection) as queries:
        assert related.user == users[0]
    assert not queries.captured_queries
    flat: Prepared[Any] = Prepared(lambda user: build(user).values_list("streaming", flat=True), int)
    assert flat.all(users[1].pk) == ["calm"]
    pairs: Prepared[Any] = Prepared(lambda user: build(user).values_list("user_id", "theme"), int)
    assert pairs.first(users[1].pk) == (users[1].pk, "system")


def test_the_queryset_is_built_once(users: list[User]) -> None:
    built = []

    def build(user: int) -> QuerySet[User]:
        built.append(user)
        return User.objects.filter(pk=user)

    prepared = Prepared(build, int)
    assert [prepared.first(user.pk) for user in users] == users
    assert len(built) == 1


def test_a_value_that_is_changed_on_its_way_is_refused() -> None:
    begins = Prepared(lambda text: User.objects.filter(email__startswith=text), str)
    with pytest.raises(ImproperlyConfigured, match="does not reach the SQL"):
        begins.all("ada")
    dates: Prepared[Any] = Prepared(lambda value: User.objects.filter(pk=value), float)
    with pytest.raises(ImproperlyConfigured, match="no parameters of the type"):
        dates.all(1.0)


@pytest.mark.parametrize(
    "build",
    [
        lambda pk: Message.objects.filter(conversation=pk).order_by("position"),
        lambda pk: (
            Message.objects.filter(conversation=pk)
            .order_by("position")
            .select_related("generation__model__endpoint", "conversation__owner", "parent")
            .annotate(place=F("parent__position"))
        ),
        lambda pk: (
            Message.objects.filter(conversation=pk)
            .order_by("-position")
            .select_related("generation", "conversation__head")
            .defer("text", "conversation__head__parts", "generation__cost")
        ),
        lambda pk: Message.objects.filter(conversation=pk).order_by("pk").values_list("pk", flat=True),
        lambda pk: Message.objects.filter(conversation=pk).order_by("pk").values_list("pk", "created_at"),
    ],
)
def test_rows_are_made_as_django_makes_them(users: list[User], build: Any) -> None:
    chat = Conversation.objects.create(owner=users[0], title="Kept")
    model = ChatModel.objects.create(endpoint=Endpoint.objects.create(slug="demo", name="Demo"), name="demo")
    prompt = None
    for number in range(4):
        prompt = Message.objects.create(
            conversation=chat,
            parent=prompt,
            position=number + 1,
            role=Role.ASSISTANT if number % 2 else Role.USER,
            parts=[{"type": "text", "text": "é"}],
            added_revision=1,
            revision=1,
        )
        if number == 1:
            Generation.objects.create(conversation=chat, message=prompt, model=model, cost="0.25")
    Conversation.objects.filter(pk=chat.pk).update(head=prompt)
    found = Prepared(build, uuid.UUID).all(chat.pk)
    expected = list(build(chat.pk))
    assert len(found) == 4
    assert [_content(it) for it in found] == [_content(it) for it in expected]


def _content(it: Any, depth: int = 0) -> Any:
    """Returns all attributes of an object, with those of the objects that it holds."""
    if not hasattr(it, "_state"):
        return it
    state = dict(vars(it._state))
    joined = state.pop("fields_cache", {})
    own = {name: value for name, value in vars(it).items() if name != "_state"}
    below = {name: _content(other, depth + 1) for name, other in joined.items()} if depth < 4 else {}
    return type(it), own, state.pop("adding"), state.pop("db"), below


def test_a_model_with_a_receiver_of_its_start_is_made_by_django(users: list[User]) -> None:
    made = []

    def receive(instance: User, **_signal: Any) -> None:
        made.append(instance.email)

    post_init.connect(receive, sender=User)
    try:
        assert Prepared(lambda pk: User.objects.filter(pk=pk), int).first(users[1].pk) == users[1]
    finally:
        post_init.disconnect(receive, sender=User)
    assert made == ["bob@example.org"]
