"""`POST /v1/chat/completions`: the Chat Completions API of OpenAI.

https://platform.openai.com/docs/api-reference/chat. As other servers do, answers have the readable reasoning
in `reasoning_content`.
"""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

import orjson

from chat.api.gateway.answers import CollectedAnswer, ParsedRequest, sse
from chat.api.gateway.chat_request import parse
from chat.api.gateway.failures import FailureError
from chat.api.gateway.openai_errors import error_body
from chat.providers.events import Outcome, ProviderEvent, ReasoningDelta, TextDelta, ToolCallDelta, Usage

__all__ = ["KEEP_ALIVE", "NAME", "OPTIONS", "parse", "response_body", "stream"]

NAME = "chat_completions"
KEEP_ALIVE = b": waiting\n\n"
OPTIONS = {"output_format": "response_format", "forced_tool": "tool_choice"}  # names that differ here
_FINISH_REASONS = {
    Outcome.LENGTH: "length",
    Outcome.TOOL_CALLS: "tool_calls",
    Outcome.REFUSED: "content_filter",
}


def stream(parsed: ParsedRequest, call_id: UUID, model: str) -> ChatStream:
    """Returns the writer of a stream."""
    return ChatStream(parsed, call_id, model)


class ChatStream:
    """Writes the chunks. What all of them share is encoded once."""

    def __init__(self, parsed: ParsedRequest, call_id: UUID, model: str) -> None:
        self._include_usage = parsed.details["include_usage"]
        self._head = {
            "id": f"chatcmpl-{call_id.hex}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
        }
        shared = orjson.dumps({**self._head, **({"usage": None} if self._include_usage else {})})[:-1]
        self._before = b"data: " + shared + b',"choices":[{"index":0,"delta":'
        self._after = b',"logprobs":null,"finish_reason":null}]}\n\n'
        self._calls: set[int] = set()

    def begin(self) -> bytes:
        return self._chunk({"role": "assistant", "content": ""})

    def feed(self, event: ProviderEvent) -> bytes:
        match event:
            case TextDelta(text):
                return self._chunk({"content": text})
            case ReasoningDelta(text) if text:
                return self._chunk({"reasoning_content": text})
            case ToolCallDelta():
                return self._chunk({"tool_calls": [self._call(event)]})
        return b""

    def end(self, answer: CollectedAnswer) -> bytes:
        reason = _FINISH_REASONS.get(answer.finished.outcome, "stop")
        last = self._before + b'{},"logprobs":null,"finish_reason":' + orjson.dumps(reason) + b"}]}\n\n"
        usage = sse({**self._head, "choices": [], "usage": usage_of(answer.usage)})
        return last + (usage if self._include_usage else b"") + b"data: [DONE]\n\n"

    def fail(self, failure: FailureError) -> bytes:
        return sse(error_body(failure))

    def _chunk(self, delta: dict[str, Any]) -> bytes:
        return self._before + orjson.dumps(delta) + self._after

    def _call(self, event: ToolCallDelta) -> dict[str, Any]:
        function = {"arguments": event.arguments}
        if event.index in self._calls:
            return {"index": event.index, "function": function}
        self._calls.add(event.index)
        named = {"name": event.name, **function}
        return {"index": event.index, "id": event.id, "type": "function", "function": named}


def response_body(
    parsed: ParsedRequest, call_id: UUID, model: str, answer: CollectedAnswer
) -> dict[str, Any]:
    """Returns the body of an answer that is not streamed."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None, "refusal": None}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if calls := answer.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in calls
        ]
    reason = _FINISH_REASONS.get(answer.finished.outcome, "stop")
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
    return {
        "id": f"chatcmpl-{call_id.hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [choice],
        "usage": usage_of(answer.usage),
    }


def usage_of(usage: Usage) -> dict[str, Any]:
    input_tokens, output_tokens = usage.input_tokens or 0, usage.output_tokens or 0
    return {
        "prompt_tokens": input_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
