"""The ASGI application: pages, sockets, the gateway, and start and stop of the process.

`manage.py serve` starts and drains the process itself. Another ASGI server uses the lifespan scope. A server
without lifespan (plain `daphne`) starts the process with its first connection.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatproject.settings")

from django.core.asgi import get_asgi_application

pages = get_asgi_application()  # before importing anything that needs models

from django.conf import settings

from chat import log_context
from chat.actions.reply import continue_interrupted_reply
from chat.api.gateway.app import PREFIX, gateway
from chat.api.socket import PATH, api_socket
from chat.management import bootstrap
from chat.management.errors import StartError
from chat.runtime import Runtime, current, install, is_started
from chat.transports.routing import websocket


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    if not is_started():
        _start()
    log_context.request_id.set(secrets.token_hex(6))  # in this task, which serves one request or socket
    if scope["type"] == "websocket" and scope["path"] == PATH:
        await api_socket(scope, receive, send)
    elif scope["type"] == "websocket":
        await websocket(scope, receive, send)
    elif scope["path"].startswith(PREFIX):
        await gateway(scope, receive, send)
    else:
        async with current().request_threads.one():
            await pages(scope, receive, send)


def _start() -> None:
    """Raises `StartError` in a second process on the same SQLite database."""
    bootstrap.lock_sqlite()
    with suppress(OSError):  # There is no file yet. Nothing can be in it, and each page says so.
        bootstrap.hold_sqlite_file()
    runtime = Runtime(on_interrupted=continue_interrupted_reply)
    install(runtime)
    runtime.start()


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            try:
                _start()
            except StartError as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            await send({"type": "lifespan.startup.complete"})
        else:
            await current().stop(settings.CHAT_DRAIN_SECONDS)
            await send({"type": "lifespan.shutdown.complete"})
            return
