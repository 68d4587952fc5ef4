"""Lets another model answer if the first one fails before its first word."""

from __future__ import annotations

from django.db import transaction

from chat.generation.endpoint_queue import has_room
from chat.live.process import process_name
from chat.models import ChatModel, Endpoint, Generation, Status


def fall_back(generation: Generation) -> bool:
    """Gives the generation to the fallback of its model, and notes the first one. Returns false if there is
    none that the owner may use and that has room, or if this process lost the lease. Changes `generation`.
    One unit of work."""
    first = generation.model
    if first is None or first.fallback_id is None or generation.fell_back_from:
        return False
    with transaction.atomic():
        usable = ChatModel.objects.usable_by(generation.conversation.owner)
        second = usable.filter(pk=first.fallback_id).first()
        if second is None or not _has_room(second):
            return False
        held = Generation.objects.filter(pk=generation.pk, owner=process_name(), status=Status.RUNNING)
        values = {"model": second, "model_label": second.label, "fell_back_from": first.label}
        if not held.update(**values):
            return False
    for name, value in values.items():
        setattr(generation, name, value)
    return True


def _has_room(model: ChatModel) -> bool:
    endpoint = Endpoint.objects.select_for_update(no_key=True).get(pk=model.endpoint_id)
    return has_room(endpoint)
