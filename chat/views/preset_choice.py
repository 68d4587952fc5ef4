"""The preset of a chat: which one is used, and the choice of another one."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from chat.access import NotFoundError, may_open, newest_versions, preset_for
from chat.actions.errors import InvalidInputError
from chat.actions.preset import choose_preset, start_of
from chat.models import Conversation, Preset, PresetUse, PresetVersion, User
from chat.models.prepared import Prepared
from chat.translatable import translatable as _
from chat.views.answers import PersonRequest, for_people, moved_to

OFFERED = 6  # presets on the page of a new chat
VALUE = "value-"  # before the name of a variable in the form
_offered = Prepared(lambda user: newest_versions(User(pk=user))[: OFFERED + 1], int)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@for_people
def preset_choice(request: PersonRequest, conversation_id: UUID) -> HttpResponseBase:
    """GET lists the presets, or asks for the variables of `preset`. POST uses that preset in the chat; an
    empty one ends it."""
    wanted = _uuid((request.POST if request.method == "POST" else request.GET).get("preset", ""))
    if request.method == "POST":
        values = {
            name.removeprefix(VALUE): value
            for name, value in request.POST.items()
            if name.startswith(VALUE) and isinstance(value, str)
        }
        choose_preset(request.user, conversation_id, wanted, values)
        return moved_to(request, reverse("conversation", args=[conversation_id]))
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
    else:
        context["version"] = version = preset_for(request.user, wanted).newest
        known = use.values if use else {}
        context["variables"] = [(VALUE + name, name, known.get(name, "")) for name in version.variables]
    template = "chat/_preset_choice.html" if request.htmx else "chat/preset_choice.html"
    return render(request, template, context)


def new_chat_context(user: User, conversation: Conversation) -> dict[str, Any]:
    """Returns what the page of a new chat shows of presets, and sets what was chosen for the chat."""
    start = start_of(user, conversation.pk)
    version = start.version if start else None
    if start is not None:
        conversation.folder = start.folder
    if version is None:
        found = _offered.all(user.pk)
        return {"offered": found[:OFFERED], "has_more_presets": len(found) > OFFERED}
    conversation.preset_name, conversation.preset_number = version.name, version.number
    conversation.tools, conversation.parameters = version.tools, version.parameters
    return {"started": version, **_state(user, version)}


def used_context(user: User, conversation: Conversation) -> dict[str, Any]:
    """Returns what the page of a chat shows of its preset."""
    if not conversation.preset_name:
        return {}
    use = PresetUse.objects.filter(pk=conversation.pk).select_related("version__preset").first()
    return _state(user, use.version if use else None)


def _state(user: User, version: PresetVersion | None) -> dict[str, Any]:
    """Returns the newer version of this one, if there is one, and whether the preset is gone for the user."""
    if version is None or not Preset.objects.seen_by(user).filter(pk=version.preset_id).exists():
        return {"preset_is_gone": True}
    preset = version.preset
    return {"newer": preset if preset.number > version.number else None}


def _use_of(user: User, conversation_id: UUID) -> Any:
    """Returns the `PresetUse` of the chat, or the `ChatStart` of a new one; None without either."""
    mine = PresetUse.objects.filter(pk=conversation_id, conversation__owner=user)
    return mine.select_related("version").first() or start_of(user, conversation_id)


def _uuid(value: str) -> UUID | None:
    try:
        return UUID(value) if value else None
    except ValueError:
        raise InvalidInputError(_("The page sent something that cannot be read. Reload it.")) from None
