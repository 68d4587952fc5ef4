"""The handshake of a WebSocket from a request that is parsed already (RFC 6455 4.2.1).

Daphne writes the parsed request as text once more, and Autobahn parses that and checks each header. Here the
usual handshake of a browser is recognised by its parsed headers. Any other request goes through both, which
also refuse what is wrong. So `plain_handshake` may be strict, and accepts nothing that they refuse.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from twisted.protocols.policies import ProtocolWrapper

_NAME = re.compile(rb"[-a-z0-9]+")  # not "_": Daphne drops such headers
_VALUE = re.compile(rb"[\t -~]*")
_URI = re.compile(rb"(/(?!/)[-\w./]*)(?:\?([-\w.~=&%+]*))?")
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")
_HOST = re.compile(rb"[-A-Za-z0-9.]+(:[0-9]+)?")
_ORIGIN = re.compile(rb"https?://[-A-Za-z0-9.]+(:[1-5]?[0-9]{1,4})?")
_UNUSUAL = frozenset(
    (b"content-length", b"transfer-encoding", b"sec-websocket-protocol", b"daphne-root-path")
)


class Handshake(NamedTuple):
    """`headers` have lower-case names."""

    path: str
    query_string: bytes
    key: str
    headers: dict[str, str]


def plain_handshake(request: Any) -> Handshake | None:
    """Returns the handshake of this request (Daphne's), or None if anything about it is unusual or wrong."""
    headers: dict[bytes, bytes] = {}
    for name, values in request.requestHeaders.getAllRawHeaders():
        lower = name.lower()
        if len(values) != 1 or not _NAME.fullmatch(lower) or not _VALUE.fullmatch(values[0]):
            return None
        headers[lower] = values[0]
    uri = _URI.fullmatch(request.uri)
    key = _KEY.fullmatch(headers.get(b"sec-websocket-key", b""))
    if (
        uri is None
        or key is None
        or request.method != b"GET"
        or request.clientproto != b"HTTP/1.1"
        or headers.get(b"upgrade", b"").lower() != b"websocket"
        or b"upgrade" not in [it.strip() for it in headers.get(b"connection", b"").lower().split(b",")]
        or headers.get(b"sec-websocket-version") != b"13"
        or not _HOST.fullmatch(headers.get(b"host", b""))
        or not _ORIGIN.fullmatch(headers.get(b"origin", b"http://none"))
        or not _UNUSUAL.isdisjoint(headers)
        or isinstance(request.transport, ProtocolWrapper)
    ):
        return None
    text = {name.decode("ascii"): value.decode("ascii") for name, value in headers.items()}
    return Handshake(uri[1].decode("ascii"), uri[2] or b"", key[0].decode("ascii"), text)


def upgrade(request: Any, handshake: Handshake) -> None:
    """Makes a socket of the request's connection, as `WebRequest.process` of Daphne does."""
    transport, request.transport = request.transport, None
    socket = transport.protocol = request.server.ws_factory.buildProtocol(transport.getPeer())
    socket.makeConnection(transport)
    socket.begin(handshake)
    request.server.protocol_disconnected(request)
    request.channel._networkProducer.resumeProducing()
