"""Upgrades of databases with something in them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from chat.models import ChatModel, Generation, Message

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def before_abilities() -> Iterator[MigrationExecutor]:
    """The database as it was before models had abilities, and prices a floor."""
    executor = MigrationExecutor(connection)
    executor.migrate([("chat", "0003_page")])
    yield MigrationExecutor(connection)
    call_command("migrate", verbosity=0)


def test_a_negative_price_of_earlier_days_does_not_stop_an_upgrade(
    before_abilities: MigrationExecutor,
) -> None:
    apps = before_abilities.loader.project_state([("chat", "0003_page")]).apps
    provider = apps.get_model("chat", "ModelProvider").objects.create(slug="own", name="Own")
    models = apps.get_model("chat", "ChatModel").objects
    for name, price in (("free", -1), ("fair", 3)):
        models.create(provider=provider, name=name, input_price=price, output_price=price)
    call_command("migrate", verbosity=0)
    assert dict(ChatModel.objects.values_list("name", "input_price")) == {"free": None, "fair": 3}


@pytest.fixture
def before_batches() -> Iterator[MigrationExecutor]:
    """The database as it was when what belongs together was known by equal times."""
    MigrationExecutor(connection).migrate([("chat", "0009_send_key")])
    yield MigrationExecutor(connection)
    call_command("migrate", verbosity=0)


def test_what_was_asked_for_or_deleted_together_keeps_together_after_an_upgrade(
    before_batches: MigrationExecutor,
) -> None:
    apps = before_batches.loader.project_state([("chat", "0009_send_key")]).apps
    user = apps.get_model("chat", "User").objects.create(email="person@example.org")
    conversation = apps.get_model("chat", "Conversation").objects.create(owner=user)
    messages, generations = apps.get_model("chat", "Message"), apps.get_model("chat", "Generation")
    now = timezone.now()

    def add(position: int, **fields: object) -> object:
        return messages.objects.create(
            pk=uuid4(), conversation=conversation, position=position, added_version=1, version=1, **fields
        )

    prompt = add(1, role="user")
    for position, seconds in ((2, 0), (3, 0), (4, 5)):
        queued_at = now + timedelta(seconds=seconds)
        reply = add(position, role="assistant", parent=prompt)
        generations.objects.create(
            conversation=conversation, message=reply, model_label="m", queued_at=queued_at
        )
    for position, seconds in ((5, 0), (6, 0), (7, 5)):
        add(position, role="user", deleted_at=now + timedelta(seconds=seconds))
    call_command("migrate", verbosity=0)
    batches = dict(Generation.objects.values_list("message__position", "batch"))
    assert batches[2] == batches[3] is not None and batches[4] is None
    deletions = dict(Message.objects.values_list("position", "deletion"))
    assert deletions[5] == deletions[6] is not None and deletions[7] not in {None, deletions[5]}
    assert [deletions[position] for position in (1, 2, 3, 4)] == [None] * 4
