"""One HTTP request of a program, over ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote

import orjson

from chat import log_context
from chat.api.gateway.failures import FailureError, GoneError

MOST_BODY_BYTES = 8 * 1024 * 1024  # as `management.connections` has it, for other servers than Daphne
# `Content-Encoding` and `X-Accel-Buffering` keep proxies from compressing and buffering a stream.
STREAM_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Content-Encoding": "identity",
    "X-Accel-Buffering": "no",
}
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Connection:
    """`headers` are added to each response. `has_started` is true once the status is sent. `is_writing` stays
    true if a write was interrupted: then the program reads nothing, and no more can be sent."""

    def __init__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        self.method: str = scope["method"]
        self.path: str = unquote(scope["path"]) if "%" in scope["path"] else scope["path"]
        self.address: str = (scope.get("client") or ("", 0))[0]
        self.scheme: str = scope.get("scheme", "http")
        self.request_headers: dict[str, str] = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        self.headers = {**_HEADERS, "X-Request-Id": log_context.request_id.get() or "-"}
        self.has_started = False
        self.is_writing = False
        self._receive, self._send = receive, send

    async def body(self) -> bytes:
        """Returns the request's body. Raises `FailureError` if it is too large, `GoneError`."""
        pieces, size = [], 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise GoneError
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > MOST_BODY_BYTES:
                raise FailureError(413, f"The request has more than {MOST_BODY_BYTES} bytes.", "too_large")
            if not message.get("more_body", False):
                return b"".join(pieces)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Ends the block with `GoneError` when the program closes the connection. The body has been read."""
        task = asyncio.current_task()
        assert task is not None
        cancelling = task.cancelling()
        watch = asyncio.create_task(self._until_gone())
        gone = False

        def end(_watch: asyncio.Task[None]) -> None:
            nonlocal gone
            if not watch.cancelled():
                gone = True
                task.cancel()

        watch.add_done_callback(end)
        try:
            yield
        except asyncio.CancelledError:
            if gone and task.uncancel() <= cancelling:
                raise GoneError from None
            raise
        finally:
            watch.remove_done_callback(end)
            watch.cancel()

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        self.has_started = True
        raw = [
            (name.encode(), value.encode("latin-1")) for name, value in {**self.headers, **headers}.items()
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def write(self, data: bytes) -> None:
        """Returns when the program has read enough for more: a slow one costs no memory."""
        self.is_writing = True
        await self._send({"type": "http.response.body", "body": data, "more_body": True})
        self.is_writing = False

    async def finish(self, data: bytes = b"") -> None:
        await self._send({"type": "http.response.body", "body": data})

    async def respond(self, status: int, value: object, headers: Mapping[str, str] | None = None) -> None:
        """Sends a whole response in JSON."""
        body = orjson.dumps(value)
        length = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        await self.start(status, {**length, **(headers or {})})
        await self.finish(body)
