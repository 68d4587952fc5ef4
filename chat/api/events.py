"""The events of a stream, the same in each transport.

    token, chunk   data: kind ("text" or "reasoning"), text. `chunk` where a buffer was asked for.
    metadata       data: kind, and what belongs to it
                     start         status, model
                     first_token   seconds since the reply was queued
                     usage         output_tokens so far, estimated
                     retry         attempt, in_seconds: the provider failed and is asked again
                     tool_call     index, id and name in its first piece, arguments (the next fragment)
                     tool_result   index, state (started, done, failed, declined, unknown, skipped), and at
                                   the end of the call result and seconds
                     web_search    id, query, state (started, done, failed), engine: the provider searches
                     citation      url, title, at (where it belongs, in characters of the text)
                     approval      calls: those that wait for a decision (id, index, name, arguments)
                     heartbeat
    error          data: code, message, recoverable, partial (seq, text_chars)
    done           data: status, usage, timings

`seq` is the position after the event, see `output`. `metadata.reply` names the reply; it is missing in events
that concern the whole stream. Each event says where to resume: `seq` in a stream of one reply,
`metadata.after` in a stream of several.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from chat.api.output import TOOL_RESULT, Piece
from chat.live.reply_log import CITATION, TOOL_CALL, WEB_SEARCH, RetryWait
from chat.models import Generation, Message, Status
from chat.rendering.words import translated


@dataclass(frozen=True, slots=True)
class Event:
    type: str
    seq: int
    data: dict[str, Any]
    reply: UUID | None = None
    after: str = ""

    def as_json(self) -> dict[str, Any]:
        metadata = {"reply": str(self.reply)} if self.reply else {}
        if self.after:
            metadata["after"] = self.after
        return {"type": self.type, "seq": self.seq, "data": self.data, "metadata": metadata}

    @property
    def is_heartbeat(self) -> bool:
        return self.type == "metadata" and self.data["kind"] == "heartbeat"

    @property
    def text(self) -> str:
        """Returns the visible text."""
        return str(self.data["text"]) if "text" in self.data and self.data["kind"] == "text" else ""


# `encodings.Positions` sets `seq` or `after` in events of the whole stream.
HEARTBEAT = Event("metadata", 0, {"kind": "heartbeat"})


def started(message: Message, seq: int) -> Event:
    generation = message.generation
    data = {
        "kind": "start",
        "status": generation.status,
        "model": {"id": generation.model_id, "name": generation.model_label},
        "conversation": str(message.conversation_id),
    }
    return Event("metadata", seq, data, message.pk)


def of_piece(piece: Piece, type_: str, reply: UUID) -> Event:
    if piece.kind == TOOL_CALL:
        data = {"kind": "tool_call", **(piece.call or {}), "arguments": piece.text}
        return Event("metadata", piece.end, data, reply)
    if piece.kind == TOOL_RESULT:
        return Event("metadata", piece.end, {"kind": "tool_result", **(piece.call or {})}, reply)
    if piece.kind in (WEB_SEARCH, CITATION):
        return Event("metadata", piece.end, {"kind": piece.kind, **(piece.call or {})}, reply)
    return Event(type_, piece.end, {"kind": piece.kind, "text": piece.text}, reply)


def retrying(waiting: RetryWait, seq: int, reply: UUID) -> Event:
    data = {"kind": "retry", "attempt": waiting.attempt, "in_seconds": round(waiting.seconds, 3)}
    return Event("metadata", seq, data, reply)


def approval_needed(calls: list[dict[str, Any]], seq: int, reply: UUID) -> Event:
    """Says that the reply waits for decisions on these calls."""
    return Event("metadata", seq, {"kind": "approval", "calls": calls}, reply)


# After these the same reply can be continued or retried.
_ERRORS = (Status.INTERRUPTED, Status.FAILED, Status.REFUSED)


def ended(message: Message, seq: int) -> list[Event]:
    """Returns the last events of a reply that has ended: `done`, with `error` before it if it went wrong."""
    generation = message.generation
    events = []
    if generation.status in _ERRORS:
        error = {
            "code": generation.error_code or generation.status,
            "message": translated(generation.error_message) or generation.get_status_display(),
            "recoverable": generation.status != Status.REFUSED,
            "partial": {"seq": seq, "text_chars": len(message.text)},
        }
        events.append(Event("error", seq, error, message.pk))
    data = {"status": generation.status, "usage": usage_of(generation), "timings": timings_of(generation)}
    return [*events, Event("done", seq, data, message.pk)]


def stream_error(code: str, message: str, *, recoverable: bool) -> Event:
    """Returns the event that ends the whole stream before its replies have ended."""
    data = {"code": code, "message": message, "recoverable": recoverable, "partial": None}
    return Event("error", 0, data)


def usage_of(generation: Generation) -> dict[str, Any]:
    """Returns tokens, and the cost in US dollars as a decimal string. None where unknown."""
    return {
        "input_tokens": generation.input_tokens,
        "output_tokens": generation.output_tokens,
        "cached_input_tokens": generation.cached_input_tokens,
        "reasoning_tokens": generation.reasoning_tokens,
        "searches": generation.searches,
        "estimated": generation.usage_estimated,
        "cost": None if generation.cost is None else f"{generation.cost:f}",
    }


def timings_of(generation: Generation) -> dict[str, float | None]:
    """Returns durations in seconds."""
    return {
        "queued": generation.seconds_queued,
        "first_token": generation.seconds_to_first_token,
        "total": generation.seconds,
    }
