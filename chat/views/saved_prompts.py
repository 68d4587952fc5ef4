"""Saved prompts: their pages in the settings, and the list in the message box."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db.models import Case, When
from django.http import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from chat.access import NotFoundError, saved_prompt_for
from chat.actions.errors import ActionError
from chat.actions.saved_prompt import change_saved_prompt, delete_saved_prompt, make_saved_prompt
from chat.models import SavedPrompt, User
from chat.models.saved_prompt import NAME_LENGTH, TEXT_LENGTH
from chat.models.variables import variables_in
from chat.rendering.words import in_words
from chat.translatable import translatable
from chat.views.responses import UserRequest, for_users, wanted_method
from chat.views.sharing_form import SharingForm

OFFERED = 8  # in the list of the message box


class SavedPromptForm(SharingForm):
    name = forms.CharField(
        label=_("Name"),
        max_length=NAME_LENGTH + 1,
        help_text=_("Type / and the name in the message box. Letters, digits, - and _, without spaces."),
        widget=forms.TextInput({"autocomplete": "off"}),
    )
    text = forms.CharField(
        label=_("Text"),
        max_length=TEXT_LENGTH,
        help_text=_("A variable such as {{language}} is asked for when the prompt is used."),
        widget=forms.Textarea({"rows": 8}),
    )

    def __init__(self, *args: Any, user: User, prompt: SavedPrompt | None = None, **kwargs: Any) -> None:
        super().__init__(*args, user=user, shared=prompt, **kwargs)
        if prompt is not None:
            self.initial = {"name": prompt.name, "text": prompt.text}


@never_cache
@require_safe
@for_users
def saved_prompts(request: UserRequest) -> HttpResponseBase:
    """Lists the user's own prompts, and those that are shared with the user."""
    found = SavedPrompt.objects.seen_by(request.user)
    context = {
        "own": found.filter(owner=request.user),
        "shared": found.exclude(owner=request.user),
    }
    return render(request, "chat/saved_prompts.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@for_users
def new_saved_prompt(request: UserRequest) -> HttpResponseBase:
    form = SavedPromptForm(request.POST or None, user=request.user)
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        try:
            make_saved_prompt(request.user, values["name"], values["text"], form.sharing)
        except ActionError as error:
            form.add_error(None, in_words(error))
        else:
            messages.success(request, gettext("Saved."))
            return redirect("saved_prompts")
    return render(request, "chat/saved_prompt.html", {"form": form}, status=400 if form.errors else 200)


@never_cache
@require_http_methods(["GET", "HEAD", "POST", "DELETE"])
@for_users
def saved_prompt(request: UserRequest, prompt_id: UUID) -> HttpResponseBase:
    """GET shows the prompt, POST changes it, DELETE deletes it. That of another user is only shown."""
    method = wanted_method(request)
    if method == "DELETE":
        delete_saved_prompt(request.user, prompt_id)
        messages.success(request, gettext("Prompt deleted."))
        return redirect("saved_prompts")
    found = saved_prompt_for(request.user, prompt_id)
    if found.owner_id != request.user.pk:
        if method == "POST":
            raise NotFoundError(translatable("There is no such saved prompt."))
        return render(request, "chat/saved_prompt_shared.html", {"prompt": found})
    form = SavedPromptForm(request.POST or None, user=request.user, prompt=found)
    if method == "POST" and form.is_valid():
        values = form.cleaned_data
        try:
            change_saved_prompt(request.user, prompt_id, values["name"], values["text"], form.sharing)
        except ActionError as error:
            form.add_error(None, in_words(error))
        else:
            messages.success(request, gettext("Saved."))
            return redirect("saved_prompts")
    context = {"form": form, "prompt": found}
    return render(request, "chat/saved_prompt.html", context, status=400 if form.errors else 200)


@never_cache
@require_safe
@for_users
def prompt_choices(request: UserRequest) -> HttpResponseBase:
    """Returns the first prompts whose names begin with `q`, the user's own before those of others, for the
    message box."""
    wanted = request.GET.get("q", "")[:NAME_LENGTH].replace("\x00", "")
    seen = SavedPrompt.objects.seen_by(request.user).values("pk")
    found = SavedPrompt.objects.filter(pk__in=seen, name__istartswith=wanted)
    of_others = Case(When(owner=request.user, then=0), default=1)
    offered: list[Any] = list(found.order_by(of_others, "name", "pk")[:OFFERED])
    choices = [
        {
            "prompt": each,
            "variables": variables_in(each.text),
            "is_own": each.owner_id == request.user.pk,
        }
        for each in offered
    ]
    return render(request, "chat/_prompt_choices.html", {"choices": choices})
