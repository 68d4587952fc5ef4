"""The page behind the link that the server prints at its first start."""

from __future__ import annotations

from django import forms
from django.contrib.auth import login
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from chat.actions.first_admin import FirstAdminError, claim, user_of_link
from chat.models import User


class FirstAdminForm(forms.Form):
    email = forms.EmailField(label=_("Email address"), widget=forms.EmailInput({"autocomplete": "username"}))
    password = forms.CharField(
        label=_("Password"), strip=False, widget=forms.PasswordInput({"autocomplete": "new-password"})
    )
    repeated = forms.CharField(
        label=_("Password, once more"),
        strip=False,
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
    )

    def clean_repeated(self) -> str:
        repeated: str = self.cleaned_data["repeated"]
        if self.cleaned_data.get("password", repeated) != repeated:
            raise ValidationError(_("The two passwords differ. Type them again."))
        return repeated

    def clean(self) -> None:
        password = self.cleaned_data.get("password")
        if password:
            try:
                validate_password(password, User(email=self.cleaned_data.get("email", "")))
            except ValidationError as error:
                self.add_error("password", error)


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def first_admin(request: HttpRequest, token: str) -> HttpResponse:
    """Asks for an address and a password, and logs the new administrator in. Looking at the page uses
    nothing up: a link preview may."""
    if user_of_link(token) is None:
        return render(request, "account/first_admin.html", status=410)
    form = FirstAdminForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            user = claim(token, form.cleaned_data["email"], form.cleaned_data["password"])
        except FirstAdminError:
            return render(request, "account/first_admin.html", status=410)
        except ValidationError as error:
            form.add_error("email", error)
        else:
            login(request, user)
            return redirect("home")
    status = 422 if form.errors else 200
    return render(request, "account/first_admin.html", {"form": form}, status=status)
