"""The only reader of the environment: typed and strict. Each variable has a default that works.

A secret may also come from a file named by `NAME_FILE`, as Docker and Kubernetes mount them. An invalid value
raises `ImproperlyConfigured` with the variable, the fault and the fix, never with the value of a secret.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from importlib.util import find_spec
from ipaddress import IPv4Network, IPv6Network, ip_network
from math import inf, isinf
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}
_UNBOUNDED = 2**31
_DATABASES = {"django.db.backends.sqlite3", "django.db.backends.postgresql"}


def text(name: str, default: str = "") -> str:
    """Returns the variable without surrounding space; `default` if it is unset or empty."""
    return os.environ.get(name, "").strip() or default


def secret(name: str, default: str = "") -> str:
    """Returns the variable, or the content of the file named by `NAME_FILE`. Setting both is an error."""
    path = text(f"{name}_FILE")
    if not path:
        return text(name, default)
    if text(name):
        raise ImproperlyConfigured(f"{name} and {name}_FILE are both set. Keep one of them.")
    try:
        return Path(path).read_text(encoding="utf-8").strip() or default
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(
            f"{name}_FILE names a file that cannot be read ({error.__class__.__name__}). "
            "Check the path and that the server's user may read it."
        ) from error


def boolean(name: str, default: bool) -> bool:
    """Returns true or false. Only the usual spellings are valid: a typing error must not disable a
    protection."""
    value = text(name).lower()
    if not value:
        return default
    if value in _TRUE | _FALSE:
        return value in _TRUE
    raise ImproperlyConfigured(f"{name}={value!r} is neither true nor false. Use 1 or 0.")


def choice(name: str, default: str, among: Collection[str]) -> str:
    """Returns one of a few words."""
    value = text(name, default)
    if value not in among:
        raise ImproperlyConfigured(f"{name}={value!r} must be one of {', '.join(among)}.")
    return value


def time_zone(name: str, default: str) -> str:
    """Returns the name of a time zone that this machine knows."""
    value = text(name, default)
    try:
        ZoneInfo(value)
    except (ValueError, OSError, ZoneInfoNotFoundError) as error:
        raise ImproperlyConfigured(f"{name}={value!r} must be a time zone like Europe/Berlin.") from error
    return value


def database(name: str, default: str) -> dict[str, Any]:
    """Returns Django's settings of a SQLite or PostgreSQL database, from its URL, which may contain a
    password."""
    try:
        config = dict(dj_database_url.parse(secret(name, default), conn_max_age=0))
    except ValueError:
        config = {"ENGINE": ""}
    if config["ENGINE"] not in _DATABASES or not config["NAME"]:
        raise ImproperlyConfigured(
            f"{name} must be like postgres://user:password@host:5432/name or sqlite:////path/to/file."
        )
    return config


def web_address(name: str, default: str = "") -> str:
    """Returns an address that begins with http:// or https:// and names a host."""
    value = text(name, default)
    if value and not is_web_address(value):
        raise ImproperlyConfigured(f"{name} is no web address. Write it like https://gateway.example.org/v1.")
    return value


def is_web_address(value: str) -> bool:
    """Returns whether it begins with http:// or https:// and names a host."""
    return _is_address(value, {"http", "https"})


def redis(name: str) -> str:
    """Returns the URL of a Redis, which may contain a password."""
    value = secret(name)
    if value and not value.startswith("unix:///") and not _is_address(value, {"redis", "rediss"}):
        raise ImproperlyConfigured(
            f"{name} is no address of a Redis. Write it like redis://:password@host:6379/0 or rediss://..."
        )
    return value


def mailer(name: str) -> dict[str, Any]:
    """Returns Django's mail settings from `smtp://user:password@host:587` (with STARTTLS, except with
    `?starttls=0`) or `smtps://...` (TLS from the start). If the variable is unset, mail is not sent, and the
    log says so."""
    address = secret(name)
    if not address:
        return {"BACKEND": "chatproject.mail.Unsent"}
    try:
        url = urlsplit(address)
        port = url.port or (465 if url.scheme == "smtps" else 587)
    except ValueError:
        url, port = urlsplit(""), 0
    if url.scheme not in {"smtp", "smtps"} or not url.hostname:
        raise ImproperlyConfigured(f"{name} must be like smtp://user:password@host:587.")
    return {
        "BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "OPTIONS": {
            "host": url.hostname,
            "port": port,
            "username": unquote(url.username or ""),
            "password": unquote(url.password or ""),
            "use_tls": url.scheme == "smtp" and url.query != "starttls=0",
            "use_ssl": url.scheme == "smtps",
            "timeout": 15,
        },
    }


def number(name: str, default: float, *, least: float = 0, most: float = inf) -> float:
    """Returns a finite number between `least` and `most`, both included."""
    value = text(name)
    if not value:
        return default
    try:
        result = float(value)
    except ValueError:
        result = float("nan")
    if not least <= result <= most or isinf(result):
        bounds = f"of at least {least:g}" if most >= _UNBOUNDED else f"from {least:g} to {most:g}"
        raise ImproperlyConfigured(f"{name}={value!r} must be a number {bounds}.")
    return result


def file_storage(name: str, default: Path) -> dict[str, Any]:
    """Returns Django's setting for a storage: a folder, or a bucket as `s3://bucket/folder`, with options of
    django-storages after a `?`, such as `endpoint_url`. Keys are read by the AWS SDK itself."""
    value = text(name, str(default))
    if not value.startswith("s3:"):
        options = {"location": value, "allow_overwrite": True}
        permissions = {"file_permissions_mode": 0o600, "directory_permissions_mode": 0o700}
        return {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {**options, **permissions},
        }
    address = urlsplit(value)
    if not address.hostname:
        raise ImproperlyConfigured(f"{name}={value!r} must be a folder, or like s3://bucket/folder")
    if find_spec("storages") is None:
        raise ImproperlyConfigured(f"{name} needs one more package: uv sync --extra s3")
    options = {
        "bucket_name": address.netloc,
        "location": address.path.strip("/"),
        **dict(parse_qsl(address.query)),
    }
    return {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": {**options, "default_acl": None}}


def integer(name: str, default: int, *, least: int = 0, most: int = _UNBOUNDED) -> int:
    """Returns a whole number between `least` and `most`, both included."""
    result = number(name, default, least=least, most=most)
    if result != int(result):
        raise ImproperlyConfigured(f"{name}={result:g} must be a whole number.")
    return int(result)


def words(name: str, default: str = "") -> list[str]:
    """Returns a list of words, separated by commas or spaces."""
    return text(name, default).replace(",", " ").split()


def networks(name: str) -> list[IPv4Network | IPv6Network]:
    """Returns a list of addresses and networks, such as `10.0.0.7, 172.16.0.0/12`."""
    try:
        return [ip_network(word) for word in words(name)]
    except ValueError as error:
        raise ImproperlyConfigured(
            f"{name} must be addresses and networks like 10.0.0.7 or 172.16.0.0/12: {error}."
        ) from error


def _is_address(value: str, schemes: Collection[str]) -> bool:
    try:
        url = urlsplit(value)
        return url.scheme in schemes and bool(url.hostname) and url.port != 0
    except ValueError:  # a port that is not a number, or an unclosed bracket
        return False
