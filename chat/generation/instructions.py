"""The system prompts of a request, in order: of the server, the model, the preset, the folder, the person."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import QuerySet

from chat.models import ChatModel, Conversation, Folder, Preferences, PresetUse


class Instruction(NamedTuple):
    """A system prompt and its source, a key of `chat.views.sent.SOURCES`."""

    source: str
    text: str


def instructions_for(conversation: Conversation, model: ChatModel) -> list[Instruction]:
    """Returns the system prompts for a reply of this model, those with text only."""
    found = [Instruction("server", settings.CHAT_SYSTEM_PROMPT), Instruction("model", model.system_prompt)]
    if conversation.preset_name:
        uses = PresetUse.objects.filter(pk=conversation.pk)
        found.append(Instruction("preset", _instructions_of(uses)))
    if conversation.folder_id:
        folders = Folder.objects.filter(pk=conversation.folder_id)
        found.append(Instruction("folder", _instructions_of(folders)))
    if conversation.uses_instructions:
        own = Preferences.objects.filter(user=conversation.owner_id)
        found.append(Instruction("personal", _instructions_of(own)))
    return [each for each in found if each.text.strip()]


def joined(instructions: list[Instruction]) -> str:
    """Returns the system prompt that is sent."""
    return "\n\n".join(each.text for each in instructions)


def _instructions_of(rows: QuerySet[Any]) -> str:
    return rows.values_list("instructions", flat=True).first() or ""
