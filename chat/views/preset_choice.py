"""The preset of a chat: which one is used, and the choice of another one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from chat.access import NotFoundError, may_open, newest_versions, preset_for
from chat.actions.errors import ActionError
from chat.actions.preset import choose_preset, start_of
from chat.models import Conversation, Folder, Preset, PresetUse, PresetVersion, Tool, User
from chat.models.catalog import listed_models
from chat.models.prepared import Prepared
from chat.rendering import fragments
from chat.rendering.words import in_words
from chat.translatable import translatable as _
from chat.views.fields import optional_uuid_of
from chat.views.responses import UserRequest, for_users, redirect_to_chat

OFFERED = 6  # presets on the page of a new chat
VALUE = "value-"  # before the name of a variable in the form
_offered = Prepared(lambda user: newest_versions(User(pk=user))[: OFFERED + 1], int)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@for_users
def preset_choice(request: UserRequest, conversation_id: UUID) -> HttpResponseBase:
    """GET lists the presets, or asks for the variables of `preset`. POST uses that preset in the chat; an
    empty one ends it."""
    wanted = optional_uuid_of((request.POST if request.method == "POST" else request.GET).get("preset", ""))
    if request.method == "POST":
        values = {
            name.removeprefix(VALUE): value
            for name, value in request.POST.items()
            if name.startswith(VALUE) and isinstance(value, str)
        }
        try:
            choose_preset(request.user, conversation_id, wanted, values)
        except ActionError as error:
            if wanted is None:
                raise
            return _refused(request, conversation_id, wanted, values, error)
        return redirect_to_chat(request, reverse("conversation", args=[conversation_id]))
    if not may_open(request.user, conversation_id):
        raise NotFoundError(_("There is no such chat."))
    use = _use_of(request.user, conversation_id)
    context: dict[str, Any] = {
        "url": reverse("preset_choice", args=[conversation_id]),
        "conversation_id": conversation_id,
        "used": use.version.preset_id if use and use.version else None,
    }
    if wanted is None:
        context["versions"] = list(newest_versions(request.user))
        _find_lacks(request.user, context["versions"])
    else:
        context |= _asked(request.user, wanted, use.values if use else {})
    template = "chat/_preset_choice.html" if request.htmx else "chat/preset_choice.html"
    return render(request, template, context)


def _asked(user: User, preset_id: UUID, known: Mapping[str, str]) -> dict[str, Any]:
    """Returns what the form for the variables of a preset shows."""
    version = preset_for(user, preset_id).newest
    _find_lacks(user, [version])
    fields = [(VALUE + name, name, known.get(name, "")) for name in version.variables]
    return {"version": version, "variables": fields}


def _find_lacks(user: User, versions: Iterable[PresetVersion]) -> None:
    """Marks the versions whose model or tools the user may not use."""
    models = {model.pk for model in listed_models(user)}
    tools = set(Tool.objects.usable_by(user).values_list("name", flat=True))
    for version in versions:
        version.lacks_model = version.model_id is not None and version.model_id not in models
        version.lacks_tools = not tools.issuperset(version.tools)


def _refused(
    request: UserRequest,
    conversation_id: UUID,
    preset_id: UUID,
    values: Mapping[str, str],
    error: ActionError,
) -> HttpResponseBase:
    """Shows the form again, with what was typed."""
    context = {
        "url": reverse("preset_choice", args=[conversation_id]),
        "conversation_id": conversation_id,
        "error": in_words(error),
        **_asked(request.user, preset_id, values),
    }
    if not request.htmx:
        return render(request, "chat/preset_choice.html", context, status=error.status)
    form = render_to_string("chat/_preset_choice.html", context, request)
    return HttpResponse(fragments.partial("#sheet-content", "innerHTML", form), status=error.status)


def new_chat_context(user: User, conversation: Conversation) -> dict[str, Any]:
    """Returns what the page of a new chat shows of presets, and sets what was chosen for the chat."""
    start = start_of(user, conversation.pk)
    version = start.version if start else None
    if start is not None:
        conversation.folder, conversation.uses_instructions = start.folder, start.uses_instructions
    if version is None:
        found = _offered.all(user.pk)
        return {
            "offered": found[:OFFERED],
            "has_more_presets": len(found) > OFFERED,
            "folder_preset_is_gone": _is_gone_from(conversation.folder, user),
        }
    conversation.preset_name, conversation.preset_number = version.name, version.number
    conversation.tools, conversation.parameters = version.tools, version.parameters
    return {"started": version, "fresh": version, **_state(user, version)}


def used_context(user: User, conversation: Conversation) -> dict[str, Any]:
    """Returns what the page of a chat shows of its preset. `fresh` is a version that was chosen after the
    last message: the page says what of it could not be used."""
    if not conversation.preset_name:
        return {}
    use = PresetUse.objects.filter(pk=conversation.pk).select_related("version__preset").first()
    version = use.version if use else None
    is_fresh = use is not None and use.after_position == conversation.last_position
    return {"fresh": version if is_fresh else None, **_state(user, version)}


def _state(user: User, version: PresetVersion | None) -> dict[str, Any]:
    """Returns the newer version of this one, if there is one, and whether the preset is gone for the user."""
    if version is None or not Preset.objects.seen_by(user).filter(pk=version.preset_id).exists():
        return {"preset_is_gone": True}
    preset = version.preset
    return {"newer": preset if preset.number > version.number else None}


def _is_gone_from(folder: Folder | None, user: User) -> bool:
    """Returns whether the folder has a preset that is not shared with the user any more."""
    if folder is None or folder.preset_id is None:
        return False
    return not Preset.objects.seen_by(user).filter(pk=folder.preset_id).exists()


def _use_of(user: User, conversation_id: UUID) -> Any:
    """Returns the `PresetUse` of the chat, or the `ChatStart` of a new one; None without either."""
    mine = PresetUse.objects.filter(pk=conversation_id, conversation__owner=user)
    return mine.select_related("version").first() or start_of(user, conversation_id)
