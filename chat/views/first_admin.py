"""The page of the link that the server prints at its first start."""

from __future__ import annotations

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from chat.actions.first_admin import FirstAdminError, claim, user_of_link
from chat.actions.sessions import log_in
from chat.models import User
from chat.views.login_link import PasswordForm


class FirstAdminForm(PasswordForm):
    email = forms.EmailField(label=_("Email address"), widget=forms.EmailInput({"autocomplete": "username"}))
    field_order = ("email", "password", "repeated")

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"]
        self.person.email = email  # for the check that the password is not similar
        return email


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def first_admin(request: HttpRequest, token: str) -> HttpResponse:
    """Asks for an address and a password, and logs the new administrator in. Opening the page does not use
    the link, so link previews are harmless."""
    if user_of_link(token) is None:
        return render(request, "account/first_admin.html", status=410)
    form = FirstAdminForm(request.POST if request.method == "POST" else None, person=User())
    if request.method == "POST" and form.is_valid():
        try:
            user = claim(token, form.cleaned_data["email"], form.cleaned_data["password"])
        except FirstAdminError:
            return render(request, "account/first_admin.html", status=410)
        except ValidationError as error:
            form.add_error("email", error)
        else:
            log_in(request, user)
            return redirect("home")
    status = 422 if form.errors else 200
    return render(request, "account/first_admin.html", {"form": form}, status=status)
