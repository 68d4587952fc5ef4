"""System checks that report wrong settings early. Each check has an id and names the fix."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, register
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import DatabaseError
from django.db.models import Q
from django.http.request import validate_host

_KEY_LENGTH = 50
_KEY_CHARACTERS = 5
_TOKEN_LENGTH = 20


@register("steady")
def check_secret_key(**_: Any) -> Iterator[CheckMessage]:
    """The key allows logging in as any user."""
    key = settings.SECRET_KEY
    weak = len(key) < _KEY_LENGTH or len(set(key)) < _KEY_CHARACTERS or key.startswith("django-insecure-")
    if weak and not settings.DEBUG:
        yield checks.Error(
            f"SECRET_KEY is a default or too short: it needs {_KEY_LENGTH} random characters.",
            hint="Leave it unset: Steady makes one and keeps it in its data directory. Or set what "
            "`openssl rand -base64 48` prints.",
            id="steady.E001",
        )


@register("steady")
def check_address(**_: Any) -> Iterator[CheckMessage]:
    host = settings.STEADY_URL.partition("://")[2].partition("/")[0].rpartition("@")[2]
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    if not validate_host(name, settings.ALLOWED_HOSTS):
        yield checks.Error(
            f"ALLOWED_HOSTS leaves out {name}, the host of STEADY_URL: its pages would answer 400.",
            hint="Add it, or leave ALLOWED_HOSTS unset: it follows from STEADY_URL.",
            id="steady.E002",
        )
    if settings.STEADY_URL not in settings.CSRF_TRUSTED_ORIGINS:
        yield checks.Error(
            "CSRF_TRUSTED_ORIGINS leaves out STEADY_URL: forms and live updates would be refused.",
            hint="Add it, or leave CSRF_TRUSTED_ORIGINS unset: it follows from STEADY_URL.",
            id="steady.E003",
        )
    if settings.DEBUG and not settings.LOCAL:
        yield checks.Error(
            "DEBUG is on at an address that others can reach: error pages would show settings.",
            hint="Unset DEBUG.",
            id="steady.E004",
        )
    if settings.HTTPS and not settings.TRUST_PROXY:
        yield checks.Error(
            "STEADY_URL is https, but TRUST_PROXY is off: every page would redirect to itself for ever.",
            hint="Leave TRUST_PROXY unset, and let the proxy in front set X-Forwarded-Proto: docs/deploy.md.",
            id="steady.E005",
        )
    if not settings.HTTPS and not settings.LOCAL:
        yield checks.Warning(
            "STEADY_URL is http: passwords and conversations travel in the clear.",
            hint="Put a proxy with a certificate in front and set STEADY_URL=https://...: docs/deploy.md.",
            id="steady.W001",
        )


@register("steady", deploy=True)
def check_reach(**_: Any) -> Iterator[CheckMessage]:
    if settings.LOCAL:
        yield checks.Warning(
            f"STEADY_URL is {settings.STEADY_URL}: only people at this machine can use Steady.",
            hint="Set it to the address that people type, such as https://chat.example.org: docs/deploy.md.",
            id="steady.W007",
        )


@register("catalog")
def check_models(databases: Sequence[str] | None = None, **_: Any) -> Iterator[CheckMessage]:
    """Queries the database, so it runs only on request: by `manage.py check`, and by the server after the
    providers were asked. A catalog that is not migrated or filled yet is no error."""
    from chat.models import ChatModel
    from chat.models.endpoint import fixed_endpoints

    usable = ChatModel.objects.filter(enabled=True, available=True, endpoint__enabled=True)
    usable = usable.filter(Q(endpoint__in=list(fixed_endpoints())) | ~Q(endpoint__kind=""))
    wanted = settings.CHAT_DEFAULT_MODEL
    try:
        if not databases or not ChatModel.objects.exists():
            return
        names = {name for row in usable.values_list("name", "display_name") for name in row}
    except DatabaseError:
        return
    if not names:
        yield checks.Warning(
            "No model can be used: nobody can send a message.",
            hint="Set a key such as OPENAI_API_KEY, or OPENAI_COMPATIBLE_URL (docs/settings.md), and see "
            "the providers in the administration for what went wrong with one.",
            id="steady.W002",
        )
    elif wanted and wanted not in names:
        yield checks.Warning(
            f"CHAT_DEFAULT_MODEL={wanted!r} is the name of no model that can be used.",
            hint="Write a name as the administration's list of models has it.",
            id="steady.W003",
        )


@register("steady")
def check_first_admin(**_: Any) -> Iterator[CheckMessage]:
    email, password = settings.STEADY_ADMIN_EMAIL, settings.STEADY_ADMIN_PASSWORD
    if bool(email) != bool(password):
        there, missing = "STEADY_ADMIN_EMAIL", "STEADY_ADMIN_PASSWORD"
        there, missing = (there, missing) if email else (missing, there)
        yield checks.Warning(
            f"{there} is set without {missing}: no administrator is made of it.",
            hint="Set both, or neither: the first start then prints a link that makes one.",
            id="steady.W006",
        )
    try:
        validate_email(email or "nobody@example.org")
    except ValidationError:
        yield checks.Error(
            f"STEADY_ADMIN_EMAIL={email!r} is no email address: nobody could log in with it.",
            hint="Write it like ada@example.org.",
            id="steady.E006",
        )


@register("steady")
def check_provider_file(**_: Any) -> Iterator[CheckMessage]:
    file = settings.CHAT_PROVIDER_FILE
    if not file.endpoints and file.error:
        yield checks.Error(
            f"The file of STEADY_PROVIDERS cannot be used: {file.error}",
            hint="Correct it, or unset STEADY_PROVIDERS: docs/providers.md.",
            id="steady.E007",
        )


@register("steady")
def check_services(**_: Any) -> Iterator[CheckMessage]:
    if settings.SQLITE and settings.REDIS_URL:
        yield checks.Warning(
            "REDIS_URL is set, but SQLite serves exactly one process, which needs no Redis.",
            hint="Set DATABASE_URL to a PostgreSQL database to run several processes, or unset REDIS_URL.",
            id="steady.W004",
        )


@register("steady")
def check_metrics_token(**_: Any) -> Iterator[CheckMessage]:
    token = settings.METRICS_TOKEN
    if token and len(token) < _TOKEN_LENGTH:
        yield checks.Warning(
            f"STEADY_METRICS_TOKEN is too short: it needs {_TOKEN_LENGTH} random characters.",
            hint="Set what `openssl rand -hex 24` prints, here and in Prometheus.",
            id="steady.W008",
        )


@register("steady")
def check_directories(**_: Any) -> Iterator[CheckMessage]:
    for name, path in (("STEADY_DATA_DIR", settings.DATA_DIR), ("STATIC_ROOT", settings.STATIC_ROOT)):
        existing = Path(path).absolute()
        while not existing.exists():
            existing = existing.parent
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            yield checks.Warning(
                f"{name} ({path}) cannot be written.",
                hint=f"Give the server's user the right to write there, or set {name} to another place.",
                id="steady.W005",
            )
