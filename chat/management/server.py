"""Runs Daphne with Steady's own signals and shutdown: Daphne has no lifespan and stops at once on SIGTERM.

The shutdown: readiness fails and new sockets are refused; running replies continue for a while; then open
sockets close with 1012 ("service restart") and the process exits with 0. A second signal ends it at once.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from threading import Thread
from typing import Any

import daphne.server
from django.conf import settings
from twisted.internet import reactor
from twisted.internet.error import ReactorNotRunning

from chat.actions.api_token import use_token
from chat.actions.reply import continue_interrupted_reply
from chat.actor import LoggedOutError
from chat.database import run_unit
from chat.management.connections import BackpressureProducer, HTTPFactory, Socket, limit_unacknowledged_time
from chat.management.errors import StartError
from chat.management.transport import Transport
from chat.management.watchdog import Watchdog
from chat.runtime import Runtime, install

logger = logging.getLogger(__name__)

Application = Callable[[dict[str, Any], Any, Any], Awaitable[None]]

SERVICE_RESTART = 1012  # RFC 6455 7.4, IANA registry: connect again
# The longest turn of a thread while another one waits. A request changes between the event loop and a thread
# dozens of times. While three threads render, it takes 250 ms with the default 5 ms, and 40 ms with this
# (measured).
TURN_SECONDS = 0.001
# By then the first requests have imported their modules. Modules are never garbage, and a full collection
# that visits them holds the interpreter for 250 ms (measured). So they are frozen without a collection
# before: what is garbage at that moment is kept, once.
LOADED_SECONDS = 60.0
_CLOSE_SECONDS = 3.0
_ANSWER_SECONDS = 10.0  # for requests that arrived before the end; on a busy machine a page takes seconds
# A proxy keeps connections open and sends the next request on one. For so long they are answered, each with a
# response that closes the connection, before the process ends.
LAST_ANSWERS_SECONDS = 1.0
_END_SECONDS = 25.0  # for the steps after the drain: saving, notifying, closing
_EXIT_SECONDS = 5.0
_BACKLOG = 1024
# Signals within this time after the first are repetitions of it: a service manager signals the whole group,
# and `uv run` forwards SIGTERM, later on a busy machine.
_REPEATED_SIGNAL_SECONDS = {signal.SIGTERM: 10.0, signal.SIGINT: 1.0}


def parse_address(text: str) -> tuple[str, int]:
    """Returns host and port of `8000`, `0.0.0.0:8000`, `chat.local:8000` or `[::1]:8000`. Raises
    `StartError`."""
    host, separator, port = text.rpartition(":")
    host = host if separator else "127.0.0.1"
    bracketed = host.startswith("[") and host.endswith("]")
    usable = host and (bracketed or ":" not in host)
    if not usable or not port.isascii() or not port.isdigit() or not 0 <= int(port) < 2**16:
        raise StartError(
            f"{text!r} is not an address to serve on. Write it like 8000, 0.0.0.0:8000 or [::1]:8000.", code=2
        )
    return host.strip("[]"), int(port)


def listen(host: str, port: int) -> socket.socket:
    """Returns a listening socket. Connections wait in its queue until the server runs. Raises
    `StartError`."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        words = f"The address {host} is not known on this machine. Choose another one."
        raise StartError(words, code=2) from error
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    limit_unacknowledged_time(listener)
    try:
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRNOTAVAIL:
            words = f"This machine has no address {host}. Serve on 127.0.0.1, or on 0.0.0.0 for all it has."
            raise StartError(words, code=2) from error
        raise StartError(
            f"Port {port} on {host} cannot be used: {(error.strerror or str(error)).lower()}. Stop what is "
            f"using it, or choose another: uv run manage.py serve {port + 1 if port < 2**16 - 1 else 8000}"
        ) from error
    listener.setblocking(False)
    return listener


class Server(daphne.server.Server):  # type: ignore[misc]
    """Serves `application` on `listener` until a signal arrives. `background` runs on its event loop from the
    start of the runtime until the server stops; an exception of it ends the server and is raised by `run`.
    `say` prints to the terminal."""

    def __init__(
        self,
        application: Application,
        listener: socket.socket,
        background: Callable[[], Coroutine[Any, Any, None]],
        say: Callable[[str], None],
    ) -> None:
        super().__init__(
            self._gate(application),
            endpoints=["-"],  # required by Daphne, which cannot name an open IPv6 socket
            signal_handlers=False,
            ready_callable=self._on_start,
            server_name="",
            verbosity=0,
            websocket_timeout=-1,
            # A timer for each connection. The request is complete before the handshake begins, and Daphne
            # limits the time of the application (`websocket_connect_timeout`).
            websocket_handshake_timeout=0,
        )
        self.endpoints: list[str] = []
        self._listener = listener
        self._background = background
        self._say = say
        self._draining = False
        self._producers: dict[Any, BackpressureProducer] = {}  # by response that is streamed
        self._has_disconnected = asyncio.Event()
        self._runtime = Runtime(on_interrupted=continue_interrupted_reply)
        self._failure: BaseException | None = None
        self._watchdog = Watchdog()

    def run(self) -> None:
        """Returns when the server has stopped."""
        sys.setswitchinterval(TURN_SECONDS)
        super().run()
        self._watchdog.stop()
        # A repeated signal during the interpreter's end must not turn an orderly exit into a failure.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        _exit_soon()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        with suppress(ReactorNotRunning):  # it may have stopped already
            super().stop()

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        """Passes the file with the body of an upload on: the messages of the request have no bytes."""
        if (file := getattr(protocol, "file", None)) is not None:
            scope["steady.body"] = file
        return super().create_application(protocol, scope)

    async def may_upload(self, secret: str) -> bool:
        """Returns whether this API token is valid. Raises `DatabaseError`."""
        try:
            await run_unit(use_token, secret)
        except LoggedOutError:
            return False
        return True

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        """Returns when there is space for more, so that a streaming application is never ahead of its
        client."""
        producer = self._producers.get(protocol)
        is_streamed = message["type"] == "http.response.body" and message.get("more_body", False)
        if producer is not None and not is_streamed:
            self._producers.pop(protocol).remove()
        await super().handle_reply(protocol, message)
        if is_streamed and "disconnected" not in self.connections.get(protocol, {"disconnected": True}):
            if producer is None:
                producer = self._producers[protocol] = BackpressureProducer(protocol)
            await producer.wait_for_room()

    def protocol_disconnected(self, protocol: Any) -> None:
        if producer := self._producers.pop(protocol, None):
            producer.stopProducing()
        super().protocol_disconnected(protocol)
        self._has_disconnected.set()

    def kill_all_applications(self) -> Any:
        # Daphne fails on connections that have no application: a request that has just become a socket.
        for protocol, details in list(self.connections.items()):
            if "application_instance" not in details:
                del self.connections[protocol]
        return super().kill_all_applications()

    def _gate(self, application: Application) -> Application:
        async def gate(scope: dict[str, Any], receive: Any, send: Any) -> None:
            if self._draining and scope["type"] == "websocket":
                await receive()
                await send({"type": "websocket.accept"})
                await send({"type": "websocket.close", "code": SERVICE_RESTART})
            else:
                await application(scope, receive, self._last_answer(send) if self._draining else send)

        return gate

    def _last_answer(self, send: Any) -> Any:
        """Tells the client to close the connection: a request that arrives when the process ends would get no
        response."""

        async def sending(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        return sending

    def _on_start(self) -> None:
        self.ws_factory.protocol = Socket
        self.http_factory = HTTPFactory(self)
        loop = asyncio.get_event_loop()
        self._port = reactor.adoptStreamPort(
            self._listener.fileno(), self._listener.family, self.http_factory
        )
        self._port.transport = Transport
        self._listener.close()  # Twisted has its own copy
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        self._starting = loop.create_task(self._start())
        self._starting.add_done_callback(self._on_failure)

    def _on_failure(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = error
            self.stop()

    async def _start(self) -> None:
        install(self._runtime)
        self._runtime.start()
        gc.collect()
        gc.freeze()
        asyncio.get_running_loop().call_later(LOADED_SECONDS, gc.freeze)
        if not settings.DEBUG:  # where the process may be stopped in a debugger
            self._watchdog.start()
        await self._background()

    def _on_signal(self, number: int) -> None:
        now = time.monotonic()
        if not self._draining:
            self._signalled_at = now
            self._draining = True
            self._begin_to_stop()
        elif now - self._signalled_at > _REPEATED_SIGNAL_SECONDS[signal.Signals(number)]:
            os._exit(128 + number)

    def _begin_to_stop(self) -> None:
        self._stopping = asyncio.get_running_loop().create_task(self._stop())
        self._stopping.add_done_callback(self._on_failure)

    async def _stop(self) -> None:
        seconds = settings.CHAT_DRAIN_SECONDS
        if running := len(self._runtime.runner.running):
            self._say(
                f"Finishing {running} running replies, for up to {seconds:g} s. Ctrl+C again stops at once."
            )
        self._starting.cancel()
        try:
            try:
                async with asyncio.timeout(seconds + _END_SECONDS):
                    await self._runtime.stop(seconds)
            except TimeoutError:
                logger.error(
                    "The database or a provider does not answer. The server stops without waiting for it."
                )
            if settings.TRUST_PROXY:
                await asyncio.sleep(max(0.0, self._signalled_at + LAST_ANSWERS_SECONDS - time.monotonic()))
            self._stop_listening()
            self.http_factory.close_idle()
            for protocol in list(self.connections):
                if isinstance(protocol, Socket) and protocol.state == protocol.STATE_OPEN:
                    protocol.serverClose(code=SERVICE_RESTART)
            with suppress(TimeoutError):
                async with asyncio.timeout(_ANSWER_SECONDS):
                    await self._until_none(_is_unanswered)
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self._until_none(_is_closing)
        finally:
            self.stop()

    def _stop_listening(self) -> None:
        """Refuses new connections, so that a proxy tries the next process. Waiting connections are served."""
        self._port.doRead()
        self._port.stopListening()

    async def _until_none(self, is_open: Callable[[Any], bool]) -> None:
        """Returns when no connection `is_open`. An event stream has started its response and is cut: the page
        reconnects."""
        while any(
            "disconnected" not in details and is_open(protocol)
            for protocol, details in self.connections.items()
        ):
            self._has_disconnected.clear()
            await self._has_disconnected.wait()


def _exit_soon() -> None:
    """Ends the process after some seconds. All data is written, but the interpreter waits for its threads,
    and one of them may wait for a database that does not answer."""

    def exit_process() -> None:
        time.sleep(_EXIT_SECONDS)
        os._exit(0)

    Thread(target=exit_process, daemon=True, name="exit").start()


def _is_closing(protocol: Any) -> bool:
    return isinstance(protocol, Socket) and protocol.state == protocol.STATE_CLOSING


def _is_unanswered(protocol: Any) -> bool:
    return not isinstance(protocol, Socket) and not protocol.startedWriting
