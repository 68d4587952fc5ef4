"""`POST /v1/responses`: the Responses API of OpenAI.

https://platform.openai.com/docs/api-reference/responses. No response is stored, so a program sends the whole
conversation each time, with the encrypted reasoning if it asked for it.
"""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

import orjson

from chat.api.gateway.answers import CollectedAnswer, ParsedRequest, sse
from chat.api.gateway.failures import FailureError
from chat.api.gateway.responses_request import KIND, parse
from chat.parts import Opaque
from chat.providers.events import Outcome, ProviderEvent, ReasoningDelta, TextDelta, ToolCallDelta, Usage

__all__ = ["KEEP_ALIVE", "NAME", "OPTIONS", "parse", "response_body", "stream"]

NAME = "responses"
KEEP_ALIVE = b": waiting\n\n"
OPTIONS = {"output_format": "text.format", "forced_tool": "tool_choice"}  # names that differ here
_INCOMPLETE = {Outcome.LENGTH: "max_output_tokens", Outcome.REFUSED: "content_filter"}

type Item = dict[str, Any]


def stream(parsed: ParsedRequest, call_id: UUID, model: str) -> ResponseStream:
    """Returns the writer of a stream."""
    return ResponseStream(parsed, call_id, model)


def response_body(
    parsed: ParsedRequest, call_id: UUID, model: str, answer: CollectedAnswer
) -> dict[str, Any]:
    """Returns the body of an answer that is not streamed."""
    writer = ResponseStream(parsed, call_id, model)
    for event in answer.events:
        writer.feed(event)
    writer.close()
    return writer.response(answer)


class ResponseStream:
    """Writes the events. A response is a list of items, each of which is added, grows and is done."""

    def __init__(self, parsed: ParsedRequest, call_id: UUID, model: str) -> None:
        self._parsed, self._model, self._id = parsed, model, call_id.hex
        self._created = int(time.time())
        self._number = 1  # of the last event; `begin` has the first two
        self._output: list[Item] = []
        self._indexes: dict[str, int] = {}  # of the items, by id
        self._texts: list[str] = []  # of the open item, joined at its end
        self._calls: dict[int, Item] = {}
        self._is_open = False
        self._before_text = b""

    def begin(self) -> bytes:
        response = self._response("in_progress", output=[])  # the first item may be open already
        kinds = enumerate(("response.created", "response.in_progress"))
        return b"".join(
            sse({"type": kind, "sequence_number": number, "response": response}, kind)
            for number, kind in kinds
        )

    def feed(self, event: ProviderEvent) -> bytes:
        match event:
            case TextDelta(text):
                return self._add_text(text)
            case ReasoningDelta(text) if text and self._parsed.details["summarizes"]:
                return self._add_reasoning(text)
            case ToolCallDelta():
                return self._add_call(event)
            case Opaque(kind, data) if kind == KIND:
                return self._add_opaque(data)
        return b""

    def end(self, answer: CollectedAnswer) -> bytes:
        closed = self.close()
        response = self.response(answer)
        return closed + self._event(f"response.{response['status']}", response=response)

    def fail(self, failure: FailureError) -> bytes:
        code = "rate_limit_exceeded" if failure.status == 429 else "server_error"
        error = {"code": code, "message": f"{failure.message} ({failure.code})"}
        return self.close() + self._event("response.failed", response=self._response("failed", error=error))

    def response(self, answer: CollectedAnswer) -> dict[str, Any]:
        """Returns the finished response."""
        reason = _INCOMPLETE.get(answer.finished.outcome)
        details = {"incomplete_details": {"reason": reason}} if reason else {}
        status = "incomplete" if reason else "completed"
        return self._response(status, usage=usage_of(answer.usage), **details)

    def close(self) -> bytes:
        """Ends the open item."""
        if not self._is_open:
            return b""
        self._is_open = False
        item, text = self._output[-1], "".join(self._texts)
        self._texts = []
        place = self._place(item)
        data = b""
        if item["type"] == "message":
            part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
            item["content"] = [part]
            data += self._event("response.output_text.done", **place, content_index=0, text=text, logprobs=[])
            data += self._event("response.content_part.done", **place, content_index=0, part=part)
        elif item["type"] == "reasoning":
            if text:
                part = {"type": "summary_text", "text": text}
                item["summary"] = [part]
                place["summary_index"] = 0
                data += self._event("response.reasoning_summary_text.done", **place, text=text)
                data += self._event("response.reasoning_summary_part.done", **place, part=part)
        else:
            item["arguments"] = text or "{}"
            done = {"name": item["name"], "arguments": item["arguments"]}
            data += self._event("response.function_call_arguments.done", **place, **done)
        item["status"] = "completed"
        return data + self._event("response.output_item.done", output_index=len(self._output) - 1, item=item)

    def _add_text(self, text: str) -> bytes:
        opened = b""
        if not self._is("message"):
            opened = self._open({"type": "message", "role": "assistant", "content": []}, "msg")
            place = {**self._place(self._output[-1]), "content_index": 0}
            part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            opened += self._event("response.content_part.added", **place, part=part)
            shared = orjson.dumps({"type": "response.output_text.delta", **place, "logprobs": []})[:-1]
            self._before_text = b"event: response.output_text.delta\ndata: " + shared + b',"delta":'
        self._texts.append(text)
        self._number += 1
        return opened + self._before_text + orjson.dumps(text) + b',"sequence_number":%d}\n\n' % self._number

    def _add_reasoning(self, text: str) -> bytes:
        opened = b""
        if not self._is("reasoning"):
            opened = self._open({"type": "reasoning", "summary": []}, "rs")
        place = {**self._place(self._output[-1]), "summary_index": 0}
        if not self._texts:
            part = {"type": "summary_text", "text": ""}
            opened += self._event("response.reasoning_summary_part.added", **place, part=part)
        self._texts.append(text)
        return opened + self._event("response.reasoning_summary_text.delta", **place, delta=text)

    def _add_call(self, event: ToolCallDelta) -> bytes:
        opened = b""
        item = self._calls.get(event.index)
        if item is None:
            item = {"type": "function_call", "call_id": event.id, "name": event.name, "arguments": ""}
            opened = self._open(item, "fc")
            self._calls[event.index] = item
        if not event.arguments:
            return opened
        if item["status"] == "completed":
            item["arguments"] += event.arguments
        else:
            self._texts.append(event.arguments)
        delta = self._event(
            "response.function_call_arguments.delta", **self._place(item), delta=event.arguments
        )
        return opened + delta

    def _add_opaque(self, data: dict[str, Any]) -> bytes:
        if "phase" in data and self._is("message"):
            self._output[-1]["phase"] = data["phase"]
        if "item" not in data or not self._parsed.details["encrypted"]:
            return b""
        opened = b"" if self._is("reasoning") else self._open({"type": "reasoning", "summary": []}, "rs")
        # With the provider's own id, which goes back with it. The program has seen another one.
        kept = data["item"]
        self._output[-1]["encrypted_content"] = f"{kept.get('id', '')}:{kept['encrypted_content']}"
        return opened + self.close()

    def _is(self, kind: str) -> bool:
        return self._is_open and self._output[-1]["type"] == kind

    def _open(self, item: Item, prefix: str) -> bytes:
        closed = self.close()
        item["id"] = f"{prefix}_{self._id}{len(self._output)}"
        item["status"] = "in_progress"
        self._indexes[item["id"]] = len(self._output)
        self._output.append(item)
        self._is_open = True
        return closed + self._event(
            "response.output_item.added", output_index=len(self._output) - 1, item=item
        )

    def _place(self, item: Item) -> dict[str, Any]:
        return {"item_id": item["id"], "output_index": self._indexes[item["id"]]}

    def _event(self, kind: str, **fields: Any) -> bytes:
        self._number += 1
        return sse({"type": kind, "sequence_number": self._number, **fields}, kind)

    def _response(self, status: str, **more: Any) -> dict[str, Any]:
        request = self._parsed.request
        return {
            "id": f"resp_{self._id}",
            "object": "response",
            "created_at": self._created,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "max_output_tokens": request.max_output_tokens,
            "model": self._model,
            "output": self._output,
            "parallel_tool_calls": request.parallel_tool_calls is not False,
            "previous_response_id": None,
            "store": False,
            "temperature": request.temperature,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_p": request.top_p,
            "truncation": "disabled",
            "usage": None,
            "metadata": {},
            **self._parsed.details["echo"],
            **more,
        }


def usage_of(usage: Usage) -> dict[str, Any]:
    input_tokens, output_tokens = usage.input_tokens or 0, usage.output_tokens or 0
    return {
        "input_tokens": input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_input_tokens, "cache_write_tokens": 0},
        "output_tokens": output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": input_tokens + output_tokens,
    }
