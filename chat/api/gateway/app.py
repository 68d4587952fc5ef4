"""The ASGI application of the gateway: routes, keys, and the course of one call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4

import orjson

from chat import log_context
from chat.access import model_named
from chat.actions.call import begin_call, counted, recent_permit
from chat.actor import Actor
from chat.api.authentication import (
    actor_with,
    admitted,
    count_request,
    is_clear_text,
    known_limit,
    limit_of,
    rate_headers,
    watched,
)
from chat.api.gateway import anthropic_errors, chat_completions, messages, models, openai_errors, responses
from chat.api.gateway.answers import ParsedRequest
from chat.api.gateway.connection import Connection
from chat.api.gateway.exchange import Exchange, limited
from chat.api.gateway.failures import FailureError, GoneError, failure_of
from chat.api.gateway.fields import Fields
from chat.api.gateway.messages_request import parse_count
from chat.database import run_unit
from chat.generation.calls import Call, CallEndedError
from chat.generation.running_calls import Permit
from chat.models import ChatModel, Scope
from chat.pipeline.tokens import request_tokens
from chat.runtime import current

PREFIX = "/v1/"
LARGE_BYTES = 64 * 1024  # of a body; less is read in about 1 ms
_KEEP = "x-steady-keep"

# Each of these modules speaks one API: its requests, answers and streams.
_CALLS: dict[str, ModuleType] = {
    "/v1/chat/completions": chat_completions,
    "/v1/messages": messages,
    "/v1/responses": responses,
}
_COUNT = "/v1/messages/count_tokens"


async def gateway(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Serves all requests whose path begins with `PREFIX`."""
    connection = Connection(scope, receive, send)
    try:
        await _route(connection)
    except GoneError:
        pass
    except Exception as error:  # noqa: BLE001 - the boundary: unknown ones are logged
        failure = failure_of(error)
        if failure.retry is not None:
            connection.headers["X-Should-Retry"] = "true" if failure.retry else "false"
        await connection.respond(failure.status, _error_body(connection, failure), failure.headers)


def _error_body(connection: Connection, failure: FailureError) -> dict[str, Any]:
    if _is_of_anthropic(connection):
        return anthropic_errors.error_body(failure)
    return openai_errors.error_body(failure)


def _is_of_anthropic(connection: Connection) -> bool:
    """Returns whether the program speaks Anthropic's API. The lists of models share one path."""
    path = connection.path
    return path.startswith("/v1/messages") or (
        path.startswith("/v1/models") and "anthropic-version" in connection.request_headers
    )


async def _route(connection: Connection) -> None:
    if is_clear_text(connection.request_headers.get("x-forwarded-proto", "")):
        raise FailureError(
            403, "Use the https address: the key must not be sent in clear text.", "https_only"
        )
    path = connection.path
    if path in _CALLS:
        _allow(connection, "POST")
        await _call(connection, _CALLS[path])
    elif path == _COUNT:
        _allow(connection, "POST")
        await _count(connection)
    elif path == "/v1/models" or path.startswith("/v1/models/"):
        _allow(connection, "GET")
        found = await run_unit(models.listed, await _actor(connection))
        await connection.respond(200, _models(connection, found, path.removeprefix("/v1/models")[1:]))
    else:
        raise FailureError(404, f"The gateway has no {path!r}.", "not_found")


def _models(connection: Connection, found: list[tuple[str, ChatModel]], wanted: str) -> dict[str, Any]:
    """Returns all models, or the one that is wanted."""
    is_of_anthropic = _is_of_anthropic(connection)
    if not wanted:
        return models.anthropic_list(found) if is_of_anthropic else models.openai_list(found)
    for model_id, model in found:
        if wanted in {model_id, f"{model.endpoint_id}/{model.name}"}:
            form = models.anthropic_model if is_of_anthropic else models.openai_model
            return form(model_id, model)
    raise FailureError(404, f"There is no model {wanted!r} that you may use.", "model_not_found")


def _allow(connection: Connection, method: str) -> None:
    if connection.method != method:
        words = f"Only {method} is allowed here."
        raise FailureError(405, words, "method_not_allowed", headers={"Allow": method})


def _secret_of(connection: Connection) -> str:
    """Returns the key, from either of the two headers that the SDKs use."""
    scheme, _space, bearer = connection.request_headers.get("authorization", "").partition(" ")
    return (
        bearer.strip()
        if scheme.lower() == "bearer"
        else connection.request_headers.get("x-api-key", "").strip()
    )


async def _actor(connection: Connection) -> Actor:
    secret = _secret_of(connection)
    actor = await actor_with(secret, Scope.GATEWAY, connection.address)
    connection.headers |= rate_headers(limit_of(secret))
    return actor


async def _call(connection: Connection, api: ModuleType) -> None:
    raw = await connection.body()
    if len(raw) > LARGE_BYTES:
        await _actor(connection)  # no work for those without a key
    try:
        body = Fields(await _work(len(raw), _json, raw))
        name = body.text("model")
    except FailureError:
        await _actor(connection)
        raise
    call_id = uuid4()
    permit = await _permit(connection, name, call_id)
    with counted(permit, call_id):
        runtime = current()
        if not runtime.runner.accepting:
            raise CallEndedError("restart", was_sent=False)
        parsed: ParsedRequest = await _work(len(raw), api.parse, body, permit.model.name)
        request = limited(parsed.request)
        actor = permit.actor
        call = Call(actor.user.pk, permit.model, permit.endpoint, request, runtime.calls, id=call_id)
        log_context.generation_id.set(str(call.id))
        keep_header = connection.request_headers.get(_KEEP, "").strip().lower()
        keeps = keep_header in {"true", "1", "yes"} if keep_header else permit.keeps
        async with watched(actor) as viewer, connection.watched():
            viewer.on_close = lambda: call.end(viewer.closed)
            if viewer.closed:
                call.end(viewer.closed)
            await Exchange(connection, api, actor, call, parsed, name=name, keeps=keeps).run()


async def _permit(connection: Connection, name: str, call_id: UUID) -> Permit:
    secret = _secret_of(connection)
    try:
        if (limit := known_limit(secret)) and (permit := recent_permit(secret, name)):
            count_request(limit)
            return permit
        return await admitted(secret, connection.address, partial(begin_call, secret, name, call_id))
    finally:
        if limit := known_limit(secret):
            connection.headers |= rate_headers(limit)


async def _count(connection: Connection) -> None:
    """Responds with our own estimate: it needs no provider and costs nothing."""
    actor = await _actor(connection)
    raw = await connection.body()
    body = Fields(await _work(len(raw), _json, raw))
    model = await run_unit(model_named, actor.user, body.text("model"))
    parsed: ParsedRequest = await _work(len(raw), parse_count, body, model.name)
    await connection.respond(200, {"input_tokens": await _work(len(raw), request_tokens, parsed.request)})


async def _work[**P, R](size: int, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Calls the function, on a thread if the body has many bytes: nothing else runs on the loop meanwhile."""
    if size > LARGE_BYTES:
        return await asyncio.to_thread(function, *args, **kwargs)
    return function(*args, **kwargs)


def _json(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise FailureError(400, "The body is not valid JSON.", "invalid_json") from None
