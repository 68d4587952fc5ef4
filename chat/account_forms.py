"""allauth's forms with the additional checks of Steady."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from allauth.account import forms
from allauth.account.models import EmailAddress
from allauth.core import context
from allauth.mfa.adapter import get_adapter
from allauth.mfa.app_settings import TOTP_PERIOD
from allauth.mfa.base import forms as mfa_forms
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext

from chat.accounts import attempted
from chat.models import User


class AddEmailForm(forms.AddEmailForm):  # type: ignore[misc]
    def clean_email(self) -> str:
        """Rejects sign-up without a mail server: an address counts only after its owner confirmed it by
        mail."""
        if settings.MAILERS["default"]["BACKEND"] == "chatproject.mail.Unsent":
            raise ValidationError(
                gettext(
                    "This server sends no mail, so a new address cannot be confirmed. Ask an administrator."
                )
            )
        address: str = super().clean_email()
        return address


class ResetPasswordForm(forms.ResetPasswordForm):  # type: ignore[misc]
    users: list[User]

    def clean_email(self) -> str:
        """Accepts only the address of an account or a confirmed one. An address added by a session thief
        resets nothing."""
        email: str = super().clean_email()
        confirmed = EmailAddress.objects.filter(email__iexact=email, verified=True)
        owners = set(confirmed.values_list("user_id", flat=True))
        found = list(self.users)
        self.users = [it for it in found if it.pk in owners or it.email.lower() == email.lower()]
        return email


class ChangePasswordForm(forms.ChangePasswordForm):  # type: ignore[misc]
    def clean_oldpassword(self) -> str:
        with attempted(self.user.email, context.request) as attempt:
            password: str = super().clean_oldpassword()
            attempt.succeed()
        return password


class _Code:
    """Guesses of codes are counted separately from those of the password, so a known password forgives none
    of them. A code of an authenticator app is valid once. allauth notes used codes in a cache, which each
    process has for itself."""

    user: User
    authenticator: Authenticator

    def clean_code(self) -> Any:
        with attempted(f"code of {self.user.pk}", context.request) as attempt:
            code = super().clean_code()  # type: ignore[misc]
            if self.authenticator.type == Authenticator.Type.TOTP and not _is_first_use(self.authenticator):
                raise get_adapter().validation_error("incorrect_code")
            attempt.succeed()
        return code


def _is_first_use(authenticator: Authenticator) -> bool:
    """Returns whether no code of the present period was used yet, and marks the period as used. A period has
    one code."""
    now = timezone.now()
    period = now - timedelta(seconds=now.timestamp() % TOTP_PERIOD)
    unused = Authenticator.objects.filter(pk=authenticator.pk).exclude(last_used_at__gte=period)
    return bool(unused.update(last_used_at=now))


class AuthenticateForm(_Code, mfa_forms.AuthenticateForm):  # type: ignore[misc]
    pass


class ReauthenticateForm(_Code, mfa_forms.ReauthenticateForm):  # type: ignore[misc]
    pass
