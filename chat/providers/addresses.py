"""Reads a provider's address. It may contain a user name and a password before the host."""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import unquote, urlsplit, urlunsplit

from chat.providers.base import EndpointConfig
from chat.providers.errors import ConfigurationError


def split_credentials(endpoint: EndpointConfig, default: str) -> tuple[str, dict[str, str]]:
    """Returns the address without user name and password, and the header with them. Raises
    `ConfigurationError` for an invalid address."""
    try:
        parts = urlsplit(endpoint.base_url or default)
    except ValueError as error:
        raise ConfigurationError(detail=f"The address cannot be read: {error}.") from None
    if "@" not in parts.netloc:
        return endpoint.base_url or default, {}
    userinfo, _, host = parts.netloc.rpartition("@")
    name, _, password = userinfo.partition(":")
    credentials = b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode("ascii")
    return urlunsplit(parts._replace(netloc=host)), {"Authorization": f"Basic {credentials}"}


def check_own_host(endpoint: EndpointConfig, address: str, hosts: tuple[str, ...]) -> None:
    """Checks an address before the credentials of the machine are sent to it. Raises `ConfigurationError`
    unless the scheme is https, the host is one of the cloud's own, and the endpoint adds no certificate
    authority. Otherwise an administrator could change the address and receive the credentials."""
    parts = urlsplit(address)
    host = f".{parts.hostname or ''}"
    is_own = parts.scheme == "https" and host.endswith(tuple(f".{each}" for each in hosts))
    if not is_own or endpoint.authority:
        raise ConfigurationError(
            detail="Without a key of its own, this provider is reached with the credentials of the machine. "
            f"They are only sent to https addresses under {', '.join(hosts)}, without a certificate "
            "authority of the endpoint. Give a key for another address."
        )
