"""`POST /v1/messages`: the Messages API of Anthropic.

https://platform.claude.com/docs/en/api/messages. Reasoning is part of an answer only if the request turns
thinking on, as there. Its signatures come from Anthropic's models, and go back to the same model only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson

from chat.api.gateway.answers import CollectedAnswer, ParsedRequest, sse
from chat.api.gateway.anthropic_errors import error_body
from chat.api.gateway.failures import FailureError
from chat.api.gateway.messages_request import KIND, parse
from chat.parts import Opaque, ToolCall
from chat.providers.events import (
    Finished,
    Outcome,
    ProviderEvent,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
)

__all__ = ["KEEP_ALIVE", "NAME", "OPTIONS", "parse", "response_body", "stream"]

NAME = "messages"
KEEP_ALIVE = b'event: ping\ndata: {"type":"ping"}\n\n'
OPTIONS = {
    "output_format": "output_config.format",
    "forced_tool": "tool_choice",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    "stop": "stop_sequences",
}  # names that differ here
_STOP_REASONS = {
    Outcome.LENGTH: "max_tokens",
    Outcome.TOOL_CALLS: "tool_use",
    Outcome.REFUSED: "refusal",
    Outcome.PAUSED: "pause_turn",
}


def stream(parsed: ParsedRequest, call_id: UUID, model: str) -> MessageStream:
    """Returns the writer of a stream."""
    return MessageStream(parsed, call_id, model)


class MessageStream:
    """Writes the events. A message is a list of blocks, each of which starts and stops."""

    def __init__(self, parsed: ParsedRequest, call_id: UUID, model: str) -> None:
        self._parsed, self._model, self._id = parsed, model, _id_of(call_id)
        self._usage = Usage()
        self._block = ""  # the kind of the open block
        self._index = -1
        self._calls: dict[int, int] = {}  # index of a call -> of its block
        self._before_text = b""

    def begin(self) -> bytes:
        message: dict[str, Any] = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {**usage_of(self._usage), "output_tokens": 0},
        }
        return _event("message_start", message=message)

    def feed(self, event: ProviderEvent) -> bytes:
        match event:
            case TextDelta(text):
                opened = self._open("text", {"type": "text", "text": ""}) if self._block != "text" else b""
                return opened + self._before_text + orjson.dumps(text) + b"}}\n\n"
            case ReasoningDelta(text) if text and self._parsed.details["thinks"]:
                return self._thinking() + self._delta({"type": "thinking_delta", "thinking": text})
            case ToolCallDelta():
                return self._call(event)
            case Opaque(kind, data) if kind == KIND and self._parsed.details["thinks"]:
                return self._signed(data["block"])
            case Usage():
                self._usage = event
        return b""

    def end(self, answer: CollectedAnswer) -> bytes:
        delta = _stop(answer.finished, self._parsed.details["stop"])
        closing = self._close() + _event("message_delta", delta=delta, usage=usage_of(answer.usage))
        return closing + _event("message_stop")

    def fail(self, failure: FailureError) -> bytes:
        return sse(error_body(failure), "error")

    def _open(self, kind: str, block: dict[str, Any]) -> bytes:
        closed = self._close()
        self._block = kind
        self._index += 1
        self._before_text = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
            b'"delta":{"type":"text_delta","text":' % self._index
        )
        return closed + _event("content_block_start", index=self._index, content_block=block)

    def _close(self) -> bytes:
        if not self._block:
            return b""
        self._block = ""
        return _event("content_block_stop", index=self._index)

    def _delta(self, delta: dict[str, Any], index: int | None = None) -> bytes:
        return _event("content_block_delta", index=self._index if index is None else index, delta=delta)

    def _thinking(self) -> bytes:
        if self._block == "thinking":
            return b""
        return self._open("thinking", {"type": "thinking", "thinking": "", "signature": ""})

    def _signed(self, block: dict[str, Any]) -> bytes:
        if block["type"] == "redacted_thinking":
            return self._open("redacted_thinking", block) + self._close()
        signature = self._delta({"type": "signature_delta", "signature": block["signature"]})
        return self._thinking() + signature + self._close()

    def _call(self, event: ToolCallDelta) -> bytes:
        opened = b""
        if event.index not in self._calls:
            block: dict[str, Any] = {"type": "tool_use", "id": event.id, "name": event.name, "input": {}}
            opened = self._open("tool_use", block)
            self._calls[event.index] = self._index
        if not event.arguments:
            return opened
        delta = {"type": "input_json_delta", "partial_json": event.arguments}
        return opened + self._delta(delta, self._calls[event.index])


def response_body(
    parsed: ParsedRequest, call_id: UUID, model: str, answer: CollectedAnswer
) -> dict[str, Any]:
    """Returns the body of an answer that is not streamed. Raises `FailureError` for a tool call whose
    arguments are no JSON."""
    content: list[dict[str, Any]] = []
    if parsed.details["thinks"]:
        content += _thoughts(answer)
    if answer.text:
        content.append({"type": "text", "text": answer.text})
    for call in answer.calls:
        content.append({"type": "tool_use", "id": call.id, "name": call.name, "input": _input(call)})
    return {
        "id": _id_of(call_id),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        **_stop(answer.finished, parsed.details["stop"]),
        "usage": usage_of(answer.usage),
    }


def _thoughts(answer: CollectedAnswer) -> list[dict[str, Any]]:
    signed = [part.data["block"] for part in answer.opaque if part.kind == KIND]
    if signed or not answer.reasoning:
        return signed
    return [{"type": "thinking", "thinking": answer.reasoning, "signature": ""}]


def _input(call: ToolCall) -> Any:
    try:
        return orjson.loads(call.arguments)
    except orjson.JSONDecodeError:
        raise FailureError(
            502, "The model called a tool with arguments that are no JSON.", "malformed"
        ) from None


def usage_of(usage: Usage) -> dict[str, Any]:
    cached = usage.cached_input_tokens
    return {
        "input_tokens": max(0, (usage.input_tokens or 0) - cached),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": usage.output_tokens or 0,
    }


def _stop(finished: Finished, stop: Sequence[str]) -> dict[str, Any]:
    if finished.raw_reason == "stop_sequence":  # which of several is not known
        return {"stop_reason": "stop_sequence", "stop_sequence": stop[0] if len(stop) == 1 else None}
    return {"stop_reason": _STOP_REASONS.get(finished.outcome, "end_turn"), "stop_sequence": None}


def _id_of(call_id: UUID) -> str:
    return f"msg_{call_id.hex}"


def _event(kind: str, **fields: Any) -> bytes:
    return sse({"type": kind, **fields}, kind)
