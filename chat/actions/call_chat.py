"""Makes a chat of a call, for users who want to keep what their programs asked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.utils import timezone

from chat.generation.calls import Call
from chat.models import Conversation, Generation, Message, Role, Status, UsageEntry, User
from chat.models.conversation import shortened
from chat.parts import NoticePart, Part, TextPart, ToolCall, storable, storable_part, stored
from chat.providers.base import Turn
from chat.search.index import index_message, index_title
from chat.translatable import translatable as _


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said in one call."""

    text: str
    tool_calls: list[ToolCall]


def make_chat(user: User, call: Call, entry: UsageEntry, answer: Answer) -> Generation | None:
    """Makes a chat of a call: its turns as messages, and the answer with the call's usage. Returns the
    answer's generation; None if the call was booked before. The caller has a transaction."""
    if UsageEntry.objects.filter(pk=call.id).exists():
        return None
    conversation = Conversation(id=call.id, owner=user, title=_title(call.request.turns))
    messages: list[Message] = []
    for turn in call.request.turns:
        if turn.role != "system":
            _add(conversation, messages, Role(turn.role), _parts_of(turn))
    if call.request.system or any(turn.role == "system" for turn in call.request.turns):
        notice = NoticePart(_("The instructions of the program (its system prompt) are not kept."))
        messages[0].parts = [*stored([notice]), *messages[0].parts]
    reply = _add(conversation, messages, Role.ASSISTANT, [TextPart(answer.text), *answer.tool_calls])
    index_title(conversation, is_new=True)
    for message in messages:
        index_message(message, user.pk, entry.model_label if message.role == Role.ASSISTANT else "")
    Conversation.objects.bulk_create([conversation])
    Message.objects.bulk_create(messages)
    now = timezone.now()
    past = {"conversation": conversation, "model": call.model, "model_label": entry.model_label}
    generations = [
        Generation(message=message, status=Status.COMPLETE, finished_at=now, **past)
        for message in messages
        if message.role == Role.ASSISTANT
    ]
    last = generations[-1]
    assert last.message == reply
    last.status, last.error_code = entry.status, entry.error_code
    for name in ("input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens", "cost"):
        setattr(last, name, getattr(entry, name))
    last.usage_estimated = entry.estimated
    Generation.objects.bulk_create(generations)
    conversation.head = reply
    conversation.save(update_fields=["head", "revision", "last_position"])
    return last


def _add(conversation: Conversation, messages: list[Message], role: Role, parts: list[Part]) -> Message:
    parts = [storable_part(part) for part in parts]
    revision = conversation.next_revision()
    message = Message(
        conversation=conversation,
        parent=messages[-1] if messages else None,
        position=conversation.next_position(),
        role=role,
        text="".join(part.text for part in parts if isinstance(part, TextPart)),
        parts=stored(parts),
        added_revision=revision,
        revision=revision,
    )
    messages.append(message)
    return message


def _title(turns: Iterable[Turn]) -> str:
    text = next((turn.text for turn in turns if turn.role == "user" and turn.text), "")
    return shortened(" ".join(storable(text).split()))


def _parts_of(turn: Turn) -> list[Part]:
    parts: list[Part] = [*turn.tool_results]
    if turn.files:
        parts.append(NoticePart(_("The files of this message are not kept.")))
    return [*parts, TextPart(turn.text), *turn.tool_calls]
