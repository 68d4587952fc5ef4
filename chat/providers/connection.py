"""The HTTP connections of the adapters: certificate authorities, proxy, limits and errors."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import httpx2

from chat.providers.base import EndpointConfig
from chat.providers.errors import ConfigurationError

MAX_ERROR_BYTES = 64 * 1024  # of the body of a failed request; the rest is not read

# An idle connection is closed before its server closes it (uvicorn and Node: after 5 s). A request sent at
# that moment would fail, and could not be repeated, because the server may have read it.
LIMITS = httpx2.Limits(max_connections=1000, max_keepalive_connections=100, keepalive_expiry=4.0)

# The exceptions of a lost connection, in any layer.
TRANSPORT_ERRORS = (httpx2.HTTPError, httpx2.StreamError, aiohttp.ClientError, OSError)
# Also those of a request with an invalid address or key.
REQUEST_ERRORS = (*TRANSPORT_ERRORS, httpx2.InvalidURL, ValueError)


def client_options(endpoint: EndpointConfig) -> dict[str, Any]:
    """Returns the options of an SDK's HTTP client. Redirects are not followed, because a redirect to another
    host would send the key there. Raises `ConfigurationError`."""
    options: dict[str, Any] = {
        "follow_redirects": False,
        "limits": LIMITS,
        "event_hooks": {"response": [_limit_error_body]},
    }
    if endpoint.authority:
        options["verify"] = ssl_context(endpoint)
    if endpoint.proxy:
        options["proxy"] = endpoint.proxy
    return options


def ssl_context(endpoint: EndpointConfig) -> ssl.SSLContext:
    """Returns the context of TLS connections, with the default certificate authorities and the endpoint's
    own. Raises `ConfigurationError` for an unreadable certificate."""
    context = httpx2.create_ssl_context()
    if endpoint.authority:
        try:
            context.load_verify_locations(cadata=endpoint.authority)
        except (ssl.SSLError, ValueError):
            raise ConfigurationError(
                detail=f"The certificate authority of endpoint {endpoint.slug!r} is not in the PEM format."
            ) from None
    return context


async def _limit_error_body(response: httpx2.Response) -> None:
    """Ends the body of a failed request at `MAX_ERROR_BYTES`, because the SDKs read it whole."""
    if response.status_code != httpx2.codes.OK:
        response.stream = _FirstBytes(response.stream)


class _FirstBytes(httpx2.AsyncByteStream):
    """The first `MAX_ERROR_BYTES` of a stream."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            yield chunk
            size += len(chunk)
            if size >= MAX_ERROR_BYTES:
                return

    async def aclose(self) -> None:
        await self._stream.aclose()
