"""Calls of programs count to their user's limit in all processes, and permits are forgotten in time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from threading import Event
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.db.models.functions import Now
from pytest_django.fixtures import Settings

from chat.access import NoSuchModelError
from chat.actions import call
from chat.actions.api_token import make_token, revoke_tokens
from chat.actions.call import begin_call, counted, recent_permit
from chat.actions.errors import LimitReachedError
from chat.actions.send import send_message
from chat.actor import LoggedOutError, ScopeError
from chat.generation.running_calls import SEEN_SECONDS, Permit, _clean_up
from chat.models import ApiToken, ChatModel, Endpoint, Generation, RunningCall, Status, User
from chat.runtime import Runtime, current, install

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def process() -> Iterator[None]:
    before = current()
    install(Runtime())
    yield
    install(before)


@pytest.fixture
def model(db: None) -> ChatModel:
    return ChatModel.objects.create(endpoint=Endpoint.objects.create(slug="demo", name="Demo"), name="demo")


@pytest.fixture
def secret(person: User, model: ChatModel) -> str:
    return make_token(person, name="x", scopes=["gateway"])[1]


def refused(secret: str, name: str = "demo") -> type[Exception] | None:
    try:
        with counted(begin_call(secret, name, uuid4()), uuid4()):
            return None
    except (LoggedOutError, ScopeError, NoSuchModelError, LimitReachedError) as error:
        return type(error)


def test_a_permit_ends_with_the_access_that_it_grants(person: User, model: ChatModel, secret: str) -> None:
    assert refused(secret) is None
    model.enabled = False
    model.save()
    assert refused(secret) is NoSuchModelError
    model.enabled, model.for_everyone = True, False
    model.save()
    assert refused(secret) is NoSuchModelError
    group = Group.objects.create(name="Few")
    model.groups.add(group)
    person.groups.add(group)
    assert refused(secret) is None
    person.groups.clear()
    assert refused(secret) is NoSuchModelError
    model.for_everyone = True
    model.save()
    assert refused(secret) is None
    person.is_active = False
    person.save()
    assert refused(secret) is LoggedOutError
    person.is_active = True
    person.save()
    assert refused(secret) is None
    revoke_tokens(ApiToken.objects.all(), by=None)
    assert refused(secret) is LoggedOutError


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Event, Event]]:
    """The first permit is read, which sets the first event, and kept after the second one."""
    has_read, may_keep = Event(), Event()
    read = call._permit

    def reads(secret: str, name: str) -> Permit:
        permit = read(secret, name)
        if not has_read.is_set():
            has_read.set()
            assert may_keep.wait(60)
        return permit

    monkeypatch.setattr(call, "_permit", reads)
    yield has_read, may_keep
    may_keep.set()


def begun(secret: str) -> None:
    with closing(connection):
        begin_call(secret, "demo", uuid4())


@pytest.mark.parametrize("change", ["revocation", "save"])
def test_a_permit_that_was_read_before_a_change_is_not_kept_after_it(
    change: str, model: ChatModel, secret: str, held: tuple[Event, Event]
) -> None:
    has_read, may_keep = held
    with ThreadPoolExecutor(1) as thread:
        beginning = thread.submit(begun, secret)
        assert has_read.wait(60)
        if change == "save":
            model.enabled = False
            model.save()
        else:
            revoke_tokens(ApiToken.objects.all(), by=None)
        may_keep.set()
        beginning.result(60)
    assert refused(secret) is (NoSuchModelError if change == "save" else LoggedOutError)


def test_a_permit_that_was_read_in_the_middle_of_a_change_ends_with_its_commit(
    model: ChatModel, secret: str
) -> None:
    begun(secret)  # notes the use of the token: the next one only reads
    with ThreadPoolExecutor(1) as thread:
        with transaction.atomic():
            model.enabled = False
            model.save()
            thread.submit(begun, secret).result(60)
        assert refused(secret) is NoSuchModelError


def test_a_token_without_the_scope_begins_no_call(person: User, model: ChatModel) -> None:
    assert refused(make_token(person, name="x", scopes=["chat"])[1]) is ScopeError


@pytest.mark.skipif(not django_settings.SQLITE, reason="Each call is counted in the database.")
class TestOneProcess:
    def test_another_call_needs_no_database_until_something_changes(
        self, person: User, model: ChatModel, secret: str, django_assert_num_queries: Any
    ) -> None:
        current().calls.permits._seconds = 3_600.0
        assert recent_permit(secret, "demo") is None
        assert refused(secret) is None
        with django_assert_num_queries(0):
            permit = recent_permit(secret, "demo")
        assert permit is not None and permit.actor.user == person
        assert recent_permit(secret, "other") is None
        revoke_tokens(ApiToken.objects.all(), by=None)
        assert recent_permit(secret, "demo") is None

    def test_a_new_reply_ends_the_permits_and_a_full_one_is_read_again(
        self, person: User, model: ChatModel, secret: str, settings: Settings
    ) -> None:
        settings.CHAT_RUNNING_PER_PERSON = 2
        assert refused(secret) is None
        send_message(person, uuid4(), client_id=uuid4(), text="Hi", model_ids=[model.pk])
        assert recent_permit(secret, "demo") is None
        assert begin_call(secret, "demo", uuid4()).replies == 1
        with current().calls.counting(person.pk):
            assert recent_permit(secret, "demo") is None
            assert refused(secret) is LimitReachedError
            Generation.objects.update(status=Status.COMPLETE)
            assert refused(secret) is None


@pytest.mark.skipif(django_settings.SQLITE, reason="There is one process only.")
class TestSeveralProcesses:
    def test_simultaneous_calls_of_several_processes_keep_the_limit(
        self, person: User, secret: str, settings: Settings
    ) -> None:
        settings.CHAT_RUNNING_PER_PERSON = 4

        def begin(_number: int) -> bool:
            with closing(connection):
                try:
                    begin_call(secret, "demo", uuid4())
                except LimitReachedError:
                    return False
                return True

        with ThreadPoolExecutor(12) as threads:
            assert sum(threads.map(begin, range(24))) == 4
        model_id = ChatModel.objects.get().pk
        with pytest.raises(LimitReachedError):
            send_message(person, uuid4(), client_id=uuid4(), text="Hi", model_ids=[model_id])

    def test_the_calls_of_a_killed_process_soon_stop_counting(
        self, person: User, secret: str, settings: Settings
    ) -> None:
        settings.CHAT_RUNNING_PER_PERSON = 2
        lost, running = uuid4(), uuid4()
        for call_id in (lost, running):
            begin_call(secret, "demo", call_id)
        assert refused(secret) is LimitReachedError
        RunningCall.objects.update(process="killed", seen_at=Now() - timedelta(seconds=SEEN_SECONDS + 1))
        _clean_up([], [running])
        assert list(RunningCall.objects.values_list("pk", flat=True)) == [running]
        assert refused(secret) is None
        _clean_up([running], None)
        assert RunningCall.objects.count() == 1  # that of `refused`, whose process has no loop here
