"""The socket from outside: a real server, valid and invalid frames."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.servers import ADMIN, PASSWORD, ServerProcess

OTHER = "other@example.org"
PAGES = 60  # for the sockets of all tests here, one after the other
COMPLETE = 'data-role="assistant" data-status="complete"'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    env = {"CHAT_RUNNING_PER_PERSON": "100", "CHAT_PAGES_PER_PERSON": str(PAGES)}
    process = ServerProcess(tmp_path_factory.mktemp("socket") / "data", env)
    process.start()
    process.add_person(OTHER)
    yield process
    process.stop()


_cookies: dict[tuple[str, str], dict[str, str]] = {}


async def log_in(server: ServerProcess, email: str = ADMIN) -> dict[str, str]:
    """Returns the cookies of a logged-in user; once for each user, because log-ins are rate-limited."""
    if (server.url, email) not in _cookies:
        _cookies[server.url, email] = await _log_in(server, email)
    return _cookies[server.url, email]


async def _log_in(server: ServerProcess, email: str) -> dict[str, str]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        url = f"{server.url}/accounts/login/"
        async with session.get(url) as page:
            token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', await page.text())
        assert token
        form = {"login": email, "password": PASSWORD, "csrfmiddlewaretoken": token[1]}
        async with session.post(url, data=form, allow_redirects=False) as answer:
            assert answer.status == 302
        return {cookie.key: cookie.value for cookie in session.cookie_jar}


@asynccontextmanager
async def socket(
    server: ServerProcess,
    conversation: uuid.UUID,
    cookies: dict[str, str] | None = None,
    **headers: str | None,
) -> AsyncIterator[ClientConnection]:
    sent = {"Origin": server.url, "Cookie": "; ".join(f"{k}={v}" for k, v in (cookies or {}).items())}
    sent |= {name.capitalize(): value for name, value in headers.items()}
    url = f"{server.url.replace('http', 'ws')}/ws/conversations/{conversation}/"
    wanted = {name: value for name, value in sent.items() if value is not None}
    async with connect(url, additional_headers=wanted, max_size=None) as connection:
        yield connection


def rows(server: ServerProcess, query: str, *arguments: object) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(server.data_dir / "steady.sqlite3")) as database:
        return database.execute(query, arguments).fetchall()


def model_id(server: ServerProcess) -> str:
    return str(rows(server, "SELECT id FROM chat_chatmodel WHERE name = 'demo'")[0][0])


def prompt(server: ServerProcess, words: str, **changes: object) -> str:
    frame = {"type": "send", "client_id": str(uuid.uuid4()), "text": words, "model": model_id(server)}
    return json.dumps(frame | changes)


async def until(connection: ClientConnection, wanted: str, acks: bool = True) -> str:
    """Reads frames until one contains `wanted`. Returns all of them."""
    seen, number = "", 0
    async with asyncio.timeout(60):
        while wanted not in seen:
            seen += str(await connection.recv())
            number += 1
            if acks:
                await connection.send(json.dumps({"type": "ack", "frame": number}))
    return seen


async def close_code(connection: ClientConnection) -> int:
    with pytest.raises(ConnectionClosed) as closed:
        async with asyncio.timeout(60):
            while True:
                await connection.recv()
    return int(closed.value.rcvd.code) if closed.value.rcvd else 1006


async def test_hello_then_send_streams_to_the_end(server: ServerProcess) -> None:
    cookies, conversation = await log_in(server), uuid.uuid4()
    async with socket(server, conversation, cookies) as connection:
        await connection.send(json.dumps({"type": "hello", "revision": "0"}))
        await connection.send(prompt(server, "/demo fail"))
        seen = await until(connection, 'data-status="failed"')
    assert 'id="receipt"' in seen


async def test_a_prompt_is_acknowledged_only_when_it_is_stored(server: ServerProcess) -> None:
    cookies, conversation = await log_in(server), uuid.uuid4()
    async with socket(server, conversation, cookies) as connection:
        await connection.send(prompt(server, "Stored?"))
        await until(connection, 'id="receipt"')
        query = "SELECT text FROM chat_message WHERE conversation_id = ? AND role = 'user'"
        assert rows(server, query, conversation.hex) == [("Stored?",)]


async def test_the_same_frame_twice_is_one_message(server: ServerProcess) -> None:
    cookies, conversation = await log_in(server), uuid.uuid4()
    async with socket(server, conversation, cookies) as connection:
        frame = prompt(server, "/demo fail")
        for _ in range(5):
            await connection.send(frame)
            await until(connection, 'id="receipt"')
    query = "SELECT COUNT(*) FROM chat_generation WHERE conversation_id = ?"
    assert rows(server, query, conversation.hex) == [(1,)]


BAD_FRAMES = [
    "",
    "not JSON",
    "[]",
    "null",
    "7",
    '"text"',
    "{",
    "{}",
    '{"type": null}',
    '{"type": "unknown"}',
    '{"type": ["send"]}',
    '{"type": "hello"}',
    '{"type": "hello", "revision": -1}',
    '{"type": "hello", "revision": 1.5}',
    '{"type": "hello", "revision": true}',
    '{"type": "hello", "revision": "' + "9" * 40 + '"}',
    '{"type": "ack", "frame": "x"}',
    '{"type": "stop"}',
    '{"type": "stop", "message": "not-a-uuid"}',
    f'{{"type": "stop", "message": "{uuid.uuid4()}"}}',
    "[" * 100_000,
    '{"type": "send", "text": "\\ud800"}',
]


@pytest.mark.parametrize("frame", BAD_FRAMES, ids=range(len(BAD_FRAMES)))
async def test_a_bad_frame_gets_a_message_and_the_socket_stays_open(
    server: ServerProcess, frame: str
) -> None:
    cookies, conversation = await log_in(server), uuid.uuid4()
    async with socket(server, conversation, cookies) as connection:
        await connection.send(frame)
        assert 'role="alert"' in await until(connection, 'id="notice"')
        await connection.send(prompt(server, "/demo fail"))
        await until(connection, 'id="receipt"')


BAD_PROMPTS: list[dict[str, object]] = [
    {"text": ""},
    {"text": 7},
    {"text": None},
    {"text": ["a"]},
    {"text": "x" * 200_001},
    {"client_id": "1"},
    {"client_id": None},
    {"client_id": {"a": 1}},
    {"model": "0"},
    {"model": None},
    {"model": []},
    {"model": {"a": 1}},
    {"model": "99999999999999999999"},
]


@pytest.mark.parametrize("changes", BAD_PROMPTS, ids=range(len(BAD_PROMPTS)))
async def test_a_bad_prompt_gets_a_message_and_writes_nothing(
    server: ServerProcess, changes: dict[str, object]
) -> None:
    cookies, conversation = await log_in(server), uuid.uuid4()
    async with socket(server, conversation, cookies) as connection:
        await connection.send(prompt(server, "Hello", **changes))
        assert 'data-kind="error"' in await until(connection, 'id="notice"')
    assert rows(server, "SELECT id FROM chat_conversation WHERE id = ?", conversation.hex) == []


async def test_binary_frames_get_a_message(server: ServerProcess) -> None:
    async with socket(server, uuid.uuid4(), await log_in(server)) as connection:
        await connection.send(b"\x00\xff")
        await until(connection, 'id="notice"')


async def test_a_frame_over_one_mebibyte_closes_the_socket_and_not_the_server(server: ServerProcess) -> None:
    async with socket(server, uuid.uuid4(), await log_in(server)) as connection:
        await connection.send("x" * (1024 * 1024 + 1))
        assert await close_code(connection) in {1006, 1009}
    async with socket(server, uuid.uuid4(), await log_in(server)) as connection:
        await connection.send(prompt(server, "/demo fail"))
        await until(connection, 'id="receipt"')


async def test_too_many_frames_close_the_socket(server: ServerProcess) -> None:
    async with socket(server, uuid.uuid4(), await log_in(server)) as connection:
        for _ in range(200):
            await connection.send('{"type": "ack", "frame": 0}')
        assert await close_code(connection) == 4430


async def test_a_socket_without_a_log_in_is_refused(server: ServerProcess) -> None:
    async with socket(server, uuid.uuid4()) as connection:
        assert await close_code(connection) == 4401


async def test_someone_elses_conversation_does_not_exist(server: ServerProcess) -> None:
    conversation = uuid.uuid4()
    async with socket(server, conversation, await log_in(server)) as connection:
        await connection.send(prompt(server, "Private"))
        await until(connection, 'id="receipt"')
    async with socket(server, conversation, await log_in(server, OTHER)) as connection:
        assert await close_code(connection) == 4404


@pytest.mark.parametrize(
    "origin",
    [None, "null", "http://evil.example", "https://{host}", "http://{name}:1", "http://{name}.evil.example"],
)
async def test_other_origins_are_refused(server: ServerProcess, origin: str | None) -> None:
    host = server.url.removeprefix("http://")
    given = origin and origin.format(host=host, name=host.split(":")[0])
    with pytest.raises(InvalidStatus) as refused:
        async with socket(server, uuid.uuid4(), await log_in(server), origin=given):
            pass
    assert refused.value.response.status_code == 403


async def test_a_client_that_acknowledges_nothing_gets_a_bounded_number_of_frames(
    server: ServerProcess,
) -> None:
    cookies, conversation = await log_in(server), uuid.uuid4()
    async with (
        socket(server, conversation, cookies) as silent,
        socket(server, conversation, cookies) as reader,
    ):
        for connection in (silent, reader):
            await connection.send(json.dumps({"type": "hello", "revision": "0"}))
        await reader.send(prompt(server, "A long one"))
        await until(reader, COMPLETE)
        received = 0
        with suppress(TimeoutError):
            while received < 100:
                async with asyncio.timeout(60 if received < 32 else 1):
                    await silent.recv()
                received += 1
        assert received == 32
        await silent.send(json.dumps({"type": "ack", "frame": received}))
        assert COMPLETE in await until(silent, COMPLETE, acks=False)


async def test_a_reply_longer_than_the_limit_for_frames_is_delivered_whole(server: ServerProcess) -> None:
    cookies, conversation = await log_in(server), uuid.uuid4()
    async with socket(server, conversation, cookies) as connection:
        await connection.send(prompt(server, "/demo fail"))
        await connection.send(json.dumps({"type": "hello", "revision": "0"}))
        await until(connection, 'data-status="failed"')
    change = "UPDATE chat_message SET text = ? WHERE conversation_id = ? AND role = 'assistant'"
    with closing(sqlite3.connect(server.data_dir / "steady.sqlite3")) as database, database:
        database.execute(change, ("word " * 300_000 + "the end", conversation.hex))
    async with socket(server, conversation, cookies) as connection:
        await connection.send(json.dumps({"type": "hello", "revision": "0"}))
        assert len(await until(connection, "the end")) > 1024 * 1024


async def test_one_person_has_a_limited_number_of_sockets_and_nobody_else_notices(
    server: ServerProcess,
) -> None:
    email = "many@example.org"
    server.add_person(email)
    cookies, others = await log_in(server, email), await log_in(server, OTHER)
    async with AsyncExitStack() as stack:

        async def open_one() -> int:
            connection = await stack.enter_async_context(socket(server, uuid.uuid4(), cookies))
            try:
                await connection.send("not JSON")  # it is answered with a message
                async with asyncio.timeout(60):
                    await connection.recv()
            except ConnectionClosed as closed:
                return int(closed.rcvd.code) if closed.rcvd else 1006
            return 0

        codes = await asyncio.gather(*(open_one() for _ in range(PAGES + 15)))
        assert (codes.count(0), codes.count(4429)) == (PAGES, 15)
        async with socket(server, uuid.uuid4(), others) as connection:
            await connection.send(prompt(server, "/demo fail"))
            await until(connection, 'id="receipt"')
    async with socket(server, uuid.uuid4(), cookies) as connection:  # those were closed
        await connection.send(prompt(server, "/demo fail"))
        await until(connection, 'id="receipt"')
