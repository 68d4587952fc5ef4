"""Account policy: who may sign up, how mails name the installation, how secrets are stored."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from allauth.account.adapter import DefaultAccountAdapter, get_adapter
from allauth.mfa.adapter import DefaultMFAAdapter
from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.dispatch import receiver
from django.http import HttpRequest

from chat.actions import throttle
from chat.actions.throttle import Attempt
from chat.models import User
from chat.rendering.words import in_words
from chatproject.crypto import UnreadableSecretError, decrypt, encrypt

logger = logging.getLogger(__name__)


class Site(NamedTuple):
    """The name of this installation in mails: the host of `STEADY_URL`, not the host of a request."""

    name: str
    domain: str


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        host = urlsplit(settings.STEADY_URL).netloc
        super().send_mail(template_prefix, email, {"current_site": Site(host, host), **context})

    def authenticate(self, request: HttpRequest, **credentials: Any) -> User | None:
        """Authenticates a log-in or a repeated password. Both are throttled after failures."""
        with attempted(str(credentials.get("email", "")), request) as attempt:
            user: User | None = super().authenticate(request, **credentials)
            if user is not None:
                attempt.succeed()
        return user

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return bool(settings.STEADY_OPEN_SIGNUP)


@contextmanager
def attempted(account: str, request: HttpRequest) -> Iterator[Attempt]:
    """Wraps `throttle.attempt` for a form of this request. Raises `ValidationError` if the attempt comes too
    early. Failures are logged without the account: people type passwords into the wrong field."""
    address = get_adapter().get_client_ip(request)
    try:
        with throttle.attempt(account, address) as attempt:
            try:
                yield attempt
            except ValidationError:
                _log_failure(address)
                raise
            if not attempt.succeeded:
                _log_failure(address)
    except throttle.TooManyAttemptsError as error:
        logger.warning("Too many attempts came from %s. This one was refused without a check.", address)
        raise ValidationError(in_words(error), code=error.code) from None


def notify(template: str, person: User, address: str, **context: Any) -> None:
    """Sends a mail to `address` after the commit, about a change of the user's credentials. A mail that
    cannot be sent is logged and stops nothing."""
    adapter = get_adapter()
    transaction.on_commit(
        lambda: adapter.send_notification_mail(template, person, context, address), robust=True
    )


def _log_failure(address: str) -> None:
    logger.warning("A wrong password or code came from %s.", address)


@receiver(user_logged_in)
def _log_success(user: User, request: HttpRequest, **_signal: Any) -> None:
    address = "an unknown address"
    with suppress(PermissionDenied):
        address = get_adapter().get_client_ip(request)
    logger.info("User %s logged in from %s.", user.pk, address)


class SecondFactorAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Encrypts the seeds of second factors and the base of recovery codes."""

    def encrypt(self, text: str) -> str:
        return encrypt(text)

    def decrypt(self, encrypted_text: str) -> str:
        try:
            return decrypt(encrypted_text)
        except UnreadableSecretError:
            logger.error(
                "A second factor cannot be decrypted with this SECRET_KEY. Add the former key to "
                "SECRET_KEY_FALLBACKS, or remove the second factor in the administration."
            )
            return secrets.token_hex(20).upper().translate(str.maketrans("0189", "GHIJ"))  # matches no code
