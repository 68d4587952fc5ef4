"""What a person sets for themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from chat.access import model_for
from chat.models import ChatModel, Preferences, User


def set_preferences(user: User, values: Mapping[str, Any]) -> Preferences:
    """Takes validated values by field name."""
    preferences, _ = Preferences.objects.update_or_create(user=user, defaults=dict(values))
    return preferences


def favour_model(user: User, model_id: int | str, *, favourite: bool) -> ChatModel:
    """Puts the model at the top of the person's list, or back into its place. Raises `NotFoundError`."""
    with transaction.atomic():
        model = model_for(user, model_id)
        preferences, _ = Preferences.objects.get_or_create(user=user)
        if favourite:
            preferences.favourites.add(model)
        else:
            preferences.favourites.remove(model)
    return model
