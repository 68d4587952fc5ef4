"""Handshakes that come too fast are refused before the application is asked."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
from daphne.ws_protocol import WebSocketFactory
from django.conf import settings as steady
from pytest_django.fixtures import Settings
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers

from chat.management import handshakes as module
from chat.management.connections import HTTPFactory, Socket
from chat.management.handshakes import Handshakes, client_network, session_key_in
from chat.management.upgrade import plain_handshake
from chat.rate_limit import RateLimits, network_of

pytestmark = pytest.mark.usefixtures("limits_without_refill")

PLAIN = [
    "GET /ws/conversations/x/ HTTP/1.1",
    "Host: localhost",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
]


class Transport(StringTransport):
    protocol: Any = None

    def abortConnection(self) -> None:  # noqa: N802 - Twisted's name
        self.disconnecting = True


class Daphne:
    """What connections need of the server; `asked` are the scopes that reached the application."""

    server_name = root_path = ""
    request_buffer_size = 65_536
    proxy_forwarded_address_header = None

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.ws_factory = WebSocketFactory(self, server="")
        self.ws_factory.protocol = Socket
        self.http_factory = HTTPFactory(self)

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> asyncio.Queue[Any]:
        self.asked.append(scope)
        return asyncio.Queue()

    def protocol_connected(self, protocol: Any) -> None: ...
    def protocol_disconnected(self, protocol: Any) -> None: ...
    def log_action(self, *args: Any) -> None: ...
    def handshake(self, session: str = "", address: str = "198.51.100.1", forwarded: str = "") -> Transport:
        lines = [*PLAIN]
        if session:
            lines.append(f"Cookie: theme=dark; {steady.SESSION_COOKIE_NAME}={session}")
        if forwarded:
            lines.append(f"X-Forwarded-For: {forwarded}")
        return self.request(lines, address)

    def request(self, lines: list[str], address: str = "198.51.100.1") -> Transport:
        transport = Transport(peerAddress=IPv4Address("TCP", address, 5000))
        channel = self.http_factory.buildProtocol(transport.getPeer())
        transport.protocol = channel
        channel.makeConnection(transport)
        channel.dataReceived("\r\n".join([*lines, "", ""]).encode())
        return transport


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> Daphne:
    """Returns a server that sends refusals, and begins handshakes, at once."""
    monkeypatch.setattr(module, "MOST_HELD", 0)
    monkeypatch.setattr(Handshakes, "enqueue", lambda _self, start, _session_key: start())
    return Daphne()


async def test_a_session_that_connects_too_often_is_refused_before_the_application(server: Daphne) -> None:
    most = 2 * steady.CHAT_PAGES_PER_PERSON
    answers = [server.handshake("key").value() for _ in range(300)]
    assert len(server.asked) == most
    assert answers[-1].startswith(b"HTTP/1.1 429 ")
    assert b"Retry-After: 5\r\n" in answers[-1]
    server.handshake("another")
    assert server.asked[-1]["headers"]
    assert not server.handshake("another").value()


async def test_refusals_are_delayed_so_that_clients_connect_less_often(
    server: Daphne, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_HELD", 3)
    monkeypatch.setattr(module, "HELD_SECONDS", (0.01, 0.02))
    server.http_factory.handshakes = Handshakes(RateLimits(burst=0, per_second=1))
    held = [server.handshake() for _ in range(3)]
    assert not any(transport.value() for transport in held)
    assert server.handshake().value().startswith(b"HTTP/1.1 429 ")  # one too many to hold
    held[0].protocol.connectionLost(Failure(ConnectionDone()))
    async with asyncio.timeout(60):
        while not all(transport.value() for transport in held[1:]):
            await asyncio.sleep(0.01)
    assert held[1].value().startswith(b"HTTP/1.1 429 ")
    assert not held[0].value(), "a client that has left gets nothing"
    assert not server.handshake().value(), "there is room again"


async def test_handshakes_that_wait_for_the_application_are_limited_by_network(
    server: Daphne, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_UNDER_WAY", 3)
    transports = [server.handshake() for _ in range(5)]
    assert [bool(transport.value()) for transport in transports] == [False, False, False, True, True]
    transports[0].protocol.connectionLost(Failure(ConnectionDone()))
    transports[0].protocol.connectionLost(Failure(ConnectionDone()))  # counts once
    assert [bool(server.handshake().value()) for _ in range(2)] == [False, True]
    assert not server.handshake(address="203.0.113.9").value()


@pytest.mark.parametrize(
    ("number", "line", "plain"),
    [
        (0, "GET /ws/conversations/x/?language=de HTTP/1.1", True),
        (0, "GET /ws/conversations/x/?next=%2F HTTP/1.1", True),
        (0, "GET /ws/%63onversations/x/ HTTP/1.1", False),
        (0, "GET /ws/x;y/ HTTP/1.1", False),
        (0, "GET //elsewhere/ws/ HTTP/1.1", False),
        (0, "GET /ws/x/#part HTTP/1.1", False),
        (0, "GET /ws/x/ HTTP/1.0", False),
        (0, "POST /ws/x/ HTTP/1.1", False),
        (1, "Host: chat.example.org:8443", True),
        (1, "Host: [::1]:8000", False),
        (1, "Host: localhost:http", False),
        (1, "X-Host: localhost", False),
        (2, "Upgrade: WebSocket", True),
        (3, "Connection: keep-alive, Upgrade", True),
        (3, "Connection: keep-alive", False),
        (4, "Sec-WebSocket-Key: short", False),
        (4, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=!", False),
        (5, "Sec-WebSocket-Version: 8", False),
        (5, "Sec-WebSocket-Version: 99", False),
        (6, "Origin: https://chat.example.org", True),
        (6, "Origin: https://chat.example.org:99999", False),
        (6, "Origin: null", False),
        (6, 'Cookie: name=value; other="x y"', True),
        (6, "Cookie: name=\xe4", False),
        (6, "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits", True),
        (6, "Sec-WebSocket-Protocol: a, b", False),
        (6, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", False),
        (6, "Some_Header: value", False),
        (6, "Daphne-Root-Path: /root", False),
        (6, "Content-Length: 0", False),
    ],
)
async def test_a_plain_handshake_has_the_same_result_as_one_by_daphne_and_autobahn(
    number: int, line: str, plain: bool, server: Daphne, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []

    def recognise(request: Any) -> Any:
        found.append(plain_handshake(request))
        return found[-1] if len(found) == 1 else None

    monkeypatch.setattr("chat.management.connections.plain_handshake", recognise)
    lines = [*PLAIN]
    lines[number : number + 1] = [line]
    results = []
    for _ in range(2):
        server.asked.clear()
        transport = server.request(lines)
        if server.asked:
            transport.protocol.handle_reply({"type": "websocket.accept"})
            transport.protocol.handle_reply({"type": "websocket.send", "text": "hello"})
        scope = [{**it, "headers": sorted(it["headers"])} for it in server.asked]
        results.append((scope, transport.value(), transport.disconnecting))
    assert results[0] == results[1]
    assert (found[0] is not None) == plain
    assert not plain or results[0][1].startswith(b"HTTP/1.1 101 ")


async def test_a_refused_plain_handshake_gets_the_answer_of_a_refusal(server: Daphne) -> None:
    transport = server.handshake()
    transport.protocol.handle_reply({"type": "websocket.close"})
    assert transport.value().startswith(b"HTTP/1.1 403 ")
    assert transport.disconnecting


async def test_an_upgrade_that_fails_ends_the_connection_and_uses_no_place(
    server: Daphne, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError

    monkeypatch.setattr(Socket, "begin", fail)
    monkeypatch.setattr(Transport, "abortConnection", lambda it: aborted.append(it))
    aborted: list[Transport] = []
    with pytest.raises(OSError):
        server.handshake()
    assert len(aborted) == 1
    assert not server.http_factory.handshakes._under_way


async def test_many_sessions_of_one_network_share_a_limit(server: Daphne) -> None:
    server.http_factory.handshakes = Handshakes(RateLimits(burst=4, per_second=0))
    for number in range(9):
        server.handshake(f"key-{number}")
    assert len(server.asked) == 4


def test_a_refused_session_uses_nothing_of_the_limit_of_its_network() -> None:
    most = 2 * steady.CHAT_PAGES_PER_PERSON
    handshakes = Handshakes(RateLimits(burst=most + 1, per_second=0))
    for _ in range(10 * most):
        handshakes.allows("network", "refused")
    assert sum(handshakes.allows("network", f"another-{n}") for n in range(3)) >= 1


async def test_a_client_that_disconnects_in_the_queue_does_not_reach_the_application() -> None:
    server = Daphne()
    gone, here = server.handshake(), server.handshake()
    assert not server.asked
    gone.protocol.connectionLost(Failure(ConnectionDone()))
    async with asyncio.timeout(60):
        while not server.asked:
            await asyncio.sleep(0)
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(server.asked) == 1
    here.protocol.connectionLost(Failure(ConnectionDone()))
    assert not server.http_factory.handshakes._under_way


async def test_each_of_many_handshakes_takes_one_iteration_of_the_event_loop() -> None:
    handshakes, started, between = Handshakes(), [], []
    loop = asyncio.get_running_loop()

    def other_work() -> None:
        between.append(len(started))
        if len(started) < 50:
            loop.call_soon(other_work)

    for number in range(50):
        handshakes.enqueue(partial(started.append, number))
    loop.call_soon(other_work)
    while len(started) < 50:
        await asyncio.sleep(0)
    assert started == list(range(50))
    assert between[:3] == [1, 2, 3]  # what others wait for comes after one handshake


async def test_the_handshakes_of_one_session_are_spread_over_time(monkeypatch: pytest.MonkeyPatch) -> None:
    handshakes, loop = Handshakes(), asyncio.get_running_loop()
    now, delays = [100.0], []
    monkeypatch.setattr(loop, "time", lambda: now[0])
    monkeypatch.setattr(loop, "call_later", lambda delay, *_: delays.append(delay))
    for _ in range(7):
        handshakes.enqueue(lambda: None, "one")
    assert delays == pytest.approx([0.05, 0.1, 0.15])
    for session_key in ("another", None, None, None, None, None):
        handshakes.enqueue(lambda: None, session_key)
    assert len(delays) == 3  # nobody waits for the handshakes of another session
    now[0] += 0.35
    handshakes.enqueue(lambda: None, "one")
    assert len(delays) == 3
    monkeypatch.setattr("chat.management.handshakes.MOST_PACED", 2)
    now[0] += 60
    handshakes.enqueue(lambda: None, "third")
    assert len(handshakes._next) == 1  # those of the past are forgotten


@pytest.mark.parametrize(
    ("trusted", "forwarded", "network"),
    [
        (False, "203.0.113.9", "198.51.100.1"),
        (True, "10.0.0.1, 203.0.113.9", "203.0.113.9"),
        (True, "", "198.51.100.1"),
        (True, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
    ],
)
def test_behind_a_trusted_proxy_the_last_forwarded_address_counts(
    trusted: bool, forwarded: str, network: str, settings: Settings
) -> None:
    settings.TRUST_PROXY = trusted
    headers = Headers({"X-Forwarded-For": [forwarded]} if forwarded else {})
    assert client_network(headers, "198.51.100.1") == network


def test_the_session_is_found_among_several_cookies() -> None:
    name = steady.SESSION_COOKIE_NAME
    assert session_key_in(Headers({"Cookie": [f"a=b; {name}=key"]})) == "key"
    assert session_key_in(Headers({})) is None


def test_ipv4_addresses_on_an_ipv6_socket_are_networks_of_their_own() -> None:
    assert network_of("::ffff:192.0.2.7") == network_of("192.0.2.7") == "192.0.2.7"
    assert network_of("::ffff:192.0.2.7") != network_of("::ffff:198.51.100.9")
    assert network_of("2001:db8::1") == network_of("2001:db8::2") == "2001:db8::/64"


def test_long_keys_from_cookies_are_not_kept() -> None:
    limits = RateLimits(burst=1, per_second=1)
    for number in range(100):
        limits.allows(f"{number:064}" + "x" * 15_000)
    assert sum(map(len, limits._limits)) == 100 * RateLimits.KEY_LENGTH
