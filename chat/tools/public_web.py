"""Requests to the public web only: to no address of this machine, its network or its cloud provider.

A name is resolved once, its addresses are checked, and the connection uses a checked address. So a name that
later resolves to another address (DNS rebinding) has no effect. Each redirect is checked in the same way.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from chat.tools.base import ToolError

MOST_REDIRECTS = 5
PORTS = (None, 80, 443, 8080, 8443)
# Azure's platform answers machines in its cloud at this address, which is in a public range.
_PLATFORM = ipaddress.ip_address("168.63.129.16")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_REDIRECTS = {301, 302, 303, 307, 308}
_AGENT = "Mozilla/5.0 (compatible; Steady; reading a page for a person)"


class PrivateAddressError(ToolError):
    """The address is not on the public web."""

    def __init__(self) -> None:
        super().__init__("This address is not on the public web. It was not opened.")


def is_public(address: str) -> bool:
    """Returns whether an IP address is public. An IPv6 address that contains an IPv4 address is public if
    that is."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        embedded = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if embedded is None and ip in _NAT64:
            embedded = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        if embedded is not None:
            return is_public(str(embedded))
        if ip.is_site_local:  # fec0::/10: withdrawn, and still in use
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip == _PLATFORM)


class PublicResolver(AbstractResolver):
    """Resolves a name to its addresses. Raises `PrivateAddressError` if one of them is not public."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, family=family, type=socket.SOCK_STREAM
        )
        if not found or not all(is_public(str(address[0])) for *_ignored, address in found):
            raise PrivateAddressError
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=proto,
                flags=socket.AI_NUMERICHOST,
            )
            for kind, _type, proto, _name, address in found
        ]

    async def close(self) -> None:
        """Does nothing, because nothing is open."""


def check_url(url: str | URL) -> URL:
    """Returns the address as the HTTP client parses it, because another parser could find another host. A
    host that is an IP address is not resolved, so it is checked here, in the form that is used to connect:
    `127。0.0.1` is 127.0.0.1. Raises `ToolError` for an address that may not be opened."""
    try:
        parts = URL(url)
        host, port = parts.raw_host, parts.explicit_port
    except ValueError:
        raise ToolError("This is not a web address.") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ToolError("This is not a web address. It begins with https:// or http://.")
    if parts.user or parts.password:
        raise ToolError("An address with a name or a password is not opened.")
    if port not in PORTS:
        raise ToolError("This port is not opened.")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        # Forms of an IPv4 address such as 127.1 and 0x7f000001, which resolvers accept.
        if host.replace(".", "").isdigit() or host.startswith("0x") or "." not in host:
            raise PrivateAddressError from None
    else:
        if not is_public(host):
            raise PrivateAddressError
    return parts


@asynccontextmanager
async def open_url(url: str | URL, resolver: AbstractResolver | None = None) -> AsyncIterator[Any]:
    """Yields the response to a GET request, after redirects. Raises `ToolError`."""
    connector = aiohttp.TCPConnector(resolver=resolver or PublicResolver(), use_dns_cache=False)
    headers = {"User-Agent": _AGENT, "Accept": "text/html,text/plain,application/json;q=0.9"}
    cookies = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(
        connector=connector, headers=headers, cookie_jar=cookies, trust_env=False
    ) as session:
        for _attempt in range(MOST_REDIRECTS + 1):
            try:
                url = check_url(url)
                response = await session.get(url, allow_redirects=False)
            except aiohttp.ClientError as error:
                if isinstance(error.__cause__, PrivateAddressError):
                    raise error.__cause__ from None
                raise ToolError(f"The page could not be opened ({type(error).__name__}).") from None
            except (OSError, UnicodeError):  # UnicodeError: a label of the name is too long
                raise ToolError("The page could not be opened: no such host, or no connection.") from None
            if response.status not in _REDIRECTS or "Location" not in response.headers:
                try:
                    yield response
                finally:
                    response.close()
                return
            location = response.headers["Location"]
            response.close()
            try:
                url = url.join(URL(location))
            except ValueError:
                raise ToolError("The page redirects to an invalid web address.") from None
    raise ToolError("The page redirects too often.")
