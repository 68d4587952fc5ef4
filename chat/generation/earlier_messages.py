"""Reads the messages before a prompt for a request: newest first, and no further than they are iterated.

A request may have thousands of messages, so their rows are tuples, and their parts are read only where they
have more than the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any, Literal
from uuid import UUID

import orjson
from django.db import connection
from django.db.models import Case, Exists, F, OuterRef, Q, QuerySet, TextField, Value, When
from django.db.models.functions import Cast

from chat.files.for_models import FileReader
from chat.generation.turns import turns_of
from chat.generation.window import MessageTurns, correction
from chat.models import Generation, Message, Status
from chat.models.prepared import Prepared
from chat.parts import Part, loaded
from chat.providers.base import Turn

PAGE = 50  # messages in the first query; each further one reads four times as many, up to MOST_PAGE
MOST_PAGE = 3_200
CONFIRMING_TOKENS = 500  # estimated tokens: the count of a request of this size confirms the estimate
MADE_BY_MODEL = "[You made these files in your answer above.]"

_COLUMNS = ("key", "parent_key", "role", "position", "text", "own_parts")
_COUNTS = ("sent_from", "input_estimate", "input_tokens", "usage_estimated")  # of a generation
_COUNT_COLUMNS = ("generation__model", *(f"generation__{name}" for name in _COUNTS))
_WIDTH = len(_COLUMNS)
_POSITION = _COLUMNS.index("position")

type Row = tuple[Any, ...]  # the values of `_COLUMNS`, and of `_COUNT_COLUMNS` in the first page


def rows_before(prompt: Message, model_id: int, *, with_tool_calls: bool) -> Iterator[Row]:
    """Yields the messages before the prompt, newest first: all of the shown path, or of the conversation if
    the prompt is not shown any more. `own_parts` is set for messages with files, and for replies with
    metadata of the provider, which only the model that sent it gets back. The other parts repeat the text and
    are not read. Ids and parts are texts; the first page has the counts of the generations, too."""
    position = prompt.position
    for number in count():
        length = min(PAGE * 4**number, MOST_PAGE)
        page = _page(length, is_first=not number, shown=prompt.shown, with_tool_calls=with_tool_calls)
        rows = page.all(prompt.conversation_id, model_id, position)
        yield from rows
        if len(rows) < length:
            return
        position = rows[-1][_POSITION]


def turns_before(
    prompt: Message, rows: Iterable[Row], reader: FileReader, *, with_tool_calls: bool
) -> Iterator[MessageTurns]:
    """Yields the turns before the prompt, newest first. Leaves out replies without text (stopped before the
    first word, failed)."""
    wanted: str | None = _key(prompt.parent_id) if prompt.parent_id else None
    for row in rows:
        key, parent, role, position, text, own_parts = row[:_WIDTH]
        if key != wanted:
            continue
        wanted = parent
        if own_parts is None:  # as `turns_of` does, for the many messages of nothing but text
            if text and not text.isspace():
                yield MessageTurns(position, (Turn(role, text),), parent)
        elif turns := _turns(
            role, text, loaded(orjson.loads(own_parts)), reader, with_tool_calls=with_tool_calls
        ):
            yield MessageTurns(position, turns, parent)
        if wanted is None:
            return


@dataclass(frozen=True, slots=True)
class EarlierRequests:
    """The earlier requests of this conversation to this model. `sent_from` is the position of the first
    message in the last one, `factor` the provider's tokens for each estimated one. `is_confirmed` is whether
    a long request confirms the factor."""

    sent_from: int = 0
    factor: float = 1.0
    is_confirmed: bool = False

    @classmethod
    def of(cls, generation: Generation, prompt: Message | None, newest: list[Row]) -> EarlierRequests:
        """`newest` is the first page of the messages before the prompt."""
        if prompt is None or prompt.parent_id is None:
            return cls()
        counts = (row[len(_COLUMNS) :] for row in newest)
        rows = [own for model_id, *own in counts if model_id == generation.model_id and own[0] is not None]
        if not prompt.shown or (not rows and len(newest) == PAGE):
            rows = _sent.all(generation.conversation_id, generation.model_id, prompt.position)
        if not rows:
            return cls()
        counted = next((row[1:3] for row in rows[:5] if row[1] and row[2] and not row[3]), (None, None))
        return cls(rows[0][0] or 0, correction(*counted), (counted[0] or 0) >= CONFIRMING_TOKENS)


@cache
def _page(length: int, *, is_first: bool, shown: bool, with_tool_calls: bool) -> Prepared[Any]:
    def build(conversation: UUID, model: int, before: int) -> QuerySet[Message, Any]:
        messages = Message.objects.filter(conversation=conversation, position__lt=before)
        if shown:
            messages = messages.filter(shown=True)
        sent = Generation.objects.filter(message=OuterRef("pk"), model=model, status=Status.COMPLETE)
        needed = Q(raw__contains='"file"') | (Q(raw__contains='"opaque"') & Q(Exists(sent)))
        if with_tool_calls:
            needed |= Q(raw__contains='"tool_result"')
        own_parts = Case(When(needed, then=F("raw")), default=Value(None), output_field=TextField())
        keys = {"key": Cast("pk", TextField()), "parent_key": Cast("parent_id", TextField())}
        annotated = messages.annotate(raw=Cast("parts", TextField()), own_parts=own_parts, **keys)
        columns = (*_COLUMNS, *_COUNT_COLUMNS) if is_first else _COLUMNS
        return annotated.order_by("-position").values_list(*columns)[:length]

    return Prepared(build, UUID, int, int)


_sent: Prepared[Any] = Prepared(
    lambda conversation, model, before: (
        Generation.objects.filter(
            conversation=conversation,
            model=model,
            message__shown=True,
            message__position__lt=before,
            sent_from__isnull=False,
        )
        .order_by("-message__position")
        .values_list(*_COUNTS)[:5]
    ),
    UUID,
    int,
    int,
)


def _turns(
    role: Literal["user", "assistant"],
    text: str,
    parts: list[Part],
    reader: FileReader,
    *,
    with_tool_calls: bool,
) -> list[Turn]:
    files = reader.files(parts)
    asked = files if role == "user" else ()
    turns = turns_of(role, text, parts, files=asked, is_own=True, with_tool_calls=with_tool_calls)
    if files and not asked:  # no provider takes files in a turn of the model
        turns = [*turns, Turn("user", MADE_BY_MODEL, files=files)]
    return turns


def _key(message_id: UUID) -> str:
    """Returns the id as the database has it: an object for each of 2,000 ids takes longer than all else."""
    return str(message_id) if connection.features.has_native_uuid_field else message_id.hex
