"""The system prompts of a request, in order: of the server, of the model, of the person."""

from __future__ import annotations

from typing import NamedTuple

from django.conf import settings

from chat.models import ChatModel, Conversation, Preferences


class Instruction(NamedTuple):
    """A system prompt and its source: "server", "model", "personal" or "tools"."""

    source: str
    text: str


def instructions_for(conversation: Conversation, model: ChatModel) -> list[Instruction]:
    """Returns the system prompts for a reply of this model, those with text only."""
    found = [Instruction("server", settings.CHAT_SYSTEM_PROMPT), Instruction("model", model.system_prompt)]
    if conversation.uses_instructions:
        rows = Preferences.objects.filter(user=conversation.owner_id).values_list("instructions", flat=True)
        found.append(Instruction("personal", rows.first() or ""))
    return [each for each in found if each.text.strip()]


def joined(instructions: list[Instruction]) -> str:
    """Returns the system prompt that is sent."""
    return "\n\n".join(each.text for each in instructions)
