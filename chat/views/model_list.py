"""The models that a user can choose, and the first choice of the page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from chat.models import ChatModel, Conversation, Generation, Message, Preferences, User
from chat.models.catalog import Effort, listed_models
from chat.models.message import side_by_side
from chat.models.parameters import Parameters
from chat.models.prepared import Prepared

_RECENT_CHATS, _RECENT_REPLIES = 5, 20


def _recent(user: int) -> QuerySet[Generation, int | None]:
    chats = Conversation.objects.filter(owner=user).order_by("-updated_at", "-id").values("pk")
    replies = Generation.objects.filter(conversation__in=chats[:_RECENT_CHATS]).order_by("-queued_at")
    return replies.values_list("model_id", flat=True)[:_RECENT_REPLIES]


_recent_models = Prepared(_recent, int)


@dataclass(frozen=True, slots=True)
class ModelGroup:
    """`is_favourites`: the user's favourites, of any provider; otherwise all models are of the provider
    `label`."""

    label: str
    models: list[ChatModel]
    is_favourites: bool = False


def model_context(
    user: User,
    preferences: Preferences,
    shown: list[Message],
    wanted: object = None,
    preset_model: int | None = None,
) -> dict[str, Any]:
    """Returns the context of `_model_picker.html`, and of `_composer_parameters.html` for a chat with the
    parameters `wanted`. The chosen model is the first of these that can be used: that of a preset that was
    chosen after the last reply, that of the last reply, the user's default, the one that the user used last,
    the default of the settings, the first of the list."""
    favourites = set(preferences.favourites.values_list("pk", flat=True)) if preferences.pk else set()
    models = listed_models(user)
    groups = [ModelGroup(_("Favourites"), [m for m in models if m.pk in favourites], is_favourites=True)]
    groups += grouped(m for m in models if m.pk not in favourites)
    groups = [group for group in groups if group.models]
    most_beside = settings.CHAT_MODELS_AT_ONCE - 1
    listed = [model for group in groups for model in group.models]
    chosen_id = _chosen(user, preset_model, preferences.default_model_id, shown, listed)
    chosen = next((model for model in models if model.pk == chosen_id), None)
    allowed = chosen.allowed if chosen else None
    return {
        "allowed": allowed,
        "parameters": Parameters.of(wanted).within(allowed) if allowed else Parameters(),
        "efforts": Effort.choices,
        "model_groups": groups,
        "can_compare": len(models) > 1 and most_beside > 0,
        "most_beside": most_beside,
        "chosen_model": chosen_id,
        "preset_model_is_missing": preset_model is not None and all(m.pk != preset_model for m in listed),
    }


def grouped(models: Iterable[ChatModel]) -> list[ModelGroup]:
    """Groups models by provider, both in the order of the list."""
    in_order = sorted(models, key=ChatModel.place_in_list)
    return [ModelGroup(str(provider), list(group)) for provider, group in groupby(in_order, _provider)]


def _chosen(
    user: User, preset: int | None, setting: int | None, shown: list[Message], models: list[ChatModel]
) -> int | None:
    usable = {model.pk: model for model in models}
    firsts = [group[0].reply for group in reversed(side_by_side(shown))]  # the chat continues from these
    wanted = [preset, *(generation.model_id for generation in firsts if generation), setting]
    chosen = next((model_id for model_id in wanted if model_id in usable), None)
    if chosen is not None:
        return chosen
    # A user who tried the demo before there was a real model does not keep it.
    real = {model.pk for model in models if model.endpoint_id != "demo"} or usable.keys()
    wanted = [model_id for model_id in _used_last(user) if model_id in real]
    wanted += [model.pk for model in models if settings.CHAT_DEFAULT_MODEL in (model.name, model.label)]
    wanted += usable
    return next((model_id for model_id in wanted if model_id in usable), None)


def _used_last(user: User) -> Iterable[int | None]:
    """Yields the models of the latest replies in the latest chats: reading all of them would cost more with
    each chat."""
    return _recent_models.all(user.pk)


def _provider(model: ChatModel) -> object:
    return model.endpoint
