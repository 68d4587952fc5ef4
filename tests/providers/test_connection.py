"""What an endpoint adds to each request: headers, query parameters, an authority, a proxy."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trustme

from chat.providers import errors
from chat.providers.base import EndpointConfig
from chat.providers.failures import redact
from chat.providers.registry import close_all, provider_for
from tests.providers.conftest import KEY, Connect, ask, collect
from tests.providers.test_contract import answering
from tests.providers.wire import Wire, serve

FORMATS = ["openai", "openai_chat", "openai_compatible", "anthropic", "gemini"]
SECRET = "canary-header-0123456789"
OWN = {"headers": (("X-Own", SECRET),), "query": (("api-version", "canary-query-01"),)}


@pytest.mark.parametrize("name", FORMATS)
async def test_headers_and_query_parameters_are_sent_and_stay_with_the_host(
    connect: Connect, wire: Wire, name: str
) -> None:
    async with answering(b"") as (elsewhere, taken):
        moved = f"HTTP/1.1 307 Moved\r\nLocation: {elsewhere}/\r\nContent-Length: 0\r\n\r\n"
        async with answering(moved.encode()) as (wire.origin, asked):
            provider = connect(name, **OWN)
            with pytest.raises(errors.ProviderError):
                await collect(provider, ask("hello"))
            with pytest.raises(errors.ProviderError):
                await provider.list_models()
    assert taken == []
    assert len(asked) == 2
    for request in asked:
        assert f"x-own: {SECRET}".encode() in request.lower()
        assert b"api-version=canary-query-01" in request.split(b"\r\n")[0]


@pytest.mark.parametrize("name", FORMATS)
async def test_an_answer_comes_with_extra_headers_too(connect: Connect, name: str) -> None:
    assert len(await collect(connect(name, **OWN), ask("/wire tokens=2"))) > 2


def test_no_secret_of_an_endpoint_is_in_an_error_or_its_representation() -> None:
    endpoint = EndpointConfig("a", "openai", "A", api_key=KEY, proxy=f"http://u:{SECRET}@p", **OWN)  # type: ignore[arg-type]
    assert "canary" not in repr(endpoint)
    assert redact(f"{KEY} {SECRET} canary-query-01", endpoint.secrets) == "[key] [key] [key]"


@pytest.mark.parametrize("kind", ["openai", "openai_compatible", "anthropic", "gemini"])
async def test_an_endpoint_trusts_its_own_authority(kind: str) -> None:
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(tls)
    pem = authority.cert_pem.bytes().decode()
    async with serve(tls=tls) as wire:
        trusting = EndpointConfig(kind, kind, kind, wire.base_url(kind), KEY, authority=pem)
        assert len(await collect(provider_for(trusting), ask("/wire tokens=2"))) > 2
        with pytest.raises(errors.ConnectionFailedError):
            await collect(
                provider_for(EndpointConfig(kind, kind, kind, wire.base_url(kind), KEY)), ask("/wire")
            )
        with pytest.raises(errors.ConfigurationError):
            await collect(
                provider_for(EndpointConfig(kind, kind, kind, wire.base_url(kind), KEY, authority="x")),
                ask(""),
            )
        await close_all()


@asynccontextmanager
async def proxying() -> AsyncIterator[tuple[str, list[bytes]]]:
    """A proxy that answers each request with 418: its address, and the requests."""
    asked = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield f"http://u:pass-canary@127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


# The transport of the SDKs makes a deprecated value of aiohttp of the proxy's name and password.
@pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .proxy_auth. parameter is deprecated:DeprecationWarning")
@pytest.mark.parametrize("kind", ["openai", "openai_compatible", "anthropic", "gemini"])
async def test_an_endpoint_is_reached_through_its_proxy(kind: str) -> None:
    async with proxying() as (proxy, asked):
        endpoint = EndpointConfig(kind, kind, kind, "http://gpu.invalid/v1", KEY, proxy=proxy)
        with pytest.raises(errors.ProviderError) as caught:
            await collect(provider_for(endpoint), ask("hello"))
        await close_all()
    assert len(asked) == 1
    assert asked[0].startswith(b"POST http://gpu.invalid/v1")
    assert b"Proxy-Authorization: Basic" in asked[0]
    assert "canary" not in caught.value.detail
