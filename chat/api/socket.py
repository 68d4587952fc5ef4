"""The WebSocket of the API, `/ws/api/v1/`: several replies on one socket.

Frames are JSON objects with a `type`. The client's:

    authenticate  token: first, unless the handshake has an `Authorization` header
    send          as the body of POST /prompts, and if wanted key (the Idempotency-Key), buffer
    subscribe     prompt or reply (an id), and if wanted after, buffer
    unsubscribe   prompt or reply, as it was subscribed
    stop          reply
    ack           frame: how many frames of this socket were received; at least every 500

The server's are the events of `chat.api.events`, and for each frame of the client but `ack` one answer with
its `id`, if it had one: `ok`, `sent` (as the response of POST /prompts) or `refused` (a problem).

    4401  no valid token (any more)                4408  no token for 10 s, no ack for 60 s
    4429  too many open streams                    4430  too many frames
    1012  the server restarts: connect again       1011  something went wrong: connect again

No cookie opens this socket, so its origin does not matter. A handshake without TLS is refused (403) if
`STEADY_URL` is https.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from typing import Any
from uuid import UUID

import orjson
from autobahn.exception import Disconnected
from channels.consumer import get_handler_name
from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import DatabaseError

from chat.access import replies_for
from chat.actions.errors import InvalidInputError
from chat.actions.reply import stop_reply
from chat.actor import Actor, LoggedOutError, actor_of
from chat.api import schemas
from chat.api.authentication import (
    actor_with,
    bearer_of,
    check_room,
    count_request,
    is_clear_text,
    limit_of,
    watched,
)
from chat.api.problems import KNOWN, ProblemError, problem_of
from chat.api.prompts import replies_to, send_unit, sent_json
from chat.api.streams import checked_buffer, guarded_events, positions_of
from chat.database import run_unit, run_write
from chat.live.ack_window import AckWindow
from chat.log_context import fresh_context
from chat.models import Message, Scope
from chat.rate_limit import RateLimit
from chat.runtime import current
from chat.translatable import translatable as _

logger = logging.getLogger(__name__)

TOKEN_SECONDS = 10.0
ACK_SECONDS = 60.0
WINDOW_FRAMES, WINDOW_BYTES = 1_000, 1024 * 1024
CLOSE_CODES = {"revoked": 4401, "restart": 1012}


class ApiConsumer(AsyncWebsocketConsumer):
    channel_layer_alias = "none"

    async def dispatch(self, message: Any) -> None:
        """As in `transports.consumer`: without the hop to the single thread that closes old connections."""
        await getattr(self, get_handler_name(message))(message)

    async def connect(self) -> None:
        self.actor: Actor | None = None
        self.watching: asyncio.Task[None] | None = None
        self.authenticated = asyncio.Event()
        self.streaming: dict[UUID, asyncio.Task[None]] = {}  # by prompt or reply
        self.window = AckWindow(frames=WINDOW_FRAMES, size=WINDOW_BYTES)
        self.rate = RateLimit(burst=60, per_second=20)
        headers = {name.decode().title(): value.decode("latin-1") for name, value in self.scope["headers"]}
        if is_clear_text(headers.get("X-Forwarded-Proto", "")) or not current().runner.accepting:
            await self.close()
            return
        await self.accept()
        self.watching = asyncio.create_task(self._watch(), context=fresh_context(), name="api-socket")
        if secret := bearer_of(headers):
            await self._answer({"type": "authenticate", "token": secret})

    async def disconnect(self, code: int) -> None:
        for task in (self.watching, *self.streaming.values()):
            if task is not None:
                task.cancel()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self.watching is None or self.watching.done():
            return
        if not self.rate.allows():
            await self.close(4430)
            return
        try:
            frame = orjson.loads(text_data or "")
        except orjson.JSONDecodeError:
            frame = None
        await self._answer(frame if isinstance(frame, dict) else {})

    async def _answer(self, frame: dict[str, Any]) -> None:
        number = {"id": frame["id"]} if isinstance(frame.get("id"), str | int) else {}
        try:
            answer = await self._handle(frame)
        except LoggedOutError:
            await self.close(4401)
        except (*KNOWN, ValueError) as error:  # the last are wrong values in the frame
            if not isinstance(error, KNOWN):
                error = InvalidInputError(_("The frame is not understood. See docs/api.md."))
            if isinstance(error, DatabaseError):
                logger.error("A frame of a program could not be handled: %s", error)
            await self._send({"type": "refused", **number, "problem": problem_of(error).as_json()})
        else:
            if answer is not None:
                await self._send({**answer, **number})

    async def _handle(self, frame: dict[str, Any]) -> dict[str, Any] | None:
        kind = frame.get("type")
        if kind == "ack":
            self.window.acked(int(str(frame.get("frame"))))
            return None
        if kind == "authenticate":
            await self._authenticate(str(frame.get("token", "")))
            return {"type": "ok"}
        if self.actor is None:
            raise LoggedOutError
        count_request(self.limit)
        match kind:
            case "send":
                return await self._take_prompt(frame)
            case "subscribe":
                await self._subscribe(frame)
            case "unsubscribe":
                if task := self.streaming.pop(_named(frame), None):
                    task.cancel()
            case "stop":
                await self._act(Scope.CHAT, stop_reply, _named(frame))
            case _:
                raise InvalidInputError(_("The frame is not understood. See docs/api.md."))
        return {"type": "ok"}

    async def _authenticate(self, secret: str) -> None:
        if self.actor is not None:
            raise InvalidInputError(_("This socket has a token already."))
        # Any scope: each frame requires its own.
        address, _port = self.scope.get("client") or ("", 0)
        self.actor = await actor_with(secret, None, address)
        self.limit = limit_of(secret)
        self.authenticated.set()

    async def _take_prompt(self, frame: dict[str, Any]) -> dict[str, Any]:
        wanted = {name: frame[name] for name in schemas.NewPrompt.model_fields if name in frame}
        body = schemas.NewPrompt.model_validate(wanted)
        buffer = checked_buffer(str(frame.get("buffer", "none")))
        assert self.actor is not None
        check_room(self.actor)
        key = str(frame.get("key", ""))
        if len(key) > schemas.KEY_LENGTH:
            raise InvalidInputError(_("`key` may have at most {limit} characters."), limit=schemas.KEY_LENGTH)
        sent, replies = await self._act(Scope.CHAT, send_unit, key, body)
        self._stream(sent.message.pk, replies, [0] * len(replies), buffer)
        return {"type": "sent", **sent_json(sent, replies)}

    async def _subscribe(self, frame: dict[str, Any]) -> None:
        buffer = checked_buffer(str(frame.get("buffer", "none")))
        assert self.actor is not None
        self.actor.require(Scope.READ)
        user = self.actor.user
        if "prompt" in frame:
            replies = await run_unit(replies_to, user, _named(frame))
        else:
            replies = await run_unit(replies_for, user, [_named(frame)])
        after = positions_of(str(frame.get("after", "")), len(replies))
        check_room(self.actor)
        self._stream(_named(frame), replies, after, buffer)

    async def _act(self, scope: Scope, action: Any, *args: Any) -> Any:
        """Runs the action as the current user. Raises `LoggedOutError`, `ScopeError`."""
        assert self.actor is not None
        claim = self.actor.claim

        def act() -> Any:
            actor = actor_of(claim)
            actor.require(scope)
            return action(actor.user, *args)

        return await run_write(act)

    def _stream(self, topic: UUID, replies: list[Message], after: list[int], buffer: str) -> None:
        if before := self.streaming.pop(topic, None):
            before.cancel()
        assert self.actor is not None
        task = asyncio.create_task(
            self._deliver(self.actor, topic, replies, after, buffer),
            context=fresh_context(),
            name=f"api-{topic}",
        )
        self.streaming[topic] = task

        def forget(_task: asyncio.Task[None]) -> None:
            if self.streaming.get(topic) is task:
                del self.streaming[topic]

        task.add_done_callback(forget)

    async def _deliver(
        self, actor: Actor, topic: UUID, replies: list[Message], after: list[int], buffer: str
    ) -> None:
        async with aclosing(guarded_events(actor, replies, after, buffer)) as events:
            async for event in events:
                if not await self.window.room(ACK_SECONDS):
                    await self.close(4408)
                    return
                frame = event.as_json()
                if event.reply is None:
                    frame["metadata"]["subscription"] = str(topic)
                try:
                    await self._send(frame)
                except Disconnected:
                    return

    async def _watch(self) -> None:
        """Closes the socket when its token ends, when the server stops, or if no token comes."""
        code = 1011
        try:
            async with asyncio.timeout(TOKEN_SECONDS):
                await self.authenticated.wait()
            assert self.actor is not None
            async with watched(self.actor) as viewer:
                closed = asyncio.Event()
                viewer.on_close = closed.set
                if not viewer.closed:
                    await closed.wait()
                code = CLOSE_CODES[viewer.closed]
        except TimeoutError:
            code = 4408
        except ProblemError:
            code = 4429
        except Exception:
            logger.exception("The socket of a program broke.")
        self.window.end()
        await asyncio.wait(self.streaming.values(), timeout=1) if self.streaming else None
        await self.close(code)

    async def _send(self, frame: dict[str, Any]) -> None:
        text = orjson.dumps(frame, default=str).decode()
        self.window.sent(len(text))
        await self.send(text_data=text)


def _named(frame: dict[str, Any]) -> UUID:
    """Returns the prompt or reply that the frame names. Raises `ValueError`."""
    return UUID(str(frame.get("prompt") or frame.get("reply")))


api_socket: Any = ApiConsumer.as_asgi()
PATH = "/ws/api/v1/"
