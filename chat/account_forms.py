"""allauth's forms, where Steady asks for more."""

from __future__ import annotations

from typing import Any

from allauth.account import forms
from allauth.account.models import EmailAddress
from allauth.core import context
from allauth.mfa.base import forms as mfa_forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext

from chat.accounts import attempted
from chat.models import User


class AddEmailForm(forms.AddEmailForm):  # type: ignore[misc]
    def clean_email(self) -> str:
        """An address counts once its owner has answered a mail, so there must be mail."""
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
        """Only for the address that an account has, or has confirmed: one that a thief of a session added
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
    """Guesses of codes are counted apart from those of the password: knowing it forgives none of them."""

    user: User

    def clean_code(self) -> Any:
        with attempted(f"code of {self.user.pk}", context.request) as attempt:
            code = super().clean_code()  # type: ignore[misc]
            attempt.succeed()
        return code


class AuthenticateForm(_Code, mfa_forms.AuthenticateForm):  # type: ignore[misc]
    pass


class ReauthenticateForm(_Code, mfa_forms.ReauthenticateForm):  # type: ignore[misc]
    pass
