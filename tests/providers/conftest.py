"""The scripted provider, and adapters that talk to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

import pytest

from chat.providers.base import ChatRequest, EndpointConfig, Provider, Turn
from chat.providers.events import ProviderEvent
from chat.providers.registry import close_all, provider_for
from tests.providers.wire import Wire, serve

KEY = "sk-canary-0123456789abcdef"
_CLOUDS = {"bedrock": {"region": "eu-central-1"}, "vertex": {"region": "europe-west1", "project": "p"}}


class Connect(Protocol):
    def __call__(self, name: str, **fields: Any) -> Provider: ...


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with serve() as server:
        yield server
        await close_all()


@pytest.fixture
def connect(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Gives the adapter for a wire format, as the registry makes it, with the scripted server's address.

    `openai` is the adapter for api.openai.com, which speaks Responses, with that host's requests brought
    to the scripted server; `openai_chat` is the same adapter at another address. `fields` are more of the
    endpoint's.
    """

    def connect(name: str, **fields: Any) -> Provider:
        kind = "openai" if name == "openai_chat" else name
        fields = {"base_url": wire.base_url(name), "api_key": KEY, **_CLOUDS.get(name, {}), **fields}
        provider = provider_for(EndpointConfig(name, kind, name, **fields))
        if name == "openai":
            monkeypatch.setattr(provider, "_speaks_responses", True)
        return provider

    return connect


def ask(text: str, *, model: str = "wire", **more: object) -> ChatRequest:
    return ChatRequest(model, [Turn("user", text)], **more)  # type: ignore[arg-type]


async def collect(provider: Provider, request: ChatRequest) -> list[ProviderEvent]:
    return [event async for event in provider.stream(request)]
