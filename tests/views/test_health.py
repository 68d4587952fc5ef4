"""Liveness asks nothing; readiness says in words what is missing."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from chat.generation.runner import runner
from chat.views import health


@pytest.fixture
def accepting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "accepting", True)
    monkeypatch.setattr(health, "_migrated", False)


@pytest.mark.django_db
def test_a_living_process_says_so_without_the_database(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(0):
        answer = client.get("/healthz")
    assert (answer.status_code, answer.content) == (200, b"alive\n")
    assert "no-store" in answer["Cache-Control"]
    assert client.post("/healthz").status_code == 405


@pytest.mark.django_db
def test_health_is_answered_to_the_machine_itself(client: Client) -> None:
    for host in ("127.0.0.1:8000", "localhost"):
        assert client.get("/healthz", headers={"host": host}).status_code == 200


@pytest.mark.django_db
def test_a_ready_process_says_so(
    client: Client, accepting: None, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    assert client.get("/readyz").json() == {
        "ready": True,
        "database": "ok",
        "migrations": "ok",
        "replies": "ok",
    }
    with django_assert_max_num_queries(1):
        assert client.get("/readyz").status_code == 200


@pytest.mark.django_db
def test_a_stopping_process_is_not_ready(
    client: Client, accepting: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "accepting", False)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "stopping" in answer.json()["replies"]


@pytest.mark.django_db
def test_a_missing_migration_is_told(client: Client, accepting: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'chat'")
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "Migrations are missing" in answer.json()["migrations"]


@pytest.mark.django_db
def test_an_unreachable_database_is_told_without_its_address(
    client: Client, accepting: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise DatabaseError("connection to postgres://u:hidden@h failed")

    monkeypatch.setattr(health, "MigrationExecutor", fail)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["database"] == "The database cannot be reached."
    assert b"hidden" not in answer.content
