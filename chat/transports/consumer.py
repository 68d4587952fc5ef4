"""The WebSocket of a chat page. Client frames are flat JSON objects in htmx's form format: `hello {revision}`
first, then `send`, `stop`, `ack {frame}`, where `frame` counts the server's frames on this socket from 1.
Server frames are HTML.

    4401  not logged in (any more)                 4404  no such conversation for this user
    4408  no hello for 10 s, no ack for 60 s       4429  too many open pages of this user
    1012  the server restarts: connect again       4430  too many frames

Replies are never produced here. Channels gives a consumer one message at a time, so a handler that loops over
tokens could receive neither a stop nor a disconnect. Delivery is a task of its own.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, aclosing, suppress
from typing import Any, Concatenate
from uuid import UUID

import orjson
from autobahn.exception import Disconnected
from channels.consumer import get_handler_name
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.db import DatabaseError
from django.http import QueryDict
from django.http.cookie import parse_cookie
from django.utils.translation import activate, override

from chat import sessions
from chat.access import NotFoundError
from chat.actions.errors import ActionError, InvalidInputError
from chat.actions.reply import stop_reply
from chat.actions.send import send_message
from chat.actor import LoggedOutError, actor_of
from chat.database import run_unit, run_write
from chat.live.ack_window import AckWindow
from chat.live.hub import Listener
from chat.log_context import fresh_context
from chat.models import User
from chat.rate_limit import RateLimit
from chat.rendering import fragments
from chat.rendering.words import in_words
from chat.runtime import current
from chat.translatable import translatable as _
from chat.transports.feed import frames, known_language
from chat.transports.viewers import viewer_of

logger = logging.getLogger(__name__)

HELLO_SECONDS = 10.0
ACK_SECONDS = 60.0
WINDOW_FRAMES = 32
WINDOW_BYTES = 512 * 1024
CLOSE_CODES = {"revoked": 4401, "gone": 4404, "restart": 1012}


class ChatConsumer(AsyncWebsocketConsumer):
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Dispatches as Channels does, in this task and without a channel in the channel layer. Published
        changes reach the process once, and sockets must open while the layer is unreachable (Redis
        restarts)."""
        self.scope, self.base_send = scope, send
        with ExitStack() as self.listening, suppress(StopConsumer):
            while True:
                await self.dispatch(await receive())

    async def dispatch(self, message: Any) -> None:
        """Dispatches as Channels does, without the hop to the single thread that closes old database
        connections before each frame, acks included. No connection is ever opened on that thread."""
        await getattr(self, get_handler_name(message))(message)

    async def websocket_disconnect(self, message: Any) -> None:
        """Ends as Channels does, without that hop."""
        await self.disconnect(message["code"])
        raise StopConsumer

    async def connect(self) -> None:
        self.conversation_id: UUID = self.scope["url_route"]["kwargs"]["conversation_id"]
        self.delivery: asyncio.Task[None] | None = None
        self.revision: int | None = None  # the revision on the page, after its hello
        self.window = AckWindow(frames=WINDOW_FRAMES, size=WINDOW_BYTES)
        self.rate = RateLimit(burst=60, per_second=20)
        query = QueryDict(self.scope["query_string"])
        self.language = known_language(query.get("language", ""))
        self.session_key = _session_key(self.scope["headers"]) or ""
        runtime = current()
        limits = runtime.socket_limits
        if not runtime.runner.accepting or not limits.allows_session(self.session_key):
            await self.close()
            return
        await self.accept()
        # It listens before the conversation is read: no change in between is missed.
        listener = Listener(structural=False)
        self.listening.enter_context(runtime.pubsub.listening(self.conversation_id, listener))
        try:
            async with runtime.socket_lookups.turn(self.session_key):
                self.viewer = await run_unit(viewer_of, self.session_key, self.conversation_id, listener)
        except LoggedOutError:
            await self.close(4401)
        except NotFoundError:
            await self.close(4404)
        else:
            user_id = self.viewer.user_id
            if not (limits.allows_user(user_id) and limits.open.enter(user_id)):
                await self.close(4429)
                return
            self.viewer.on_close = self.window.end
            self.delivery = asyncio.create_task(
                self._deliver(), context=fresh_context(), name=f"socket-{self.conversation_id}"
            )
            self.delivery.add_done_callback(lambda _: limits.open.leave(user_id))

    async def disconnect(self, code: int) -> None:
        if self.delivery is not None:
            self.delivery.cancel()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self.delivery is None or self.delivery.done() or self.viewer.closed:
            return
        if not self.rate.allows():
            await self.close(4430)
            return
        frame: dict[str, Any] = {}
        try:
            frame = _parse(text_data)
            await self._handle(frame)
        except LoggedOutError:
            self.viewer.close("revoked")
        except (ActionError, NotFoundError) as error:
            await self._send_notice(error, frame)
        except DatabaseError as error:
            logger.error("A frame of a page could not be handled: %s", error)
            await self._send_notice(ActionError(fragments.no_database()), frame)

    async def _send_notice(self, error: Exception, frame: dict[str, Any]) -> None:
        try:
            client_id = _uuid_of(frame, "client_id")
        except InvalidInputError:
            client_id = None
        with override(self.language):
            html = fragments.notice(in_words(error), client_id=client_id)
        await self._send_html(html)

    async def _handle(self, frame: dict[str, Any]) -> None:
        match frame.get("type"):
            case "hello":
                self._handle_hello(_number_of(frame, "revision"))
            case "ack":
                self.window.acked(_number_of(frame, "frame"))
            case "send":
                await self._send_prompt(frame)
            case "stop":
                await self._run_action(stop_reply, _uuid_of(frame, "message"))
            case _:
                raise InvalidInputError(_("The page sent something unknown. Reload it."))

    async def _send_prompt(self, frame: dict[str, Any]) -> None:
        text, models = frame.get("text"), frame.get("model")
        if not isinstance(text, str):
            raise InvalidInputError(_("The message is not text."))
        client_id = _uuid_of(frame, "client_id")
        edits = _uuid_of(frame, "edits") if frame.get("edits") else None
        tools = frame.get("tools")  # names with spaces between; missing changes nothing
        chosen: list[int | str] = [
            model
            for model in (models if isinstance(models, list) else [models])
            if isinstance(model, str | int)
        ]
        sent = await self._run_action(
            send_message,
            self.conversation_id,
            client_id=client_id,
            text=text,
            model_ids=chosen,
            edits=edits,
            attachments=_uuids_of(frame, "attachment"),
            removed_attachments=_uuids_of(frame, "removed_attachment"),
            tools=tools.split() if isinstance(tools, str) else None,
            parameters=frame.get("parameters"),
        )
        await self._send_html(fragments.receipt(sent.message))

    async def _run_action[**P, T](
        self, action: Callable[Concatenate[User, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Runs the action as the current user. Raises `LoggedOutError`."""

        def act() -> T:
            result = action(actor_of(self.viewer.claim).user, *args, **kwargs)
            sessions.extend(self.session_key)
            return result

        return await run_write(act)

    def _handle_hello(self, revision: int) -> None:
        if self.revision is not None:
            raise InvalidInputError(_("The page is out of date. Reload it."))
        self.revision = revision
        self.viewer.listener.wake()

    async def _deliver(self) -> None:
        """Monitors the socket from its opening, sends frames after the hello, and closes the socket with the
        reason."""
        activate(self.language)  # in this task: frames need no change of the language
        code = 1011
        try:
            runtime = current()
            with runtime.session_monitor.guarding(self.viewer), runtime.metrics.open_page("websocket"):
                code = await self._wait_for_hello() or await self._send_frames(self.revision or 0)
        except DatabaseError as error:
            logger.error("Delivery to a page stopped: %s", error)
        except Disconnected:
            pass  # the page closed while a frame was being sent
        except Exception:
            logger.exception("Delivery to a page failed unexpectedly. The page will reconnect.")
        await self.close(code)

    async def _wait_for_hello(self) -> int:
        """Returns 0, or the close code."""
        until = time.monotonic() + HELLO_SECONDS
        while self.revision is None and not self.viewer.closed:
            if not await self.viewer.listener.wait(max(0.0, until - time.monotonic())):
                return 4408
        return CLOSE_CODES[self.viewer.closed] if self.viewer.closed else 0

    async def _send_frames(self, revision: int) -> int:
        async with aclosing(frames(self.viewer, self.conversation_id, revision, self.language)) as stream:
            async for frame in stream:
                for update in frame.updates or ([] if frame.closed else [""]):
                    if not (self.window.has_room or await self.window.room(ACK_SECONDS)):
                        return 4408
                    if self.viewer.closed:
                        return CLOSE_CODES[self.viewer.closed]
                    await self._send_html(update)
                if frame.closed:
                    return CLOSE_CODES[frame.closed]
        return 1011

    async def _send_html(self, html: str) -> None:
        """Sends HTML. Empty HTML is a heartbeat: JSON without content, which htmx accepts and does not
        show."""
        self.window.sent(len(html) if html.isascii() else len(html.encode()))
        event: Any = {"type": "websocket.send", "text": html or "{}"}
        await self.base_send(event)


def _session_key(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    cookies = next((value for name, value in headers if name == b"cookie"), b"")
    return parse_cookie(cookies.decode("latin-1")).get(settings.SESSION_COOKIE_NAME)


def _parse(text: str | None) -> dict[str, Any]:
    try:
        frame = orjson.loads(text or "")
    except orjson.JSONDecodeError:
        frame = None
    if not isinstance(frame, dict):
        raise InvalidInputError(_("The page sent something that cannot be read. Reload it."))
    return frame


def _number_of(frame: dict[str, Any], name: str) -> int:
    """Returns a whole number that is not negative; htmx sends inputs as text."""
    value = frame.get(name)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise InvalidInputError(_("The page sent no valid {name}. Reload it."), name=name)
    return value


def _uuid_of(frame: dict[str, Any], name: str) -> UUID:
    try:
        return UUID(frame[name])
    except (KeyError, ValueError, TypeError, AttributeError):
        raise InvalidInputError(_("The page sent no valid {name}. Reload it."), name=name) from None


def _uuids_of(frame: dict[str, Any], name: str) -> list[UUID]:
    """Returns the ids of a field with none, one or several."""
    values = frame.get(name) or []
    return [_uuid_of({name: value}, name) for value in (values if isinstance(values, list) else [values])]
