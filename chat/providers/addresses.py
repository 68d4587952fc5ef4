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


def check_own_host(endpoint: EndpointConfig, address: str, hosts: tuple[str, ...]) -> None:
    """Raises `ConfigurationError` unless the address is https, its host is one of the cloud's own, and its
    certificate one that the machine trusts: the credentials of the machine are sent nowhere else. Who may
    change an endpoint must not receive them."""
    parts = urlsplit(address)
    host = f".{parts.hostname or ''}"
    is_own = parts.scheme == "https" and host.endswith(tuple(f".{each}" for each in hosts))
    if not is_own or endpoint.authority:
        raise ConfigurationError(
            detail="Without a key of its own, this provider is reached with the credentials of the machine. "
            f"They are only sent to https addresses under {', '.join(hosts)}, without a certificate "
            "authority of the endpoint. Give a key for another address."
        )
