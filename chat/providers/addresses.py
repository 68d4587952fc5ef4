"""Reads a provider's address, which may hold a name and a password before the host."""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import unquote, urlsplit, urlunsplit

from chat.providers.base import EndpointConfig
from chat.providers.errors import ConfigurationError


def reach(endpoint: EndpointConfig, default: str) -> tuple[str, dict[str, str]]:
    """Returns the address without name and password, and the header that carries them. Raises
    `ConfigurationError` for an invalid address."""
    try:
        parts = urlsplit(endpoint.base_url or default)
    except ValueError as error:
        raise ConfigurationError(detail=f"The address cannot be read: {error}.") from None
    if "@" not in parts.netloc:
        return endpoint.base_url or default, {}
    known, _, host = parts.netloc.rpartition("@")
    name, _, password = known.partition(":")
    word = b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode("ascii")
    return urlunsplit(parts._replace(netloc=host)), {"Authorization": f"Basic {word}"}
