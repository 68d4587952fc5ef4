"""The settings page, and other personal settings."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext, override
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from chat.actions.preferences import favour_model, set_preferences
from chat.models import ChatModel, Preferences, User
from chat.views.model_list import grouped
from chat.views.responses import UserRequest, for_users, wanted_method


class PreferencesForm(forms.ModelForm):  # type: ignore[type-arg]
    language = forms.ChoiceField(label=_("Language"), choices=settings.LANGUAGES, required=False)

    class Meta:
        model = Preferences
        fields = (
            "language",
            "theme",
            "text_size",
            "density",
            "default_model",
            "send_key",
            "streaming",
            "announcements",
            "single_keys",
            "keeps_calls",
        )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        model = self.fields["default_model"]
        assert isinstance(model, forms.ModelChoiceField)
        model.queryset = ChatModel.objects.usable_by(user)
        model.choices = [
            ("", gettext("Last used")),
            *((group.label, [(m.pk, m.label) for m in group.models]) for group in grouped(model.queryset)),
        ]


def appearance(request: HttpRequest) -> dict[str, Any]:
    """The context processor that gives every page its `preferences`."""

    def preferences() -> Preferences:
        user = getattr(request, "user", None)
        return Preferences.of(user) if isinstance(user, User) else Preferences()

    return {"preferences": SimpleLazyObject(preferences)}


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@for_users
def settings_page(request: UserRequest) -> HttpResponseBase:
    preferences = Preferences.of(request.user)
    form = PreferencesForm(request.POST or None, instance=preferences, user=request.user)
    if not preferences.language:
        form.initial["language"] = getattr(request, "LANGUAGE_CODE", settings.LANGUAGE_CODE)
    if request.method != "POST" or not form.is_valid():
        return render(request, "chat/settings.html", {"form": form}, status=400 if form.errors else 200)
    saved = set_preferences(request.user, form.cleaned_data)
    with override(saved.language_or_default):
        messages.success(request, gettext("Saved."))
    response = redirect("settings")
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        saved.language_or_default,
        max_age=365 * 24 * 3600,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
    return response


class InstructionsForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Preferences
        fields = ("instructions",)
        widgets: ClassVar[dict[str, Any]] = {"instructions": forms.Textarea(attrs={"rows": 12})}


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@for_users
def instructions(request: UserRequest) -> HttpResponseBase:
    """Shows and stores the user's own instructions for models."""
    form = InstructionsForm(request.POST or None, instance=Preferences.of(request.user))
    if request.method != "POST" or not form.is_valid():
        return render(request, "chat/instructions.html", {"form": form}, status=400 if form.errors else 200)
    set_preferences(request.user, form.cleaned_data)
    messages.success(request, gettext("Saved."))
    return redirect("instructions")


@require_http_methods(["POST", "DELETE"])
@for_users
def favourite(request: UserRequest, model_id: int) -> HttpResponseBase:
    """POST makes the model a favourite, DELETE undoes it."""
    is_favourite = wanted_method(request) == "POST"
    model = favour_model(request.user, model_id, favourite=is_favourite)
    if not request.htmx:
        return redirect("home")
    context = {"model": model, "is_favourite": is_favourite}
    return HttpResponse(render(request, "chat/_favourite.html", context).content)
