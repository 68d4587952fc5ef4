"""Settings of one user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from chat.access import model_for
from chat.models import ChatModel, Preferences, User


def set_preferences(user: User, values: Mapping[str, Any]) -> Preferences:
    """Stores `values`, which are validated already, by field name."""
    preferences, _ = Preferences.objects.update_or_create(user=user, defaults=dict(values))
    return preferences


def favour_model(user: User, model_id: int | str, *, favourite: bool) -> ChatModel:
    """Adds the model to the user's favourites, or removes it. Raises `NotFoundError`."""
    with transaction.atomic():
        model = model_for(user, model_id)
        preferences, _ = Preferences.objects.get_or_create(user=user)
        if favourite:
            preferences.favourites.add(model)
        else:
            preferences.favourites.remove(model)
    return model
