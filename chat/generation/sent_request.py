"""What the model of a reply was sent, read from what is stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from chat.access import NotFoundError, message_for
from chat.models import Generation, Message, SentRequest, User
from chat.translatable import translatable as _


@dataclass(frozen=True, slots=True)
class SentTurn:
    """`kind` is "user", "assistant", "summary" (of the earlier messages), "source" (of a file) or "continued"
    (the text that the reply goes on from). `model` is the name of the model that wrote it, or of the file."""

    kind: str
    text: str
    model: str = ""


@dataclass(frozen=True, slots=True)
class WhatWasSent:
    """`request` is None if it was not recorded. `system` has pairs of a source and a text. `left_out` is the
    number of earlier messages that were not sent."""

    generation: Generation
    request: SentRequest | None
    system: list[tuple[str, str]]
    turns: list[SentTurn]
    left_out: int


def what_was_sent(user: User, message_id: UUID) -> WhatWasSent:
    """Returns the request for this reply of the user. Raises `NotFoundError`, also while it runs."""
    message = message_for(user, message_id)
    generation = message.reply
    if generation is None or generation.is_live:
        raise NotFoundError(_("There is no such message."))
    recorded = SentRequest.objects.filter(generation=generation).first()
    first = generation.sent_from or 0
    path = list(_path(message))
    turns = [turn for position, turn in path if position >= first]
    if generation.summary is not None:
        turns.insert(0, SentTurn("summary", generation.summary.text, generation.summary.model_label))
    files = [
        SentTurn("source", it.text, f"{it.name}, {it.page}" if it.page else it.name) for it in message.sources
    ]
    turns[len(turns) - 1 : len(turns) - 1] = files
    if generation.continues is not None:
        turns.append(SentTurn("continued", generation.continues.text))
    system = [(source, text) for source, text in (recorded.system if recorded else [])]
    return WhatWasSent(generation, recorded, system, turns, sum(position < first for position, _turn in path))


def _path(message: Message) -> Iterator[tuple[int, SentTurn]]:
    """Yields the messages with text before this reply, in order, each with its position."""
    rows = Message.objects.filter(conversation=message.conversation_id, position__lt=message.position)
    columns = rows.order_by("-position").values_list(
        "pk", "parent", "position", "role", "text", "generation__model_label"
    )
    wanted, found = message.parent_id, []
    for pk, parent, position, role, text, label in columns.iterator():
        if pk == wanted:
            wanted = parent
            if text.strip():
                found.append((position, SentTurn(role, text, label or "")))
    yield from reversed(found)
