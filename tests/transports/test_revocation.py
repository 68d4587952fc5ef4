"""Viewers without access are disconnected within 5 s, in any state of their socket."""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings
from websockets.asyncio.client import ClientConnection

from chat.access import NotFoundError
from chat.actor import LoggedOutError
from chat.live.hub import Listener
from chat.models import Conversation, User
from chat.transports.viewers import viewer_of
from tests.servers import ServerProcess
from tests.transports.test_socket import _log_in, close_code, prompt, rows, socket, until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("revocation") / "data").start()
    yield process
    process.stop()


@pytest.fixture
def email(server: ServerProcess) -> str:
    email = f"{uuid.uuid4().hex}@example.org"
    server.add_person(email)
    return email


def execute(server: ServerProcess, query: str, *arguments: object) -> None:
    with closing(sqlite3.connect(server.data_dir / "steady.sqlite3", timeout=60)) as database, database:
        database.execute(query, arguments)


def deactivate(server: ServerProcess, email: str) -> None:
    execute(server, "UPDATE chat_user SET is_active = 0 WHERE email = ?", email)


async def is_revoked(connection: ClientConnection) -> None:
    """Waits for the close; within 5 s on an idle machine (`session_monitor.PERIOD` is 2 s)."""
    assert await close_code(connection) == 4401


async def test_a_socket_that_never_said_hello_is_closed(server: ServerProcess, email: str) -> None:
    async with socket(server, uuid.uuid4(), await _log_in(server, email)) as connection:
        await connection.send(prompt(server, "/demo fail"))
        await until(connection, 'id="receipt"')
        deactivate(server, email)
        await is_revoked(connection)


async def test_a_deactivated_user_sends_nothing_before_the_next_check(
    server: ServerProcess, email: str
) -> None:
    conversation = uuid.uuid4()
    async with socket(server, conversation, await _log_in(server, email)) as connection:
        await connection.send(prompt(server, "/demo fail"))
        await until(connection, 'id="receipt"')
        deactivate(server, email)
        await connection.send(prompt(server, "After all"))
        await is_revoked(connection)
    query = "SELECT COUNT(*) FROM chat_message WHERE conversation_id = ? AND text = 'After all'"
    assert rows(server, query, conversation.hex) == [(0,)]


async def test_a_socket_whose_client_reads_but_never_acknowledges_is_closed(
    server: ServerProcess, email: str
) -> None:
    async with socket(server, uuid.uuid4(), await _log_in(server, email)) as connection:
        await connection.send(json.dumps({"type": "hello", "revision": 0}))
        await connection.send(prompt(server, "/demo long A long one"))
        for _ in range(32):
            await connection.recv()
        deactivate(server, email)
        await is_revoked(connection)


async def test_a_socket_without_hello_is_closed_after_a_while(server: ServerProcess, email: str) -> None:
    async with socket(server, uuid.uuid4(), await _log_in(server, email)) as connection:
        began = time.monotonic()
        assert await close_code(connection) == 4408
        assert time.monotonic() - began > 8


def test_a_session_of_a_former_secret_key_is_taken_as_it_is(
    client: Client, person: User, settings: Settings
) -> None:
    client.force_login(person)
    key = client.session.session_key
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another key " * 5
    assert key
    assert viewer_of(key, uuid.uuid4()).user_id == person.pk
    assert client.session.session_key == key
    assert client.get("/conversations/").status_code == 200


def test_a_session_from_before_a_change_of_the_password_opens_nothing(client: Client, person: User) -> None:
    client.force_login(person)
    key = client.session.session_key
    person.set_password("quite another passphrase")
    person.save()
    assert key
    with pytest.raises(LoggedOutError):
        viewer_of(key, uuid.uuid4())


def test_a_chat_is_opened_only_by_its_owners_valid_session(
    client: Client, person: User, make_user: Callable[..., User], settings: Settings
) -> None:
    """The usual case is one query (`transports.viewers`); each of these differs from it in one thing."""
    chat = Conversation.objects.create(id=uuid.uuid4(), owner=person)
    client.force_login(person)
    key = client.session.session_key or ""
    assert viewer_of(key, chat.pk, Listener()).known == chat

    other = Client()
    other.force_login(make_user("other@example.org"))
    with pytest.raises(NotFoundError):
        viewer_of(other.session.session_key, chat.pk)
    for wrong in ("", "unknown", None):
        with pytest.raises(LoggedOutError):
            viewer_of(wrong, chat.pk)

    secret = settings.SECRET_KEY
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [secret], "another key " * 5
    assert viewer_of(key, chat.pk).user_id == person.pk
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(LoggedOutError):
        viewer_of(key, chat.pk)
    settings.SECRET_KEY = secret

    Conversation.objects.update(deleted_at=timezone.now())
    with pytest.raises(NotFoundError):
        viewer_of(key, chat.pk)
    Conversation.objects.update(deleted_at=None)
    User.objects.update(is_active=False)
    with pytest.raises(LoggedOutError):
        viewer_of(key, chat.pk)
    User.objects.update(is_active=True)
    password = person.password
    User.objects.update(password="!")
    with pytest.raises(LoggedOutError):
        viewer_of(key, chat.pk)
    User.objects.update(password=password)
    assert viewer_of(key, chat.pk)
    Session.objects.update(expire_date=timezone.now())
    with pytest.raises(LoggedOutError):
        viewer_of(key, chat.pk)
