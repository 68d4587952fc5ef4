"""The page of a log-in link that an administrator made."""

from __future__ import annotations

from typing import Any

from allauth.mfa.utils import is_mfa_enabled
from django import forms
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from chat.accounts import notify
from chat.actions.login_link import LoginLinkError, person_of_link, use_link
from chat.actions.sessions import log_in
from chat.models import User


class PasswordForm(forms.Form):
    """A new password, twice, valid for `person`."""

    password = forms.CharField(
        label=_("Password"), strip=False, widget=forms.PasswordInput({"autocomplete": "new-password"})
    )
    repeated = forms.CharField(
        label=_("Password, once more"),
        strip=False,
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
    )

    def __init__(self, *args: Any, person: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.person = person

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        validate_password(password, self.person)
        return password

    def clean_repeated(self) -> str:
        repeated: str = self.cleaned_data["repeated"]
        if self.cleaned_data.get("password", repeated) != repeated:
            raise ValidationError(_("The two passwords differ. Type them again."))
        return repeated


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def login_link(request: HttpRequest, person_id: int, token: str) -> HttpResponse:
    """Asks for a password and logs in. Opening the page does not use the link, so link previews are
    harmless."""
    person = person_of_link(person_id, token)
    if person is None:
        return render(request, "account/login_link.html", status=410)
    form = PasswordForm(request.POST if request.method == "POST" else None, person=person)
    if request.method == "POST" and form.is_valid():
        try:
            person = use_link(person_id, token, form.cleaned_data["password"])
        except LoginLinkError:
            return render(request, "account/login_link.html", status=410)
        notify("account/email/password_changed", person, person.email)
        if is_mfa_enabled(person):
            return redirect("account_login")  # which asks for the second factor too
        log_in(request, person)
        return redirect("home")
    status = 422 if form.errors else 200
    return render(request, "account/login_link.html", {"form": form, "person": person}, status=status)
