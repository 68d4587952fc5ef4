"""The ASGI application on a real socket of the test's own event loop, for the official SDKs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

Application = Any


def _scope(request: web.Request) -> dict[str, Any]:
    return {
        "type": "http",
        "method": request.method,
        "path": request.path,
        "raw_path": request.raw_path.encode(),
        "query_string": request.query_string.encode(),
        "scheme": "http",
        "headers": [(name.lower(), value) for name, value in request.raw_headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }


def _handler(application: Application) -> Any:
    async def handle(request: web.Request) -> web.StreamResponse:
        body, gone = await request.read(), asyncio.Event()
        messages = [{"type": "http.request", "body": body, "more_body": False}]
        response: web.StreamResponse | None = None

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            nonlocal response
            if message["type"] == "http.response.start":
                headers = [(name.decode(), value.decode("latin-1")) for name, value in message["headers"]]
                response = web.StreamResponse(status=message["status"])
                response.headers.extend(headers)
                await response.prepare(request)
                return
            assert response is not None
            if message.get("body"):
                await response.write(message["body"])

        # A task of its own: aiohttp cancels the handler when the client has gone, servers only say so.
        task = asyncio.create_task(application(_scope(request), receive, send))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            gone.set()
            await task
            raise
        assert response is not None
        await response.write_eof()
        return response

    return handle


@asynccontextmanager
async def serving(application: Application) -> AsyncIterator[str]:
    """Yields the address."""
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", _handler(application))
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
