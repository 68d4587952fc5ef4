"""The audit record reveals its own changes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from threading import Barrier

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from pytest_django.fixtures import Settings

from chat.models import TranscriptRead, User
from chat.models.audit import add_to_record, faults_of_record, head_of_record

pytestmark = pytest.mark.django_db


@pytest.fixture
def ten(administrator: User, person: User) -> None:
    for number in range(10):
        how = TranscriptRead.How.RIGHTS
        add_to_record(TranscriptRead.of_person(person, administrator, how, [("groups", "", str(number))]))


def _entry(number: int) -> TranscriptRead:
    return TranscriptRead.objects.get(number=number)


def _verify(*arguments: str) -> str:
    out = StringIO()
    call_command("audit", "verify", *arguments, stdout=out)
    return out.getvalue()


def _refusal(*arguments: str) -> str:
    with pytest.raises(CommandError) as refused:
        _verify(*arguments)
    assert refused.value.returncode == 1
    return str(refused.value)


def test_an_intact_record_is_reported_as_intact(ten: None) -> None:
    told = _verify()
    assert "The record is whole: 10 entries." in told
    assert f"Head: {head_of_record()}" in told


def test_an_empty_record_is_intact(db: None) -> None:
    assert "0 entries" in _verify()
    assert "0 entries" in _verify("--head", "0:")


CHANGES: list[dict[str, object]] = [
    {"reader_email": "somebody@else.example"},
    {"owner_email": "somebody@else.example"},
    {"conversation_id": "12345678-1234-1234-1234-123456789012"},
    {"how": "read"},
    {"words": "other"},
    {"found": 3},
    {"details": ""},
    {"at": "2020-01-01T00:00:00Z"},
    {"seal": "0" * 64},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_an_entry_that_was_changed_is_named(ten: None, change: dict[str, object]) -> None:
    TranscriptRead.objects.filter(number=4).update(**change)
    assert "Changed or moved: 4 " in _refusal()


def test_an_entry_that_is_missing_is_named(ten: None) -> None:
    TranscriptRead.objects.filter(number=4).delete()
    assert "Missing: 4." in _refusal()
    TranscriptRead.objects.filter(number__in=[1, 2]).delete()
    assert "Missing: 1 to 2." in _refusal()


def test_a_gap_that_was_closed_is_found(ten: None) -> None:
    TranscriptRead.objects.filter(number=4).delete()
    for number in range(5, 11):
        TranscriptRead.objects.filter(number=number).update(number=number - 1)
    assert "Changed or moved: 4 " in _refusal()


def test_swapped_entries_are_named(ten: None) -> None:
    third, seventh = _entry(3), _entry(7)
    TranscriptRead.objects.filter(pk=third.pk).update(number=99)
    TranscriptRead.objects.filter(pk=seventh.pk).update(number=3)
    TranscriptRead.objects.filter(pk=third.pk).update(number=7)
    told = _refusal()
    assert "Changed or moved: 3 " in told
    assert "Changed or moved: 7 " in told


def test_an_inserted_entry_is_named(ten: None, administrator: User) -> None:
    forged = TranscriptRead.objects.create(reader=administrator, reader_email="a@b.example", how="read")
    assert f"Without a seal: id {forged.pk} " in _refusal()
    TranscriptRead.objects.filter(pk=forged.pk).update(number=11, seal=_entry(10).seal)
    assert "Changed or moved: 11 " in _refusal()


def test_a_cut_off_end_is_found_by_a_noted_head(ten: None) -> None:
    head = head_of_record()
    TranscriptRead.objects.filter(number__gt=7).delete()
    assert "The record is whole: 7 entries." in _verify()
    assert head in _refusal("--head", head)
    for number in range(5):  # and later entries do not hide it
        add_to_record(TranscriptRead.by(None, TranscriptRead.How.GROUP, [("group", "", str(number))]))
    assert head in _refusal("--head", head)
    assert "whole" in _verify("--head", head_of_record())


def test_the_secret_key_can_be_changed(ten: None, settings: Settings) -> None:
    former, settings.SECRET_KEY = settings.SECRET_KEY, "another key " * 5
    assert "Changed or moved: 1 (or its secret key is no longer in" in _refusal()
    settings.SECRET_KEY_FALLBACKS = [former]
    add_to_record(TranscriptRead.by(None, TranscriptRead.How.GROUP, [("group", "", "x")]))
    assert "11 entries" in _verify()


def test_the_record_outlives_every_user_in_it(ten: None, person: User) -> None:
    person.delete()
    assert "10 entries" in _verify()
    assert {entry.owner_email for entry in TranscriptRead.objects.all()} == {"person@example.org"}


@pytest.mark.django_db(transaction=True)
def test_concurrent_writers_make_one_chain(administrator: User, person: User) -> None:
    together = Barrier(12)

    def write() -> None:
        try:
            connection.ensure_connection()
            together.wait()
            for _ in range(4):
                with transaction.atomic():
                    how = TranscriptRead.How.LINK
                    add_to_record(*(TranscriptRead.of_person(person, administrator, how) for _ in range(2)))
        finally:
            connection.close()

    with ThreadPoolExecutor(12) as threads:
        for future in [threads.submit(write) for _ in range(12)]:
            future.result()
    assert list(faults_of_record()) == []
    numbers = list(TranscriptRead.objects.order_by("number").values_list("number", flat=True))
    assert numbers == list(range(1, 97))
