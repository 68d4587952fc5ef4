"""Liveness queries nothing; readiness names what is missing."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from django.db import DatabaseError
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from chat.generation import readiness
from chat.models import Probe
from chat.runtime import Runtime


@pytest.fixture(autouse=True)
def accepting(runtime: Runtime) -> None:
    """A process that takes work."""
    runtime.runner.accepting = True


@pytest.mark.django_db
def test_liveness_is_answered_without_the_database(
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


@pytest.mark.django_db(transaction=True)
def test_a_ready_process_says_so_after_a_real_write(client: Client) -> None:
    assert client.get("/readyz").json() == {
        "ready": True,
        "database": "ok",
        "migrations": "ok",
        "replies": "ok",
        "journal": "ok",
        "sessions": "ok",
        "recovery": "ok",
        "files": "ok",
    }
    assert Probe.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_probes_of_one_second_share_one_write(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "SHARED_SECONDS", 3600)
    assert client.get("/readyz").status_code == 200
    Probe.objects.all().delete()
    assert client.get("/readyz").status_code == 200
    assert not Probe.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_stopping_process_is_not_ready(client: Client, runtime: Runtime) -> None:
    runtime.runner.accepting = False
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "stopping" in answer.json()["replies"]


@pytest.mark.django_db(transaction=True)
def test_a_missing_migration_is_reported(client: Client) -> None:
    rows = MigrationRecorder.Migration.objects.filter(app="chat")
    last = rows.latest("id")
    rows.filter(pk=last.pk).delete()
    try:
        answer = client.get("/readyz")
    finally:
        last.save(force_insert=True)
    assert answer.status_code == 503
    assert "Migrations are missing" in answer.json()["migrations"]


@pytest.mark.django_db(transaction=True)
def test_an_unreachable_database_is_reported_without_its_address(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise DatabaseError("connection to postgres://u:hidden@h failed")

    monkeypatch.setattr(readiness, "MigrationExecutor", fail)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["database"] == "The database cannot be reached."
    assert b"hidden" not in answer.content


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", ["journal", "sessions", "recovery"])
def test_a_blocked_loop_is_reported_and_logged_once(
    client: Client,
    runtime: Runtime,
    name: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    loops = {
        "journal": runtime.journal,
        "sessions": runtime.session_monitor,
        "recovery": runtime.recovery,
    }
    loop: Any = loops[name]
    caplog.set_level("INFO")
    loop.alive_at = time.monotonic() - 61
    for _ in range(3):
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert re.search(r" \d\d s ago", answer.json()[name])
    loop.alive_at = time.monotonic()
    assert client.get("/readyz").status_code == 200
    told = [record.getMessage() for record in caplog.records if record.name == readiness.__name__]
    assert [words.partition(":")[0] for words in told] == [
        "The process is not ready for requests",
        "The process is ready for requests again.",
    ]
