"""How an endpoint is reached: the authorities, the proxy and the extra headers of its connections."""

from __future__ import annotations

import ssl
from typing import Any

import httpx2

from chat.providers.base import EndpointConfig
from chat.providers.errors import ConfigurationError
from chat.providers.sse import LIMITS, limit_error


def client_options(endpoint: EndpointConfig) -> dict[str, Any]:
    """Returns the options of an SDK's HTTP client. Redirects are not followed: one to another host would take
    the key along. Raises `ConfigurationError`."""
    options: dict[str, Any] = {
        "follow_redirects": False,
        "limits": LIMITS,
        "event_hooks": {"response": [limit_error]},
    }
    if endpoint.authority:
        options["verify"] = trusted(endpoint)
    if endpoint.proxy:
        options["proxy"] = endpoint.proxy
    return options


def trusted(endpoint: EndpointConfig) -> ssl.SSLContext:
    """Returns the context of TLS connections: the usual authorities, and the endpoint's own. Raises
    `ConfigurationError` for an unreadable certificate."""
    context = httpx2.create_ssl_context()
    if endpoint.authority:
        try:
            context.load_verify_locations(cadata=endpoint.authority)
        except (ssl.SSLError, ValueError):
            raise ConfigurationError(
                detail=f"The certificate authority of endpoint {endpoint.slug!r} is not in the PEM format."
            ) from None
    return context
