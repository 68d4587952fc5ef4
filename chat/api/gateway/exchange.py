"""The course of one call: the provider's events in, the API's bytes out, the usage booked."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing, suppress
from dataclasses import replace
from types import ModuleType

from django.conf import settings
from django.db import DatabaseError

from chat.actions.call import book_call
from chat.actions.call_chat import Answer
from chat.actor import Actor
from chat.api.gateway.answers import CollectedAnswer, ParsedRequest, Stream
from chat.api.gateway.connection import STREAM_HEADERS, Connection
from chat.api.gateway.failures import failure_of
from chat.database import run_write
from chat.generation.calls import Call
from chat.providers.base import ChatRequest

KEEP_ALIVE_SECONDS = 15.0  # of silence; proxies close a connection after 60
_BOOKING_DELAYS = (0.5, 2.0)  # seconds until another attempt to book a call

logger = logging.getLogger(__name__)


def limited(request: ChatRequest) -> ChatRequest:
    """Returns the request within this server's limit of output."""
    limits = (request.max_output_tokens, settings.CHAT_MAX_OUTPUT_TOKENS)
    return replace(request, max_output_tokens=min((limit for limit in limits if limit), default=None))


class Exchange:
    """One call and its connection. `name` is the model's name as the program wrote it."""

    def __init__(
        self,
        connection: Connection,
        api: ModuleType,
        actor: Actor,
        call: Call,
        parsed: ParsedRequest,
        *,
        name: str,
        keeps: bool,
    ) -> None:
        self._connection, self._api, self._actor, self._call = connection, api, actor, call
        self._parsed, self._name, self._keeps = parsed, name, keeps
        self._stream: Stream = api.stream(parsed, call.id, name)
        self._answer = CollectedAnswer()
        self._wrote = False
        self._writing = asyncio.Lock()  # nothing precedes the beginning of the stream

    async def run(self) -> None:
        """Answers the request. The usage is booked before the program receives the end of its answer. Raises
        the error of a call whose response has not started."""
        failure = None
        keep_alive = asyncio.create_task(self._keep_alive()) if self._parsed.stream else None
        try:
            await self._read()
        except asyncio.CancelledError:  # the program has gone
            await self._book()
            raise
        except Exception as error:  # noqa: BLE001 - the boundary: unknown ones are logged
            failure = failure_of(error, self._api.OPTIONS)
            self._call.is_broken |= failure.code == "internal"
        finally:
            if keep_alive is not None:
                keep_alive.cancel()
        await self._book()
        if failure is not None and not self._connection.has_started:
            raise failure
        if failure is not None:
            if not self._connection.is_writing:
                await self._connection.finish(self._stream.fail(failure))
        elif self._parsed.stream:
            await self._write(self._stream.end(self._answer))
            await self._connection.finish()
        else:
            whole = self._api.response_body(self._parsed, self._call.id, self._name, self._answer)
            await self._connection.respond(200, whole)

    async def _read(self) -> None:
        with self._call.reading():
            await self._read_events()
        if self._call.finished is not None:
            self._answer.finished = self._call.finished
        self._answer.usage = self._call.usage

    async def _read_events(self) -> None:
        collects = self._keeps or not self._parsed.stream
        async with aclosing(self._call.events()) as events:
            async for event in events:
                if collects:
                    self._answer.events.append(event)
                if self._parsed.stream and (data := self._stream.feed(event)):
                    await self._write(data)

    async def _write(self, data: bytes) -> None:
        async with self._writing:
            if not self._connection.has_started:
                await self._connection.start(200, STREAM_HEADERS)
                data = self._stream.begin() + data
            self._wrote = True
            await self._connection.write(data)

    async def _keep_alive(self) -> None:
        """Writes in a long silence. This starts the response: a later error is part of the stream."""
        while True:
            await asyncio.sleep(KEEP_ALIVE_SECONDS)
            if not self._wrote and not self._writing.locked():
                with suppress(OSError):
                    await self._write(self._api.KEEP_ALIVE)
            self._wrote = False

    async def _book(self) -> None:
        """Books the call. A program that leaves meanwhile ends no attempt: cancellation waits for the end."""
        booking = asyncio.create_task(self._try_to_book())
        try:
            await asyncio.shield(booking)
        except asyncio.CancelledError:
            await asyncio.wait([booking])
            raise

    async def _try_to_book(self) -> None:
        """A database that does not answer loses no answer: then the usage is in the log."""
        answer = Answer(self._answer.text, self._answer.calls) if self._keeps else None
        for delay in (*_BOOKING_DELAYS, None):
            try:
                await run_write(book_call, self._actor, self._call, api=self._api.NAME, answer=answer)
            except DatabaseError as error:
                logger.error(
                    "The usage of call %s of user %s could not be stored: %s. %s",
                    *(self._call.id, self._actor.user.pk, self._call.usage, error),
                )
                if delay is None:
                    return
                await asyncio.sleep(delay)
            else:
                return
