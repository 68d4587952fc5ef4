"""One connection to an MCP server, by the client of the package `mcp`. Imported on use by `remote.py`.

Each call has a connection of its own. The client follows redirects on the server's own origin only, so no
header reaches another host, and no address of this network is opened for a server.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import orjson
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolRequest, CallToolRequestParams, CallToolResult, Implementation
from pydantic import ValidationError

from chat.tools.base import ToolError
from chat.tools.remote import ClientCredentials, Server, ServerError, shown

MOST_BYTES = 1_000_000  # of all responses of one connection
# Objects and lists of all responses: the client validates each, and holds the event loop meanwhile.
_MOST_VALUES, _MOST_VALUES_OF_A_LIST = 5_000, 30_000
_MOST_PAGES = 20
_MOST_REQUESTS = 50  # the client resumes a stream that ends, as often and as fast as its server asks
_CONNECT_SECONDS = 10.0
_CLOSE_SECONDS = 2.0
_LEAST_LIFE = 60.0  # seconds that a token must still be valid for
_MOST_LIFE = 86_400.0  # seconds after which a new one is fetched, whatever its server says
_REFUSED = (401, 403)
_LEAST_SECRET = 8  # characters: a shorter word of a header is none, such as Bearer

for _name in ("mcp", "client"):  # they log what a server sends
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)

_CONTEXT = httpx2.create_ssl_context()  # takes 30 ms, so it is made here, on the thread of the import

type Described = tuple[str, str, str, Any]  # name, title, description, schema

_tokens: dict[ClientCredentials, tuple[str, float]] = {}


async def list_tools(server: Server, most: int) -> list[Described]:
    """Returns the tools of the server. Raises `ServerError`."""
    found: list[Described] = []
    async with _connected(server, _MOST_VALUES_OF_A_LIST) as client:
        cursor = None
        for _page in range(_MOST_PAGES):
            page = await client.list_tools(cursor=cursor)
            found += [
                (tool.name, tool.title or "", tool.description or "", tool.input_schema)
                for tool in page.tools
            ]
            cursor = page.next_cursor
            if not cursor or len(found) >= most:
                break
    return found[:most]


async def call_tool(server: Server, name: str, arguments: dict[str, Any]) -> str:
    """Returns the result as text. Raises `ToolError` with the server's words if the tool failed, and
    `ServerError`."""
    request = CallToolRequest(params=CallToolRequestParams(name=name, arguments=arguments))
    async with _connected(server, _MOST_VALUES) as client:
        # Not `call_tool`: it applies the server's schema, and so its regular expressions, to the result.
        result = await client.session.send_request(request, CallToolResult)
    text = _masked(server, _text(result))
    if result.is_error:
        raise ToolError(text or "The tool failed without a reason.")
    return text


@asynccontextmanager
async def _connected(server: Server, most_values: int) -> AsyncIterator[Client]:
    """Connects. Raises `ServerError` for all faults of the server, also those of the body."""
    guard = _Guard(httpx2.AsyncHTTPTransport(verify=_CONTEXT, retries=0), most_values)
    try:
        headers = [*server.headers, ("Accept-Encoding", "identity"), *await _authorization(server)]
        async with httpx2.AsyncClient(
            transport=guard,
            headers=headers,
            timeout=httpx2.Timeout(server.seconds, connect=_CONNECT_SECONDS),
            trust_env=False,
        ) as http:
            transport = streamable_http_client(server.url, http_client=http, max_sse_event_size=MOST_BYTES)
            about = Implementation(name="Steady", version="1")
            async with Client(transport, cache=None, client_info=about) as client:
                yield client
                guard.is_done = True
    except ToolError:
        raise
    except Exception as error:  # noqa: BLE001  (the client raises groups of any kind)
        reason = guard.reason or _reason(error, guard.status)
        reason = ServerError(reason.code, _masked(server, reason.detail))
        if reason.code == "credentials":
            _tokens.pop(server.credentials, None)
        raise reason from None


def _reason(error: BaseException, status: int) -> ServerError:
    """Returns what an exception of the client means."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, ServerError):
        return error
    if isinstance(error, httpx2.TimeoutException):
        return ServerError("slow")
    if isinstance(error, httpx2.TransportError | httpx2.InvalidURL | OSError):
        return ServerError("unreachable", type(error).__name__)
    if status in _REFUSED:
        return ServerError("credentials", f"HTTP {status}")
    if status in (404, 405):
        return ServerError("nothing", f"HTTP {status}")
    if 300 <= status < 400:
        return ServerError("redirect")
    if isinstance(error, MCPError):
        about = f"HTTP {status}: " if status >= 400 else ""
        return ServerError("protocol", about + str(error))
    if isinstance(error, ValidationError):
        return ServerError("protocol")
    return ServerError("protocol", type(error).__name__)


class _Guard(httpx2.AsyncBaseTransport):
    """Limits what a server can send. `reason` is the limit that it exceeded, `status` its last one."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, most_values: int) -> None:
        self._inner, self._values, self._bytes = inner, most_values, MOST_BYTES
        self._requests = _MOST_REQUESTS
        self.status = 0
        self.reason: ServerError | None = None
        self.is_done = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET" and "last-event-id" not in request.headers:
            raise httpx2.ConnectError("Requests of the server are not listened to.")
        if request.method == "DELETE":
            return await self._close(request)
        self._requests -= 1
        if self._requests < 0:
            self.reason = ServerError("large")
            raise self.reason
        response = await self._inner.handle_async_request(request)
        self.status = response.status_code
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            self.reason = ServerError("protocol", "It compresses, although it was asked not to.")
            raise self.reason
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        return httpx2.Response(
            response.status_code,
            headers=response.headers,
            stream=_Counted(response.stream, self),
            extensions=response.extensions,
        )

    def take(self, chunk: bytes) -> None:
        """Counts what was received. Raises `ServerError` at the limit."""
        self._bytes -= len(chunk)
        self._values -= chunk.count(b"{") + chunk.count(b"[")
        if self._bytes < 0 or self._values < 0:
            self.reason = ServerError("large")
            raise self.reason

    async def _close(self, request: httpx2.Request) -> httpx2.Response:
        """Ends the session after a success. A server that hangs is left at once."""
        if not self.is_done:
            raise httpx2.ConnectError("The connection is given up.")
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                response = await self._inner.handle_async_request(request)
        except TimeoutError:
            raise httpx2.ReadTimeout("The session was not ended in time.") from None
        await response.aclose()
        return httpx2.Response(response.status_code)

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Counted(httpx2.AsyncByteStream):
    """The bytes of a response, up to the limit of the connection."""

    def __init__(self, inner: httpx2.AsyncByteStream, guard: _Guard) -> None:
        self._inner, self._guard = inner, guard

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            self._guard.take(chunk)
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


def _masked(server: Server, text: str) -> str:
    """Returns the text without the secrets of the server, which may repeat what it was sent."""
    values = [value for _name, value in server.headers] + [server.credentials.secret]
    values += [_tokens.get(server.credentials, ("", 0.0))[0]]
    for word in (word for value in values for word in value.split()):
        if len(word) >= _LEAST_SECRET:
            text = text.replace(word, "•••")
    return text


def _text(result: CallToolResult) -> str:
    """Returns the text of a result. What is not text is named."""
    pieces = []
    for block in result.content:
        match block.type:
            case "text":
                pieces.append(block.text)
            case "resource_link":
                pieces.append(f"{block.name}: {block.uri}")
            case "resource":
                text = getattr(block.resource, "text", None)
                pieces.append(f"[{block.resource.uri}: not text]" if text is None else text)
            case "image" | "audio":
                pieces.append(f"[{block.type}, {shown(block.mime_type, 60)}: not shown]")
    if not pieces and result.structured_content is not None:
        return orjson.dumps(result.structured_content).decode()
    return "\n\n".join(pieces)


async def _authorization(server: Server) -> list[tuple[str, str]]:
    """Returns the header with an access token, if the server has credentials of an OAuth client."""
    if not server.credentials:
        return []
    token, until = _tokens.get(server.credentials, ("", 0.0))
    if until < time.monotonic():
        token, seconds = await _new_token(server.credentials)
        _tokens[server.credentials] = token, time.monotonic() + seconds - _LEAST_LIFE
    return [("Authorization", f"Bearer {token}")]


async def _new_token(credentials: ClientCredentials) -> tuple[str, float]:
    form = {"grant_type": "client_credentials"} | ({"scope": credentials.scope} if credentials.scope else {})
    timeout = httpx2.Timeout(_CONNECT_SECONDS)
    guard = _Guard(httpx2.AsyncHTTPTransport(verify=_CONTEXT, retries=0), _MOST_VALUES)
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    try:
        async with httpx2.AsyncClient(
            transport=guard, timeout=timeout, headers=headers, trust_env=False
        ) as http:
            answer = await http.post(
                credentials.token_url,
                data=form,
                auth=httpx2.BasicAuth(credentials.client_id, credentials.secret),
            )
            values = orjson.loads(answer.content) if answer.status_code == 200 else {}
            token, seconds = values["access_token"], float(values.get("expires_in", 300))
            if not (isinstance(token, str) and token.isascii() and token.isprintable() and seconds >= 0):
                raise ValueError
    except ServerError:
        raise
    except (httpx2.HTTPError, ValueError, TypeError, KeyError, OverflowError) as error:
        status = f"HTTP {guard.status}" if guard.status else type(error).__name__
        raise ServerError("token", status) from None
    return token, min(seconds, _MOST_LIFE)
