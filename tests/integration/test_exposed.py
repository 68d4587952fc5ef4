"""A server without a proxy: slow or huge requests end early, and cost neither memory nor disk."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from chat.management.connections import HEADERS_SECONDS, MOST_BODY_BYTES
from tests.servers import ServerProcess

START = b"POST /accounts/login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("exposed") / "data").start()
    yield process
    process.stop()


@pytest.fixture
def connection(server: ServerProcess) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as it:
        yield it


def flood(connection: socket.socket, chunk: bytes) -> int:
    """Sends `chunk` until the other end closes, at most 300 MB. Returns the number of accepted bytes."""
    taken = 0
    try:
        while taken < 300 * 1024 * 1024:
            connection.sendall(chunk)
            taken += len(chunk)
    except OSError:
        pass
    return taken


def test_a_body_that_announces_its_size_is_refused_before_it_is_sent(connection: socket.socket) -> None:
    connection.sendall(START + b"Content-Length: 314572800\r\n\r\n")
    assert connection.recv(100).startswith(b"HTTP/1.1 413 ")
    assert flood(connection, b"x" * 65_536) < 50 * 1024 * 1024


def test_a_body_that_grows_beyond_the_limit_is_cut_off(connection: socket.socket) -> None:
    connection.sendall(START + b"Transfer-Encoding: chunked\r\n\r\n")
    taken = flood(connection, b"10000\r\n" + b"x" * 65_536 + b"\r\n")
    assert taken < MOST_BODY_BYTES + 50 * 1024 * 1024  # data in the system's buffers


def test_a_body_within_the_limit_is_read_whole(connection: socket.socket) -> None:
    body = b"x" * (1024 * 1024)
    connection.sendall(START + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert connection.recv(100).startswith(b"HTTP/1.1 403 ")  # no CSRF token


def test_slow_headers_are_cut_off_and_a_fast_request_on_the_same_connection_is_not(
    server: ServerProcess, connection: socket.socket
) -> None:
    begun = time.monotonic()
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
    connection.settimeout(1.0)
    connection.sendall(b"GET /healthz HTTP/1.1\r\n")
    closed = False
    while not closed and time.monotonic() < begun + HEADERS_SECONDS * 4:
        try:
            connection.sendall(b"X-Drip: 1\r\n")
            closed = connection.recv(100) == b""
        except TimeoutError:
            continue
        except OSError:
            closed = True
    assert closed
    assert time.monotonic() - begun >= HEADERS_SECONDS * 0.9
