"""The Chat Completions wire format: request bodies and response chunks.

Used by OpenAI and, with variations, by most other servers.
https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from chat.parts import Citation
from chat.providers import failures
from chat.providers.attachments import (
    base64_of,
    data_url,
    generated_file,
    is_image,
    pieces,
    require_data,
    unreadable_error,
)
from chat.providers.base import ChatRequest, File, OutputFormat, Tool, Turn
from chat.providers.errors import UnavailableError
from chat.providers.events import (
    Finished,
    Outcome,
    ProviderEvent,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from chat.providers.sse import Decoder, string

AUDIO_FORMATS = {"audio/wav": "wav", "audio/mpeg": "mp3"}  # by media type


def chat_body(request: ChatRequest, *, limit_name: str) -> dict[str, Any]:
    """Returns the JSON body. `limit_name` is `max_completion_tokens`, or the older `max_tokens`."""
    messages: list[dict[str, Any]] = []
    if request.system:
        messages.append({"role": "system", "content": request.system})
    for turn in request.turns:
        messages.extend(_messages(turn))
    body: dict[str, Any] = {
        "model": request.model,
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.max_output_tokens is not None:
        body[limit_name] = request.max_output_tokens
    for name in _OPTIONS:
        if (value := getattr(request, name)) is not None:
            body[name] = value
    if request.stop:
        body["stop"] = list(request.stop)
    if request.output_format is not None:
        body["response_format"] = _response_format(request.output_format)
    if request.tools:
        body["tools"] = [{"type": "function", "function": _function(tool)} for tool in request.tools]
    if request.forced_tool:
        body["tool_choice"] = {"type": "function", "function": {"name": request.forced_tool}}
    elif request.tool_choice is not None:
        body["tool_choice"] = request.tool_choice
    if request.web_searches:
        body["web_search_options"] = {}  # the API has no limit: one request is one search
    return body


# Options of `ChatRequest` with the same name here.
_OPTIONS = (
    "temperature",
    "top_p",
    "top_k",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "reasoning_effort",
    "parallel_tool_calls",
)


def _function(tool: Tool) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
    }
    return {**function, "strict": True} if tool.strict else function


def _response_format(output: OutputFormat) -> dict[str, Any]:
    if output.schema is None:
        return {"type": "json_object"}
    schema: dict[str, Any] = {"name": output.name, "schema": dict(output.schema)}
    if output.description:
        schema["description"] = output.description
    if output.strict is not None:
        schema["strict"] = output.strict
    return {"type": "json_schema", "json_schema": schema}


class ChatDecoder(Decoder):
    """Reads `chat.completion.chunk` values. Reads only the first choice, because only one is requested."""

    def __init__(self, secrets: tuple[str, ...] = ()) -> None:
        super().__init__(secrets)
        self._call_ids: dict[int, str] = {}
        self._refused = False

    def events(self, payload: Any) -> Sequence[ProviderEvent]:
        if payload.get("error") or payload.get("object") == "error":
            raise failures.from_stream(payload, secrets=self.secrets)
        events: list[ProviderEvent] = []
        for choice in payload.get("choices") or ():
            if not choice.get("index"):
                self._read_choice(choice, events)
        if usage := payload.get("usage"):
            events.append(_usage(usage))
        return events

    def read_text(self, content: Any, events: list[ProviderEvent]) -> None:
        """Appends the events of a delta's `content`, here plain text."""
        if content:
            events.append(TextDelta(string(content)))

    def _read_choice(self, choice: Any, events: list[ProviderEvent]) -> None:
        delta = choice.get("delta") or choice.get("message") or {}
        if reasoning := delta.get("reasoning_content") or delta.get("reasoning"):
            events.append(ReasoningDelta(string(reasoning)))
        self.read_text(delta.get("content"), events)
        if refusal := delta.get("refusal"):
            self._refused = True
            events.append(TextDelta(string(refusal)))
        for image in delta.get("images") or ():  # of OpenRouter and LiteLLM
            events.append(generated_file(string(image["image_url"]["url"])))
        for annotation in delta.get("annotations") or ():
            if annotation.get("type") == "url_citation":
                events.append(_citation(annotation["url_citation"]))
        for call in delta.get("tool_calls") or ():
            events.append(self._tool_call(call))
        if reason := choice.get("finish_reason"):
            self._finish(string(reason))

    def _tool_call(self, call: Any) -> ToolCallDelta:
        """Returns a piece of a tool call. Some servers repeat `id` and `name`, or leave out the index."""
        call_id, function = call.get("id") or "", call.get("function") or {}
        index = call.get("index")
        if index is None:
            index = max(self._call_ids, default=-1)
            if index < 0 or (call_id and call_id != self._call_ids[index]):
                index += 1
        arguments = string(function.get("arguments") or "")
        if index in self._call_ids:
            return ToolCallDelta(index, arguments)
        self._call_ids[index] = call_id or f"call_{index}"
        return ToolCallDelta(
            index, arguments, id=self._call_ids[index], name=string(function.get("name") or "")
        )

    def _finish(self, reason: str) -> None:
        word = reason.lower()
        if word in {"error", "internal_error"}:
            raise UnavailableError(detail=f"finish_reason {reason!r}")
        if word in {"abort", "aborted", "cancelled", "canceled"}:
            return  # the server stopped the answer, not the model
        if self._refused or word in {"content_filter", "refusal", "safety"}:
            outcome = Outcome.REFUSED
        elif word in {"length", "max_tokens", "model_length"}:
            outcome = Outcome.LENGTH
        elif self._call_ids:  # some servers say "stop" here
            outcome = Outcome.TOOL_CALLS
        else:
            outcome = Outcome.COMPLETE
        self.finished = Finished(outcome, reason)


def _citation(citation: Any) -> Citation:
    end = citation.get("end_index")
    title = string(citation.get("title") or "")
    return Citation(string(citation["url"]), title, end if isinstance(end, int) else None)


def _messages(turn: Turn) -> Iterator[dict[str, Any]]:
    author = {"name": turn.name} if turn.name else {}
    for result in turn.tool_results:
        yield {"role": "tool", "tool_call_id": result.call_id, "content": result.text}
    if turn.role == "assistant":
        message: dict[str, Any] = {"role": "assistant", **author, "content": turn.text}
        if turn.tool_calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments or "{}"},
                }
                for call in turn.tool_calls
            ]
        yield message
    elif turn.role == "system":
        yield {"role": "system", **author, "content": turn.text}
    elif turn.text or turn.files:
        yield {"role": "user", **author, "content": _content(turn)}


def _content(turn: Turn) -> str | list[dict[str, Any]]:
    parts = list(pieces(turn))
    if all(isinstance(part, str) for part in parts):
        return "".join(map(str, parts))
    return [{"type": "text", "text": part} if isinstance(part, str) else _file(part) for part in parts]


def _file(file: File) -> dict[str, Any]:
    if is_image(file):
        image = {"url": file.url or data_url(file)}
        return {
            "type": "image_url",
            "image_url": image if file.detail == "auto" else {**image, "detail": file.detail},
        }
    if file.media_type == "application/pdf":
        document = {"filename": file.name or "document.pdf", "file_data": data_url(require_data(file))}
        return {"type": "file", "file": document}
    if sound := AUDIO_FORMATS.get(file.media_type):
        audio = {"data": base64_of(require_data(file)), "format": sound}
        return {"type": "input_audio", "input_audio": audio}
    raise unreadable_error(file)


def _usage(usage: Any) -> Usage:
    details = usage.get("completion_tokens_details") or {}
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
    return Usage(
        input_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
        cached_input_tokens=_count(cached or usage.get("prompt_cache_hit_tokens")) or 0,
        reasoning_tokens=_count(details.get("reasoning_tokens")) or 0,
    )


def _count(value: Any) -> int | None:
    return None if value is None else int(value)
