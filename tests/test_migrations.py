"""Upgrades of databases with something in them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from chat.models import ChatModel

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
