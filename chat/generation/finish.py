"""Writes the end of a generation: the reply's content and its terminal state, in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F

from chat.files.contents import generated_files
from chat.generation.endpoint_queue import startable_after
from chat.generation.lease import database_time, locked_conversation, touch, waiting_after
from chat.generation.tool_runs import close_tool_calls, keep_request
from chat.live.changes import CommittedChange
from chat.live.process import process_name
from chat.live.pubsub import Publish
from chat.live.reply_log import Segment
from chat.live.tool_call_lines import parts_of
from chat.models import LIVE, Generation, JournalEntry, Message, SentRequest, Status, Step
from chat.models.message import Sibling, read_for_showing
from chat.models.prepared import Prepared
from chat.models.prepared_writes import delete, update
from chat.parts import NoticePart, Opaque, Part, SourcePart, TextPart, stored
from chat.search.index import index_message
from chat.translatable import translatable as _

logger = logging.getLogger(__name__)

_message = Prepared(
    lambda generation: (
        Message.objects.select_related("generation__continues", "conversation__owner")
        .annotate(prompt_position=F("parent__position"))
        .filter(generation=generation)
    ),
    UUID,
)

SERVER_STOPPED = _("The server stopped while this reply was being written. The text so far is kept.")


def finish(
    generation: Generation, status: Status, segments: Iterable[Segment], *, publish: Publish, **fields: Any
) -> list[UUID]:
    """Ends a generation that this process holds. Returns the queued generations that waited for it, in the
    conversation or in the queue of its endpoint."""
    ended = _end(generation.pk, process_name(), status, segments, publish=publish, **fields)
    startable = startable_after(generation.model)
    if ended is not None and ended.position == ended.conversation.last_position:
        return startable
    return [*waiting_after(generation.message_id), *startable]


def end(generation_id: UUID, owner: str, status: Status, segments: Iterable[Segment], **how: Any) -> bool:
    """Writes the message's content and the generation's state, deletes its journal, and publishes the change
    after the commit. Returns false if the lease was lost: then nothing is written. Raises DatabaseError.

    A continuation never ends with less text than the reply that it continues."""
    return _end(generation_id, owner, status, segments, **how) is not None


def _end(
    generation_id: UUID,
    owner: str,
    status: Status,
    segments: Iterable[Segment],
    *,
    publish: Publish,
    show: Callable[[CommittedChange], None] | None = None,
    opaque: Sequence[tuple[int, Opaque]] = (),
    notices: Sequence[NoticePart | SourcePart] = (),
    last_step: Step | None = None,
    sent_request: SentRequest | None = None,
    has_files: bool = True,
    **fields: Any,
) -> Message | None:
    """As `end`. Returns the message with its conversation. `show` replaces `publish` if viewers need no query
    for the change. `opaque` is metadata with the number of its step. `last_step` is the row
    of the last of several steps, `sent_request` the one of the last request. `has_files` is false for a reply
    in which the model made no files, which saves a query."""
    with transaction.atomic():
        # On SQLite the transaction is alone, and the conversation is read with the message.
        conversation = (
            locked_conversation(generation_id) if connection.features.has_select_for_update else None
        )
        held = {"pk": generation_id, "owner": owner, "status": LIVE}
        changed = update(Generation, held, {"status": status, "finished_at": database_time(), **fields})
        message = _message.first(generation_id) if changed else None
        if message is None:
            return None
        conversation = message.conversation = conversation or message.conversation
        if last_step is not None:
            last_step.save(force_insert=True)
        if sent_request is not None:
            keep_request(sent_request)
        own = parts_of(close_tool_calls(generation_id, segments), opaque)
        made = generated_files(message.pk) if has_files else []
        parts = _with_what_is_continued(message, [*own, *made, *notices])
        message.parts = stored(parts)
        message.text = "".join(part.text for part in parts if isinstance(part, TextPart))
        index_message(message, conversation.owner_id, message.generation.model_label)
        is_shown = message.shown and not conversation.deleted_at and conversation.owner.is_active
        if show is not None and is_shown:
            change = _change(message)
            touch(conversation, message, lambda _: show(change))
        else:
            touch(conversation, message, publish)
        delete(JournalEntry, {"generation": generation_id})
        transaction.on_commit(partial(_log_end, message.generation))
    return message


def _change(message: Message) -> CommittedChange:
    """Returns the change that ends this reply. Call it before the revision is raised."""
    conversation = message.conversation
    if message.revision == message.added_revision and (
        message.prompt_position + 1 == message.position == conversation.last_position  # type: ignore[attr-defined]
    ):
        # Nothing was added after it and it was not rated, so it has no variants: three queries less.
        message.siblings = [Sibling(message.pk, message.shown)]
        message._prefetched_objects_cache = {"feedback": []}  # type: ignore[attr-defined]
    else:
        read_for_showing([message])
    return CommittedChange(conversation.revision, conversation, [message])


def _with_what_is_continued(message: Message, parts: list[Part]) -> list[Part]:
    continued = message.generation.continues
    text = "".join(part.text for part in parts if isinstance(part, TextPart))
    if continued is None or text.startswith(continued.text):
        return parts
    return [TextPart(continued.text), *parts]


def _log_end(generation: Generation) -> None:
    """Logs one line for each reply, whatever its outcome."""
    tokens = [generation.input_tokens, generation.output_tokens]
    facts = {
        "generation_id": str(generation.pk),
        "conversation_id": str(generation.conversation_id),
        "model": generation.model_label,
        "outcome": generation.status,
        "error": generation.error_code,
        "process_name": generation.owner,
        "seconds_queued": generation.seconds_queued,
        "seconds_to_first_token": generation.seconds_to_first_token,
        "seconds": generation.seconds,
        "input_tokens": tokens[0],
        "output_tokens": tokens[1],
        "tokens_estimated": generation.usage_estimated,
    }
    logger.info(
        "Reply ended: %s, model %s, first token after %s s, %s s in all, %s tokens in, %s out%s",
        " ".join(filter(None, (generation.status, generation.error_code))),
        generation.model_label,
        *(
            "?" if value is None else f"{value:.2f}"
            for value in (generation.seconds_to_first_token, generation.seconds)
        ),
        *("?" if value is None else value for value in tokens),
        " (estimated)" if generation.usage_estimated else "",
        extra=facts,
    )
