"""The Responses wire format of OpenAI: request bodies and response events.

Nothing is stored at OpenAI (`store` is false), so reasoning arrives encrypted and is sent back unchanged.
https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from chat.parts import Citation, Opaque, WebSearch
from chat.providers import failures
from chat.providers.attachments import data_url, is_image, pieces, require_data, unreadable_error
from chat.providers.base import ChatRequest, File, OutputFormat, Turn
from chat.providers.events import (
    Finished,
    Outcome,
    ProviderEvent,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from chat.providers.opaque import opaque_of, position_of
from chat.providers.options import refuse
from chat.providers.sse import Decoder, string

KIND = "openai"


def responses_body(request: ChatRequest) -> dict[str, Any]:
    """Returns the JSON body. Reasoning is requested for models with the name of a reasoning model."""
    refuse(request, "stop", "top_k", "seed", "presence_penalty", "frequency_penalty")
    body: dict[str, Any] = {
        "model": request.model,
        "input": [item for turn in request.turns for item in _items(turn, request.model)],
        "stream": True,
        "store": False,
        "stream_options": {"include_obfuscation": False},
    }
    if request.system:
        body["instructions"] = request.system
    if request.max_output_tokens is not None:
        body["max_output_tokens"] = max(16, request.max_output_tokens)  # the API's own minimum
    for name in ("temperature", "top_p", "parallel_tool_calls"):
        if (value := getattr(request, name)) is not None:
            body[name] = value
    if request.output_format is not None:
        body["text"] = {"format": _format(request.output_format)}
    if request.forced_tool:
        body["tool_choice"] = {"type": "function", "name": request.forced_tool}
    elif request.tool_choice is not None:
        body["tool_choice"] = request.tool_choice
    if reasons(request.model):
        body["reasoning"] = {"summary": "auto"}
        body["include"] = ["reasoning.encrypted_content"]
    if request.reasoning_effort is not None:
        body["reasoning"] = {**body.get("reasoning", {}), "effort": request.reasoning_effort}
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": dict(tool.parameters),
                "strict": tool.strict,
            }
            for tool in request.tools
        ]
    if request.web_searches:
        body["tools"] = [*body.get("tools", []), {"type": "web_search"}]
        body["max_tool_calls"] = request.web_searches  # of the tools that OpenAI runs
    return body


def _format(output: OutputFormat) -> dict[str, Any]:
    if output.schema is None:
        return {"type": "json_object"}
    schema: dict[str, Any] = {"type": "json_schema", "name": output.name, "schema": dict(output.schema)}
    if output.description:
        schema["description"] = output.description
    return schema if output.strict is None else {**schema, "strict": output.strict}


def reasons(model: str) -> bool:
    """Returns whether this is the name of a reasoning model: of the o series, or of GPT 5 and later, except
    its chat models."""
    return bool(re.match(r"o\d|gpt-([5-9]|\d\d)", model)) and "-chat" not in model


class ResponsesDecoder(Decoder):
    """Reads the events of a response. Skips events whose sequence number was read before."""

    def __init__(self, model: str = "", secrets: tuple[str, ...] = ()) -> None:
        super().__init__(secrets)
        self._model = model
        self._last_number = -1
        self._call_indexes: dict[int, int] = {}  # output_index -> call index
        self._characters = 0  # of the visible text so far
        self._part_starts = 0  # the length of the text before the current part
        self._refused = False

    def events(self, payload: Any) -> Sequence[ProviderEvent]:
        number = payload.get("sequence_number")
        if number is not None:
            if number <= self._last_number:
                return ()
            self._last_number = number
        match payload.get("type"):
            case "response.output_text.delta":
                return (self._text(payload["delta"]),)
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                return (ReasoningDelta(string(payload["delta"])),)
            case "response.reasoning_summary_part.added" if payload.get("summary_index"):
                return (ReasoningDelta("\n\n"),)
            case "response.refusal.delta":
                self._refused = True
                return (self._text(payload["delta"]),)
            case "response.content_part.added":
                self._part_starts = self._characters
            case "response.output_text.annotation.added":
                return self._cite(payload["annotation"])
            case "response.output_item.added":
                self._part_starts = self._characters
                return self._start_item(payload["output_index"], payload["item"])
            case "response.function_call_arguments.delta":
                index = self._call_indexes[payload["output_index"]]
                return (ToolCallDelta(index, string(payload["delta"])),)
            case "response.output_item.done":
                return self._end_item(payload["item"])
            case "response.completed" | "response.incomplete":
                return self._finish(payload["response"])
            case "response.failed":
                raise failures.from_stream(payload["response"].get("error"), secrets=self.secrets)
            case "error":
                # `type` is the type of the event. The fields of the error are beside it or in `error`.
                error = payload.get("error") or {
                    "code": payload.get("code"),
                    "message": payload.get("message"),
                }
                raise failures.from_stream(error, secrets=self.secrets)
            case None if payload.get("error"):
                raise failures.from_stream(payload, secrets=self.secrets)
        return ()

    def _text(self, delta: Any) -> TextDelta:
        text = string(delta)
        self._characters += len(text)
        return TextDelta(text)

    def _cite(self, annotation: Any) -> Sequence[ProviderEvent]:
        """Returns the citation of an annotation, whose indexes count the characters of its part."""
        if annotation.get("type") != "url_citation":
            return ()
        end = annotation.get("end_index")
        at = self._part_starts + end if isinstance(end, int) else None
        return (Citation(string(annotation["url"]), string(annotation.get("title") or ""), at),)

    def _start_item(self, output_index: int, item: Any) -> Sequence[ProviderEvent]:
        if item.get("type") == "web_search_call":
            return (WebSearch(string(item["id"]), query_of(item)),)
        if item.get("type") != "function_call":
            return ()
        index = self._call_indexes.setdefault(output_index, len(self._call_indexes))
        return (ToolCallDelta(index, item.get("arguments") or "", id=item["call_id"], name=item["name"]),)

    def _end_item(self, item: Any) -> Sequence[ProviderEvent]:
        kept: dict[str, Any] | None = None
        if item.get("type") == "reasoning" and item.get("encrypted_content"):
            kept = {"item": item}
        elif item.get("type") == "message" and item.get("phase"):
            kept = {"phase": item["phase"]}
        elif item.get("type") == "web_search_call":  # must follow its reasoning when that is sent back
            kept = {"item": item}
        if kept is None:
            return ()
        position = position_of(has_text=self._characters > 0, calls=len(self._call_indexes))
        ended: list[ProviderEvent] = []
        if item.get("type") == "web_search_call":
            state = "done" if item.get("status") in ("completed", None) else "failed"
            ended.append(WebSearch(string(item["id"]), query_of(item), state))
        return (
            *ended,
            Opaque(KIND, {"kind": KIND, "model": self._model, **position, **kept}),
        )

    def _finish(self, response: Any) -> Sequence[ProviderEvent]:
        reason = (response.get("incomplete_details") or {}).get("reason") or response.get("status") or ""
        if self._refused or reason == "content_filter":
            outcome = Outcome.REFUSED
        elif response.get("status") == "incomplete":
            outcome = Outcome.LENGTH
        elif self._call_indexes:
            outcome = Outcome.TOOL_CALLS
        else:
            outcome = Outcome.COMPLETE
        self.finished = Finished(outcome, reason)
        self.done = True
        usage = response.get("usage")
        return (_usage(usage),) if usage else ()


def query_of(item: Any) -> str:
    """Returns the query of a `web_search_call`, or the address of the page that the model opens."""
    action = item.get("action") or {}
    queries = action.get("queries") or ()
    found = action.get("query") or ", ".join(map(string, queries)) or action.get("url") or ""
    return string(found)


def _items(turn: Turn, model: str) -> Iterator[dict[str, Any]]:
    for result in turn.tool_results:
        yield {"type": "function_call_output", "call_id": result.call_id, "output": result.text}
    if turn.role == "system":
        yield {"role": "system", "content": turn.text}
        return
    if turn.role == "user":
        if turn.text or turn.files:
            yield {"role": "user", "content": _content(turn)}
        return
    kept = opaque_of(turn, KIND, model)
    yield from (data["item"] for data in kept.before_text if "item" in data)
    if turn.text:
        phases = [data["phase"] for data in kept.all if "phase" in data]
        message = {"role": "assistant", "content": turn.text}
        yield {**message, "phase": phases[-1]} if phases else message
    for number, call in enumerate(turn.tool_calls):
        yield from (data["item"] for data in kept.before_call(number) if "item" in data)
        arguments = call.arguments or "{}"
        yield {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": arguments}


def _content(turn: Turn) -> str | list[dict[str, Any]]:
    parts = list(pieces(turn))
    if all(isinstance(part, str) for part in parts):
        return "".join(map(str, parts))
    return [{"type": "input_text", "text": part} if isinstance(part, str) else _file(part) for part in parts]


def _file(file: File) -> dict[str, Any]:
    if is_image(file):
        return {"type": "input_image", "image_url": file.url or data_url(file), "detail": file.detail}
    if file.media_type == "application/pdf":
        name = file.name or "document.pdf"
        return {"type": "input_file", "filename": name, "file_data": data_url(require_data(file))}
    raise unreadable_error(file)


def _usage(usage: Any) -> Usage:
    return Usage(
        input_tokens=int(usage["input_tokens"]),
        output_tokens=int(usage["output_tokens"]),
        cached_input_tokens=int((usage.get("input_tokens_details") or {}).get("cached_tokens") or 0),
        reasoning_tokens=int((usage.get("output_tokens_details") or {}).get("reasoning_tokens") or 0),
    )
