"""The gateway in this process, in front of the scripted provider, with a token for it."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from pytest_django.fixtures import Settings

from chat.actions.api_token import make_token
from chat.models import ChatModel, Endpoint, Scope, User
from chat.providers import registry
from chat.providers.base import EndpointConfig
from chat.runtime import Runtime, current
from tests.api.gateway.served import serving
from tests.providers.wire import FORMATS, Wire, serve


def all_formats(test: Callable[..., Any]) -> Callable[..., Any]:
    """Runs the test for each wire format as `name`, in one setting: to set it up takes longer than a call."""

    @wraps(test)
    async def run(**fixtures: Any) -> None:
        for name in FORMATS:
            try:
                await test(name=name, **fixtures)
            except BaseException as error:
                error.add_note(f"The format is {name}.")
                raise

    signature = inspect.signature(test)
    named = [it for it in signature.parameters.values() if it.name != "name"]
    run.__signature__ = signature.replace(parameters=named)  # type: ignore[attr-defined]
    return run


PROVIDER_KEY = "sk-of-the-provider-0123456789"


@dataclass
class Gateway:
    """`url` is the address, `key` a token with the scope `gateway` of `person`."""

    url: str
    key: str
    person: User
    wire: Wire
    runtime: Runtime


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with serve() as server:
        yield server
        await registry.close_all()


@pytest.fixture
def token_of() -> Callable[..., str]:
    def make(user: User, *scopes: Scope) -> str:
        return make_token(user, name="A program", scopes=scopes or [Scope.GATEWAY])[1]

    return make


@pytest.fixture
async def gateway(
    transactional_db: None,
    wire: Wire,
    runtime: Runtime,
    settings: Settings,
    person: User,
    token_of: Callable[..., str],
) -> AsyncIterator[Gateway]:
    """Each wire format is an endpoint with the model `wire-FORMAT`; `openai` speaks Responses, as
    api.openai.com does. The demo is there, too."""
    settings.CHAT_ENDPOINTS = {
        name: EndpointConfig(
            name,
            "openai" if name == "openai_chat" else name,
            name,
            wire.base_url(name),
            PROVIDER_KEY,
        )
        for name in FORMATS
    } | {"demo": EndpointConfig("demo", "demo", "Demo")}
    settings.CHAT_RUNNING_PER_PERSON = 8

    def models() -> str:
        for name in settings.CHAT_ENDPOINTS:
            endpoint = Endpoint.objects.create(slug=name, name=name)
            prices = {"input_price": 1, "output_price": 2}
            called = "demo" if name == "demo" else f"wire-{name}"
            ChatModel.objects.create(endpoint=endpoint, name=called, **prices)
        return token_of(person)

    key = await sync_to_async(models)()
    registry.provider_for(settings.CHAT_ENDPOINTS["openai"])._speaks_responses = True  # type: ignore[attr-defined]
    from chatproject.asgi import application

    runtime.start()
    try:
        async with serving(application) as url:
            yield Gateway(url, key, person, wire, runtime)
    finally:
        await runtime.stop(0)


@pytest.fixture
def settled(gateway: Gateway) -> Callable[[], Any]:
    """Returns when no call is running any more."""

    async def wait() -> None:
        await gateway.runtime.calls.drain(60)
        assert not gateway.runtime.calls.running

    return wait


async def without_pauses() -> None:
    """Ends the pauses of endpoints that a provider asked for with a 429: the next call would wait in the
    queue."""
    await Endpoint.objects.aupdate(slowed_until=None)
    current().calls.permits.clear()
