"""The file of model providers that `STEADY_PROVIDERS` names: TOML, one table for each endpoint.

    [gpu-1]
    name = "vLLM, first machine"
    kind = "openai_compatible"
    address = "https://gpu-1.example.org/v1"
    key_file = "/run/secrets/gpu-1"

Keys are not in the file: `key_env` names a variable, `key_file` a file. So do the values of headers and query
parameters that are secret: `{ env = "NAME" }` or `{ file = "/path" }`. Everything is kept in memory only.
"""

from __future__ import annotations

import logging
import re
import ssl
import tomllib
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from chat.providers.base import EndpointConfig
from chatproject import env

logger = logging.getLogger(__name__)

KINDS = ("openai", "anthropic", "gemini", "openai_compatible", "ollama", "azure", "bedrock", "vertex")
NEED_A_KEY = frozenset({"openai", "anthropic", "gemini"})
OLLAMA_ADDRESS = "http://127.0.0.1:11434"
_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,49}")
_SECONDS = ("connect_seconds", "first_token_seconds", "silence_seconds")
_NAMES = {
    *("name", "kind", "address", "key_env", "key_file", "headers", "query"),
    *("authority_file", "proxy", "at_once", "region", "project", *_SECONDS),
}


class ProviderFileError(Exception):
    """The file cannot be used. The text says why and where, without a secret."""


class ProviderFile:
    """The endpoints of the file, read on first use and again by `read`. If it cannot be read again, the
    endpoints stay as they were, and `error` says why. Safe on any thread."""

    def __init__(self, path: str, connect_seconds: float) -> None:
        self.path = path
        self.error = ""
        self._connect_seconds = connect_seconds
        self._endpoints: dict[str, EndpointConfig] | None = None
        self._lock = Lock()

    @property
    def endpoints(self) -> Mapping[str, EndpointConfig]:
        """Returns the endpoints by their slugs."""
        if self._endpoints is None:
            with self._lock:
                if self._endpoints is None:
                    self._read()
        return self._endpoints or {}

    def read(self) -> None:
        """Reads the file again."""
        with self._lock:
            self._read()

    def _read(self) -> None:
        try:
            found = _parsed(self.path, self._connect_seconds) if self.path else {}
        except ProviderFileError as error:
            self.error = str(error)
            self._endpoints = self._endpoints or {}
            logger.error("The file of providers cannot be used: %s The former endpoints stay.", error)
        else:
            self.error, self._endpoints = "", found


def ollama_address(address: str) -> str:
    """Returns the address of an Ollama's API in OpenAI's format, from the address that people know."""
    address = (address or OLLAMA_ADDRESS).rstrip("/")
    return address if urlsplit(address).path.strip("/") else f"{address}/v1"


def _parsed(path: str, connect_seconds: float) -> dict[str, EndpointConfig]:
    try:
        tables = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ProviderFileError(f"{path} cannot be read ({type(error).__name__}).") from None
    except tomllib.TOMLDecodeError as error:
        raise ProviderFileError(f"{path} is not valid TOML: {error}.") from None
    found = {}
    for slug, table in tables.items():
        if not _SLUG.fullmatch(slug) or not isinstance(table, dict):
            raise ProviderFileError(
                f"[{slug}] is not the name of an endpoint: use small letters, digits, - and _."
            )
        found[slug] = _endpoint(slug, table, connect_seconds)
    return found


def _endpoint(slug: str, table: dict[str, Any], connect_seconds: float) -> EndpointConfig:
    if "key" in table:
        raise ProviderFileError(f"[{slug}] holds a key. Name a variable (key_env) or a file (key_file).")
    if unknown := sorted(table.keys() - _NAMES):
        raise ProviderFileError(f"[{slug}] has the unknown field {unknown[0]!r}.")
    kind = _text(slug, table, "kind")
    if kind not in KINDS:
        raise ProviderFileError(f"[{slug}] needs a kind: {', '.join(KINDS)}.")
    key = _key(slug, table)
    if kind in NEED_A_KEY and not key:
        raise ProviderFileError(f"[{slug}] needs a key: key_env or key_file.")
    address = _address(slug, table, "address")
    region, project = _text(slug, table, "region"), _text(slug, table, "project")
    if missing := missing_of(kind, address=address, region=region):
        raise ProviderFileError(f"[{slug}] needs the field {missing[0]}.")
    if not (is_region(region) and is_project(project)):
        raise ProviderFileError(f"[{slug}] region or project is no name that an address can have.")
    numbers = {name: _seconds(slug, table, name) for name in _SECONDS}
    at_once = table.get("at_once")
    if at_once is not None and (type(at_once) is not int or at_once < 1):
        raise ProviderFileError(f"[{slug}] at_once must be a whole number of at least 1.")
    return EndpointConfig(
        slug,
        "openai_compatible" if kind == "ollama" else kind,
        _text(slug, table, "name") or slug,
        ollama_address(address) if kind == "ollama" else address or None,
        key,
        numbers["connect_seconds"] or connect_seconds,
        numbers["first_token_seconds"],
        numbers["silence_seconds"],
        _pairs(slug, table, "headers"),
        _pairs(slug, table, "query"),
        _authority(slug, table),
        _address(slug, table, "proxy"),
        at_once,
        region,
        project,
    )


def missing_of(kind: str, **values: str) -> list[str]:
    """Returns the names of the fields that this kind of endpoint needs and that are empty."""
    needed = {"openai_compatible": "address", "azure": "address", "bedrock": "region", "vertex": "region"}
    return [needed[kind]] if kind in needed and not values[needed[kind]] else []


def is_region(value: str) -> bool:
    """Returns whether an address can have this region. Nothing in it leads to another host."""
    return re.fullmatch(r"[a-z0-9-]*", value) is not None


def is_project(value: str) -> bool:
    return re.fullmatch(r"[a-z0-9.:-]*", value) is not None


def _text(slug: str, table: Mapping[str, Any], name: str) -> str:
    value = table.get(name, "")
    if not isinstance(value, str):
        raise ProviderFileError(f"[{slug}] {name} must be a text.")
    return value.strip()


def _address(slug: str, table: Mapping[str, Any], name: str) -> str:
    value = _text(slug, table, name)
    if value and not env.is_web_address(value):
        raise ProviderFileError(
            f"[{slug}] {name} is no web address. Write it like https://gpu.example.org/v1."
        )
    return value


def _seconds(slug: str, table: Mapping[str, Any], name: str) -> float | None:
    value = table.get(name)
    if value is None:
        return None
    if type(value) not in (int, float) or not 0.1 <= value <= 86_400:
        raise ProviderFileError(f"[{slug}] {name} must be a number of seconds of at least 0.1.")
    return float(value)


def _key(slug: str, table: Mapping[str, Any]) -> str:
    variable, path = _text(slug, table, "key_env"), _text(slug, table, "key_file")
    if variable and path:
        raise ProviderFileError(f"[{slug}] names both key_env and key_file. Keep one of them.")
    if variable:
        return _variable(slug, variable)
    return _content(slug, path) if path else ""


def _pairs(slug: str, table: Mapping[str, Any], name: str) -> tuple[tuple[str, str], ...]:
    values = table.get(name, {})
    if not isinstance(values, dict):
        raise ProviderFileError(f"[{slug}.{name}] must be a table.")
    found = []
    for key, value in values.items():
        match value:
            case str():
                text = value
            case {"env": str(variable)}:
                text = _variable(slug, variable)
            case {"file": str(path)}:
                text = _content(slug, path)
            case _:
                raise ProviderFileError(f"[{slug}.{name}] {key} must be a text, {{ env }} or {{ file }}.")
        if not (is_header(key, text) if name == "headers" else text.isprintable()):
            raise ProviderFileError(f"[{slug}.{name}] {key} cannot be sent.")
        found.append((key, text))
    return tuple(found)


def is_header(name: str, value: str) -> bool:
    """Returns whether a request can have this header (RFC 9110, section 5)."""
    token = re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name)
    return token is not None and value.isascii() and value.isprintable()


def is_authority(certificates: str) -> bool:
    """Returns whether the text holds certificates in the PEM format."""
    try:
        ssl.create_default_context(cadata=certificates)
    except (ssl.SSLError, ValueError):
        return False
    return True


def _authority(slug: str, table: Mapping[str, Any]) -> str:
    path = _text(slug, table, "authority_file")
    certificates = _content(slug, path) if path else ""
    if certificates and not is_authority(certificates):
        raise ProviderFileError(f"[{slug}] authority_file holds no certificate in the PEM format.")
    return certificates


def _variable(slug: str, name: str) -> str:
    value = env.text(name)
    if not value:
        raise ProviderFileError(f"[{slug}] names the variable {name}, which is not set.")
    return value


def _content(slug: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ProviderFileError(f"[{slug}] {path} cannot be read ({type(error).__name__}).") from None
