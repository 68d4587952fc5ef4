"""The pages on which people make, change and share their presets."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from chat.access import NotFoundError, newest_versions, preset_for
from chat.actions.errors import ActionError
from chat.actions.preset import (
    PresetContent,
    change_preset,
    copy_preset,
    delete_preset,
    make_preset,
    restore_version,
)
from chat.models import ChatModel, Knowledge, PresetVersion, Tool, User
from chat.models.catalog import Effort
from chat.models.parameters import HOTTEST, MOST_OUTPUT
from chat.models.preferences import INSTRUCTIONS_LENGTH
from chat.models.preset import MOST_PROMPTS, NAME_LENGTH
from chat.rendering.words import in_words
from chat.translatable import translatable
from chat.views.fields import number_of
from chat.views.knowledge import files_context
from chat.views.model_list import grouped
from chat.views.responses import UserRequest, for_users, wanted_method
from chat.views.sharing_form import SharingForm

_PARAMETERS = ("temperature", "max_output_tokens", "reasoning_effort")


class PresetForm(SharingForm):
    name = forms.CharField(
        label=_("Name"), max_length=NAME_LENGTH, widget=forms.TextInput({"autocomplete": "off"})
    )
    instructions = forms.CharField(
        label=_("Instructions"),
        required=False,
        max_length=INSTRUCTIONS_LENGTH,
        help_text=_("A variable such as {{language}} is asked for when a chat begins with the preset."),
        widget=forms.Textarea({"rows": 8}),
    )
    model = forms.TypedChoiceField(
        label=_("Model"),
        required=False,
        coerce=int,
        empty_value=None,
        help_text=_("People who may not use the model choose another one."),
    )
    temperature = forms.FloatField(
        label=_("Temperature"),
        required=False,
        min_value=0,
        max_value=HOTTEST,
        widget=forms.NumberInput({"step": "any"}),
        help_text=_("From 0 to 2. Empty fields here and below: the default of the model."),
    )
    max_output_tokens = forms.IntegerField(
        label=_("Longest reply, in tokens"), required=False, min_value=1, max_value=MOST_OUTPUT
    )
    reasoning_effort = forms.ChoiceField(
        label=_("Reasoning effort"),
        required=False,
        choices=[("", _("Default of the model")), *Effort.choices],
    )
    tools = forms.MultipleChoiceField(label=_("Tools"), required=False, widget=forms.CheckboxSelectMultiple)
    prompts = forms.CharField(
        label=_("Suggested first messages"),
        required=False,
        help_text=_("One in each line."),
        widget=forms.Textarea({"rows": 4}),
    )

    def __init__(self, *args: Any, user: User, version: PresetVersion | None = None, **kwargs: Any) -> None:
        super().__init__(*args, user=user, shared=version.preset if version else None, **kwargs)
        self.version = version
        usable = list(ChatModel.objects.usable_by(user))
        model, tools = self.fields["model"], self.fields["tools"]
        assert isinstance(model, forms.TypedChoiceField)
        assert isinstance(tools, forms.MultipleChoiceField)
        choices: list[Any] = [("", gettext("As chosen in the chat"))]
        choices += [(group.label, [(m.pk, m.label) for m in group.models]) for group in grouped(usable)]
        if version and version.model and version.model not in usable:
            choices.append((version.model.pk, gettext("{model} (not available)").format(model=version.model)))
        model.choices = choices
        tools.choices = [
            (tool.name, gettext(tool.title) or tool.name) for tool in Tool.objects.usable_by(user)
        ]
        if version is not None:
            self.initial = {
                "name": version.name,
                "instructions": version.instructions,
                "model": version.model_id,
                "tools": version.tools,
                "prompts": "\n".join(version.prompts),
                **version.parameters,
            }

    @property
    def content(self) -> PresetContent:
        """Of a valid form."""
        values = self.cleaned_data
        return PresetContent(
            name=values["name"],
            instructions=values["instructions"],
            model_id=values["model"],
            parameters={name: values[name] for name in _PARAMETERS},
            tools=values["tools"],
            prompts=values["prompts"].splitlines(),
        )


@never_cache
@require_safe
@for_users
def presets(request: UserRequest) -> HttpResponseBase:
    """Lists the user's own presets, and those that are shared with the user."""
    found = list(newest_versions(request.user))
    context = {
        "own": [each for each in found if each.preset.owner_id == request.user.pk],
        "shared": [each for each in found if each.preset.owner_id != request.user.pk],
    }
    return render(request, "chat/presets.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@for_users
def new_preset(request: UserRequest) -> HttpResponseBase:
    form = PresetForm(request.POST or None, user=request.user)
    if request.method == "POST" and form.is_valid():
        try:
            preset = make_preset(request.user, form.content, form.sharing)
        except ActionError as error:
            form.add_error(None, in_words(error))
        else:
            messages.success(request, gettext("Saved."))
            return redirect("preset", preset.pk)
    context = {"form": form, "most_prompts": MOST_PROMPTS}
    return render(request, "chat/preset_new.html", context, status=400 if form.errors else 200)


@never_cache
@require_http_methods(["GET", "HEAD", "POST", "DELETE"])
@for_users
def preset(request: UserRequest, preset_id: UUID) -> HttpResponseBase:
    """GET shows the preset, POST changes it, DELETE deletes it. The preset of another user is only shown."""
    method = wanted_method(request)
    if method == "DELETE":
        delete_preset(request.user, preset_id)
        messages.success(request, gettext("Preset deleted."))
        return redirect("presets")
    found = preset_for(request.user, preset_id)
    version = found.newest
    if found.owner_id != request.user.pk:
        if method == "POST":
            raise NotFoundError(translatable("There is no such preset."))
        return render(request, "chat/preset_shared.html", {"version": version, **files_context(found)})
    form = PresetForm(request.POST or None, user=request.user, version=version)
    if method == "POST" and form.is_valid():
        try:
            change_preset(request.user, preset_id, form.content, form.sharing)
        except ActionError as error:
            form.add_error(None, in_words(error))
        else:
            messages.success(request, gettext("Saved."))
            return redirect("preset", preset_id)
    context = {"form": form, "version": version, "versions": found.versions.all(), **files_context(found)}
    return render(request, "chat/preset.html", context, status=400 if form.errors else 200)


@require_POST
@for_users
def preset_copies(request: UserRequest, preset_id: UUID) -> HttpResponseBase:
    """Makes a preset of the user's own from this one."""
    copy = copy_preset(request.user, preset_id)
    has_files = Knowledge.objects.filter(preset=preset_id).exists()
    words = gettext("Preset copied, without its files.") if has_files else gettext("Preset copied.")
    messages.success(request, words)
    return redirect("preset", copy.pk)


@require_POST
@for_users
def preset_versions(request: UserRequest, preset_id: UUID) -> HttpResponseBase:
    """Makes a new version from the one with this `number`."""
    wanted = number_of(request.POST.get("number", ""), digits=8)
    restore_version(request.user, preset_id, wanted)
    messages.success(request, gettext("Version {number} restored.").format(number=wanted))
    return redirect("preset", preset_id)
