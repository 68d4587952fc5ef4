"""The system prompts of a request, in order: of the server, the model, the preset, the folder, the person."""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings

from chat.models import ChatModel, Conversation, Folder, Preferences, PresetUse
from chat.models.prepared import Prepared

_of_preset: Prepared[Any] = Prepared(
    lambda chat: PresetUse.objects.filter(pk=chat).values_list("instructions", flat=True), UUID
)
_of_folder: Prepared[Any] = Prepared(
    lambda folder: Folder.objects.filter(pk=folder).values_list("instructions", flat=True), UUID
)
_of_person: Prepared[Any] = Prepared(
    lambda user: Preferences.objects.filter(user=user).values_list("instructions", flat=True), int
)


class Instruction(NamedTuple):
    """A system prompt and its source, a key of `chat.views.sent.SOURCES`."""

    source: str
    text: str


def instructions_for(conversation: Conversation, model: ChatModel) -> list[Instruction]:
    """Returns the system prompts for a reply of this model, those with text only."""
    found = [Instruction("server", settings.CHAT_SYSTEM_PROMPT), Instruction("model", model.system_prompt)]
    if conversation.preset_name:
        found.append(Instruction("preset", _of_preset.first(conversation.pk) or ""))
    if conversation.folder_id:
        found.append(Instruction("folder", _of_folder.first(conversation.folder_id) or ""))
    if conversation.uses_instructions:
        found.append(Instruction("personal", _of_person.first(conversation.owner_id) or ""))
    return [each for each in found if each.text.strip()]


def joined(instructions: list[Instruction]) -> str:
    """Returns the system prompt that is sent."""
    return "\n\n".join(each.text for each in instructions)
