"""The page of the user's API tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from allauth.account.decorators import reauthentication_required
from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_safe

from chat.actions.api_token import make_token, rename_token, revoke_token, tokens_of
from chat.actions.errors import ActionError
from chat.models import Scope, User
from chat.models.api_token import NAME_LENGTH
from chat.rendering.words import in_words
from chat.views.responses import UserRequest, for_users, wanted_method

_DAYS = [
    ("7", _("In 7 days")),
    ("30", _("In 30 days")),
    ("90", _("In 90 days")),
    ("365", _("In a year")),
    ("", _("Never")),
]


class TokenForm(forms.Form):
    name = forms.CharField(
        label=_("Name"),
        max_length=NAME_LENGTH,
        help_text=_("What uses it, such as “Backup script”."),
        widget=forms.TextInput({"autocomplete": "off", "autofocus": True}),
    )
    scopes = forms.MultipleChoiceField(
        label=_("Use"), choices=Scope.choices, widget=forms.CheckboxSelectMultiple, initial=[Scope.CHAT]
    )
    days = forms.ChoiceField(label=_("Expires"), choices=_DAYS, required=False, initial="90")

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not user.is_superuser:
            scopes = self.fields["scopes"]
            assert isinstance(scopes, forms.MultipleChoiceField)
            scopes.choices = [choice for choice in Scope.choices if choice[0] != Scope.ADMIN]


@never_cache
@require_safe
@for_users
def api_tokens(request: UserRequest) -> HttpResponseBase:
    """Lists the tokens that are not revoked."""
    context = {"tokens": tokens_of(request.user), "are_on": settings.STEADY_API_TOKENS}
    return render(request, "chat/api_tokens.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@for_users
@reauthentication_required  # type: ignore[untyped-decorator]  # allauth has no types
@sensitive_variables("secret")
def new_api_token(request: UserRequest) -> HttpResponseBase:
    """A form for a new token, after the password. The response to its POST shows the secret once."""
    form = TokenForm(request.POST or None, user=request.user)
    if request.method == "POST" and form.is_valid():
        days = form.cleaned_data["days"]
        try:
            token, secret = make_token(
                request.user,
                name=form.cleaned_data["name"],
                scopes=form.cleaned_data["scopes"],
                expires_at=timezone.now() + timedelta(days=int(days)) if days else None,
            )
        except ActionError as error:
            form.add_error(None, in_words(error))
        else:
            return render(request, "chat/api_token_made.html", {"token": token, "secret": secret})
    return render(request, "chat/api_token_new.html", {"form": form}, status=400 if form.errors else 200)


@require_http_methods(["POST", "DELETE"])
@for_users
def api_token(request: UserRequest, token_id: int) -> HttpResponseBase:
    """POST renames the token, DELETE revokes it."""
    if wanted_method(request) == "DELETE":
        revoke_token(request.user, token_id)
        messages.success(request, gettext("Token revoked."))
    else:
        rename_token(request.user, token_id, request.POST.get("name", ""))
        messages.success(request, gettext("Saved."))
    return redirect("api_tokens")
