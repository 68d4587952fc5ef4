"""How people join: sign-up is closed unless the settings open it."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.http import HttpRequest


class Site(NamedTuple):
    """How mails name this installation: by the host of `STEADY_URL`, not by the one that a request names."""

    name: str
    domain: str


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        host = urlsplit(settings.STEADY_URL).netloc
        super().send_mail(template_prefix, email, {"current_site": Site(host, host), **context})

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return bool(settings.STEADY_OPEN_SIGNUP)
