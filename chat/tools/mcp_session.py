"""One connection to an MCP server, by the client of the package `mcp`. `remote.py` imports it on use.

Each tool call has a connection of its own. The client follows redirects to the server's own origin only, so
it sends no header to another host, and a server cannot make it open an address of this network.
"""

from __future__ import annotations

import asyncio
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
from chat.tools.remote import ClientCredentials, Server, ServerError, printable

MOST_BYTES = 1_000_000  # of all responses of one connection
# Objects and lists of all responses. The client validates each, which blocks the event loop.
_MOST_VALUES, _MOST_VALUES_OF_A_LIST = 5_000, 30_000
_MOST_PAGES = 20
_MOST_REQUESTS = 50  # of one connection: a server can make the client resume a stream again and again
_CONNECT_SECONDS = 10.0
_CLOSE_SECONDS = 2.0
_LEAST_TOKEN_SECONDS = 60.0  # a token that expires sooner is replaced
_MOST_TOKEN_SECONDS = 86_400.0  # an older token is replaced, whatever its server says
_REFUSED = (401, 403)
_LEAST_SECRET = 8  # characters; a shorter word of a header, such as Bearer, is not a secret

_CONTEXT = httpx2.create_ssl_context()  # takes 30 ms, on the thread that imports this module

type Described = tuple[str, str, str, Any]  # name, title, description, schema

# Access tokens and when they expire. State of the process, because a token is valid for many connections.
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
        # Not `call_tool`, which applies the server's schema, with its regular expressions, to the result.
        result = await client.session.send_request(request, CallToolResult)
    text = _masked(server, _text(result))
    if result.is_error:
        raise ToolError(text or "The tool failed without a reason.")
    return text


@asynccontextmanager
async def _connected(server: Server, most_values: int) -> AsyncIterator[Client]:
    """Yields a connected client. Raises `ServerError` for all errors of the server, also those in the body of
    the context."""
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
    """Returns the error for an exception of the client. `status` is the last HTTP status."""
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
    """A transport that limits the responses of a server. `reason` is the error of the exceeded limit,
    `status` the last HTTP status."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, most_values: int) -> None:
        self._inner, self._values, self._bytes = inner, most_values, MOST_BYTES
        self._requests = _MOST_REQUESTS
        self.status = 0
        self.reason: ServerError | None = None
        self.is_done = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET" and "last-event-id" not in request.headers:
            raise httpx2.ConnectError("Messages that the server sends by itself are not received.")
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
            self.reason = ServerError("protocol", "Its response is compressed, which was not accepted.")
            raise self.reason
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        return httpx2.Response(
            response.status_code,
            headers=response.headers,
            stream=_Counted(response.stream, self),
            extensions=response.extensions,
        )

    def take(self, chunk: bytes) -> None:
        """Counts the bytes and values of a chunk. Raises `ServerError` at the limit."""
        self._bytes -= len(chunk)
        self._values -= chunk.count(b"{") + chunk.count(b"[")
        if self._bytes < 0 or self._values < 0:
            self.reason = ServerError("large")
            raise self.reason

    async def _close(self, request: httpx2.Request) -> httpx2.Response:
        """Ends the session after a success. After a failure it closes nothing, because the server may
        hang."""
        if not self.is_done:
            raise httpx2.ConnectError("The connection is closed without ending the session.")
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
    """Returns the text without the secrets that were sent to the server, which may repeat them."""
    values = [value for _name, value in server.headers] + [server.credentials.secret]
    values += [_tokens.get(server.credentials, ("", 0.0))[0]]
    for word in (word for value in values for word in value.split()):
        if len(word) >= _LEAST_SECRET:
            text = text.replace(word, "•••")
    return text


def _text(result: CallToolResult) -> str:
    """Returns the text of a result. Other content is replaced by its type."""
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
                pieces.append(f"[{block.type}, {printable(block.mime_type, 60)}: not shown]")
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
        _tokens[server.credentials] = token, time.monotonic() + seconds - _LEAST_TOKEN_SECONDS
    return [("Authorization", f"Bearer {token}")]


async def _new_token(credentials: ClientCredentials) -> tuple[str, float]:
    """Requests an access token. Returns it and its lifetime in seconds. Raises `ServerError`."""
    form = {"grant_type": "client_credentials"} | ({"scope": credentials.scope} if credentials.scope else {})
    timeout = httpx2.Timeout(_CONNECT_SECONDS)
    guard = _Guard(httpx2.AsyncHTTPTransport(verify=_CONTEXT, retries=0), _MOST_VALUES)
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    try:
        async with httpx2.AsyncClient(
            transport=guard, timeout=timeout, headers=headers, trust_env=False
        ) as http:
            response = await http.post(
                credentials.token_url,
                data=form,
                auth=httpx2.BasicAuth(credentials.client_id, credentials.secret),
            )
            values = orjson.loads(response.content) if response.status_code == 200 else {}
            token, seconds = values["access_token"], float(values.get("expires_in", 300))
            if not (isinstance(token, str) and token.isascii() and token.isprintable() and seconds >= 0):
                raise ValueError
    except ServerError:
        raise
    except (httpx2.HTTPError, ValueError, TypeError, KeyError, OverflowError) as error:
        status = f"HTTP {guard.status}" if guard.status else type(error).__name__
        raise ServerError("token", status) from None
    return token, min(seconds, _MOST_TOKEN_SECONDS)
