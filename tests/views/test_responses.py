"""The messages of a view that cannot do its work."""

from __future__ import annotations

import uuid

import pytest
from django.db import OperationalError
from django.template.loader import render_to_string
from django.test import Client

from chat.models import User
from chat.views import messages


@pytest.fixture
def away(client: Client, person: User, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A client whose prompts get no answer from the database."""

    def send_message(*_: object, **__: object) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(messages, "send_message", send_message)
    client.force_login(person)
    return client


ADDRESS = f"/conversations/{uuid.uuid4()}/messages/"


def test_an_unreachable_database_is_reported_to_the_page(away: Client) -> None:
    client_id = str(uuid.uuid4())
    answer = away.post(ADDRESS, {"text": "x", "client_id": client_id}, headers={"HX-Request": "true"})
    assert answer.status_code == 503
    assert f'data-client-id="{client_id}"' in answer.text
    assert "database does not answer" in answer.text


def test_an_unreachable_database_is_reported_without_scripts_and_to_programs(away: Client) -> None:
    page = away.post(ADDRESS, {"text": "x"}, headers={"Accept": "text/html"})
    assert (page.status_code, "database does not answer" in page.text) == (503, True)
    answer = away.post(ADDRESS, {"text": "x"}, headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")


def test_a_refused_prompt_is_named(client: Client, person: User) -> None:
    client.force_login(person)
    client_id = str(uuid.uuid4())
    answer = client.post(ADDRESS, {"text": "", "client_id": client_id}, headers={"HX-Request": "true"})
    assert answer.status_code == 400
    assert f'data-client-id="{client_id}"' in answer.text


def test_the_page_of_a_fault_promises_nothing() -> None:
    assert "kept" not in render_to_string("500.html")
