"""Finds the adapter of an endpoint, and keeps one instance for each endpoint and event loop.

An adapter's module is imported on first use: an SDK takes 0.6-1.5 s and 50-70 MB.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from weakref import WeakKeyDictionary

from chat.providers.base import EndpointConfig, Provider
from chat.providers.errors import ConfigurationError

KINDS: dict[str, str] = {
    "openai": "chat.providers.openai.OpenAIProvider",
    "openai_compatible": "chat.providers.openai_compatible.OpenAICompatibleProvider",
    "anthropic": "chat.providers.anthropic.AnthropicProvider",
    "azure": "chat.providers.azure.AzureProvider",
    "bedrock": "chat.providers.anthropic_clouds.BedrockProvider",
    "vertex": "chat.providers.anthropic_clouds.VertexProvider",
    "gemini": "chat.providers.gemini.GeminiProvider",
    "demo": "chat.providers.demo.DemoProvider",
}

WITHOUT_MODEL_LIST = frozenset({"bedrock", "vertex"})  # kinds whose models are added by hand

# The adapter of a changed endpoint is closed later, because running replies still use it.
CLOSE_AFTER_SECONDS = 24 * 3600.0

# State of the process, so that all callers share one connection pool for each endpoint. A pool belongs to the
# event loop in which it was created.
_instances: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[EndpointConfig, Provider]] = WeakKeyDictionary()
_closing: set[asyncio.Task[None]] = set()  # the event loop itself keeps only weak references to tasks


def provider_for(endpoint: EndpointConfig) -> Provider:
    """Returns the adapter of `endpoint` in the running event loop, created on first use. An endpoint with
    another key or address is another endpoint. Raises `ConfigurationError` for an unknown kind."""
    loop = asyncio.get_running_loop()
    providers = _instances.setdefault(loop, {})
    if endpoint not in providers:
        providers[endpoint] = adapter_class(endpoint.kind)(endpoint)
        for other in providers:
            if other.slug == endpoint.slug and other != endpoint:
                loop.call_later(CLOSE_AFTER_SECONDS, _close, other)
    return providers[endpoint]


def _close(endpoint: EndpointConfig) -> None:
    """Closes the adapter of a former configuration, if it is still open."""
    loop = asyncio.get_running_loop()
    provider = _instances.get(loop, {}).pop(endpoint, None)
    if provider is not None:
        task = loop.create_task(provider.aclose())
        _closing.add(task)
        task.add_done_callback(_closing.discard)


async def ready_provider(endpoint: EndpointConfig) -> Provider:
    """Returns `provider_for(endpoint)`. Imports the adapter's module on a thread before, because the import
    of an SDK takes up to some seconds and would block all other replies."""
    if endpoint not in _instances.get(asyncio.get_running_loop(), {}):
        await asyncio.to_thread(adapter_class, endpoint.kind)
    return provider_for(endpoint)


async def close_all() -> None:
    """Closes every adapter of the running event loop. Later calls of `provider_for` create new ones."""
    providers = _instances.pop(asyncio.get_running_loop(), {})
    for provider in providers.values():
        await provider.aclose()


def adapter_class(kind: str) -> Callable[[EndpointConfig], Provider]:
    """Returns the adapter of a kind. The first call imports its SDK and its optional `libraries`, so call it
    on a thread. The adapter itself reports a missing library. Raises `ConfigurationError` for an unknown
    kind."""
    try:
        module, _, name = KINDS[kind].rpartition(".")
    except KeyError:
        raise ConfigurationError(detail=f"Unknown provider kind {kind!r}.") from None
    found: Callable[[EndpointConfig], Provider] = getattr(import_module(module), name)
    for library in getattr(found, "libraries", ()):
        with suppress(ModuleNotFoundError):
            import_module(library)
    return found
