"""The generateContent wire format of Gemini: request bodies and response chunks.

https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

import orjson

from chat.parts import Citation, Opaque, ToolCall, WebSearch
from chat.providers import failures
from chat.providers.attachments import base64_of, generated_file, pieces, require_data, unreadable_error
from chat.providers.base import ChatRequest, File, Turn
from chat.providers.errors import InvalidRequestError, MalformedStreamError, UnsupportedOptionError
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
from chat.providers.options import refuse_system_turns
from chat.providers.sse import Decoder, string

KIND = "gemini"
_MOST_QUERIES = 50  # of one chunk, which may repeat earlier ones
_MOST_PAGES = 200  # of one chunk, and as many texts that they support
_MOST_SUPPORTS = 2_000  # of one answer
_MOST_COMPARED = 200  # characters of a supported text
_OUR_ID = "steady-"  # begins the id of a tool call to which Gemini gave none; it is not sent back


def content_body(request: ChatRequest) -> dict[str, Any]:
    """Returns the JSON body."""
    refuse_system_turns(request)
    if request.parallel_tool_calls is False:
        raise UnsupportedOptionError("parallel_tool_calls")
    names = {call.id: call.name for turn in request.turns for call in turn.tool_calls}
    contents = [content for turn in request.turns if (content := _content(turn, request.model, names))]
    body: dict[str, Any] = {"contents": contents}
    if request.system:
        body["systemInstruction"] = {"parts": [{"text": request.system}]}
    config = {
        theirs: value for ours, theirs in _OPTIONS.items() if (value := getattr(request, ours)) is not None
    }
    if request.stop:
        config["stopSequences"] = list(request.stop)
    if request.output_format is not None:
        config["responseMimeType"] = "application/json"
        if request.output_format.schema is not None:
            config["responseJsonSchema"] = dict(request.output_format.schema)
    if thinking := _thinking(request):
        config["thinkingConfig"] = thinking
    if config:
        body["generationConfig"] = config
    if request.tools:
        declarations = [
            {
                "name": tool.name,
                "description": tool.description,
                "parametersJsonSchema": dict(tool.parameters),
            }
            for tool in request.tools
        ]
        body["tools"] = [{"functionDeclarations": declarations}]
        if request.forced_tool:
            calling = {"mode": "ANY", "allowedFunctionNames": [request.forced_tool]}
            body["toolConfig"] = {"functionCallingConfig": calling}
        elif request.tool_choice is not None:
            mode = {"auto": "AUTO", "none": "NONE", "required": "ANY"}[request.tool_choice]
            body["toolConfig"] = {"functionCallingConfig": {"mode": mode}}
    if request.web_searches:  # the API has no limit
        body["tools"] = [*body.get("tools", []), {"googleSearch": {}}]
    return body


_OPTIONS = {
    "max_output_tokens": "maxOutputTokens",
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}


class ContentDecoder(Decoder):
    """Reads `GenerateContentResponse` values. Reads only the first candidate, because only one is
    requested."""

    def __init__(self, model: str = "", secrets: tuple[str, ...] = ()) -> None:
        super().__init__(secrets)
        self._model = model
        self._calls = 0
        self._texts: list[str] = []
        self._searched: set[str] = set()
        self._cited: set[tuple[str, int | None]] = set()
        self._supports_left = _MOST_SUPPORTS
        self._usage: Usage | None = None

    def events(self, payload: Any) -> Sequence[ProviderEvent]:
        if payload.get("error"):
            raise failures.from_stream(payload, secrets=self.secrets)
        events: list[ProviderEvent] = []
        for candidate in payload.get("candidates") or ():
            if not candidate.get("index"):
                for part in (candidate.get("content") or {}).get("parts") or ():
                    self._read_part(part, events)
                if grounding := candidate.get("groundingMetadata"):
                    events.extend(self._grounded(grounding))
                if reason := candidate.get("finishReason"):
                    self._finish(string(reason))
        if reason := (payload.get("promptFeedback") or {}).get("blockReason"):
            self.finished = Finished(Outcome.REFUSED, string(reason))
        if (usage := payload.get("usageMetadata")) and (counted := _usage(usage)) != self._usage:
            self._usage = counted
            events.append(counted)
        return events

    def _read_part(self, part: Any, events: list[ProviderEvent]) -> None:
        call = part.get("functionCall")
        if signature := part.get("thoughtSignature"):
            position = position_of(has_text=bool(self._texts), calls=self._calls)
            kept = {"signature": string(signature), "on": "text" if call is None else "call"}
            events.append(Opaque(KIND, {"kind": KIND, "model": self._model, **position, **kept}))
        if call is not None:
            arguments = orjson.dumps(call.get("args") or {}).decode()
            call_id = call.get("id") or f"{_OUR_ID}{uuid4().hex}"
            events.append(ToolCallDelta(self._calls, arguments, id=call_id, name=string(call["name"])))
            self._calls += 1
        elif (file := part.get("inlineData")) and not part.get("thought"):
            events.append(generated_file(string(file["data"])))
        elif text := part.get("text"):
            if part.get("thought"):
                events.append(ReasoningDelta(string(text)))
            else:
                self._texts.append(string(text))
                events.append(TextDelta(text))

    def _grounded(self, grounding: Any) -> Iterator[ProviderEvent]:
        """Yields new searches and citations. They arrive with or after the text, and later chunks may repeat
        them."""
        for query in (grounding.get("webSearchQueries") or [])[:_MOST_QUERIES]:
            if query not in self._searched:
                self._searched.add(string(query))
                # Google's terms require its search suggestions to be shown. They are HTML of Google. The page
                # shows links with the queries instead.
                yield WebSearch(uuid4().hex, query, "done", "google")
        pages = [chunk.get("web") or {} for chunk in (grounding.get("groundingChunks") or [])[:_MOST_PAGES]]
        supports = (grounding.get("groundingSupports") or [])[: min(_MOST_PAGES, self._supports_left)]
        self._supports_left -= len(supports)
        answer = "".join(self._texts) if supports else ""
        encoded = answer.encode(errors="replace")
        for support in supports:
            at = _end_of(support.get("segment") or {}, answer, encoded)
            for number in (support.get("groundingChunkIndices") or [])[:_MOST_PAGES]:
                if 0 <= number < len(pages):
                    yield from self._cite(pages[number], at)
        for page in pages if not supports else ():
            yield from self._cite(page, None)

    def _cite(self, page: Any, at: int | None) -> Iterator[ProviderEvent]:
        if (url := page.get("uri")) and (url, at) not in self._cited:
            self._cited.add((string(url), at))
            yield Citation(url, string(page.get("title") or ""), at)

    def _finish(self, reason: str) -> None:
        if reason in {"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MALFORMED_RESPONSE"}:
            raise MalformedStreamError(detail=f"finishReason {reason}")
        outcome = _OUTCOMES.get(reason, Outcome.COMPLETE)
        if outcome is Outcome.COMPLETE and self._calls:
            outcome = Outcome.TOOL_CALLS
        self.finished = Finished(outcome, reason)


def _end_of(segment: Any, answer: str, encoded: bytes) -> int | None:
    """Returns the end of a segment in characters. Its indexes count bytes of UTF-8. They are not reliable in
    a stream, so the text of the segment is compared."""
    text, end = string(segment.get("text") or ""), segment.get("endIndex")
    if isinstance(end, int):
        at = len(encoded[: max(0, end)].decode(errors="ignore"))
        if not text or answer.endswith(text, 0, at):
            return at
    text = text[-_MOST_COMPARED:]
    found = answer.rfind(text) if text else -1
    return found + len(text) if found >= 0 else None


def _content(turn: Turn, model: str, names: Mapping[str, str]) -> dict[str, Any] | None:
    """Returns the content of a turn, None for an empty turn: the API refuses empty parts."""
    parts = _model_parts(turn, model) if turn.role == "assistant" else _user_parts(turn, names)
    return {"role": "model" if turn.role == "assistant" else "user", "parts": parts} if parts else None


def _user_parts(turn: Turn, names: Mapping[str, str]) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    for result in turn.tool_results:
        response = {
            "name": names.get(result.call_id, result.call_id),
            "response": {"error" if result.is_error else "result": result.text},
        }
        parts.append({"functionResponse": _with_id(response, result.call_id)})
    return parts + [{"text": part} if isinstance(part, str) else _file(part) for part in pieces(turn)]


def _file(file: File) -> dict[str, Any]:
    if file.media_type.startswith(("image/", "audio/", "video/")) or file.media_type == "application/pdf":
        return {"inlineData": {"mimeType": file.media_type, "data": base64_of(require_data(file))}}
    raise unreadable_error(file)


def _model_parts(turn: Turn, model: str) -> list[dict[str, Any]]:
    kept = opaque_of(turn, KIND, model)
    signed = {data["after_calls"]: data["signature"] for data in kept.all if data["on"] == "call"}
    parts: list[dict[str, Any]] = [{"text": turn.text}] if turn.text else []
    # The signature of a text may be sent in an empty part, as it arrives in streams.
    texts = [data for data in kept.all if data["on"] == "text"]
    parts.extend({"text": "", "thoughtSignature": data["signature"]} for data in texts)
    for number, call in enumerate(turn.tool_calls):
        function = _with_id({"name": call.name, "args": _arguments(call)}, call.id)
        part: dict[str, Any] = {"functionCall": function}
        if number in signed:
            part["thoughtSignature"] = signed[number]
        parts.append(part)
    return parts


def _with_id(value: dict[str, Any], call_id: str) -> dict[str, Any]:
    return value if call_id.startswith(_OUR_ID) else {"id": call_id, **value}


def _arguments(call: ToolCall) -> Any:
    try:
        return orjson.loads(call.arguments or "{}")
    except orjson.JSONDecodeError:
        raise InvalidRequestError(
            detail=f"The arguments of tool call {call.id!r} are not valid JSON."
        ) from None


def _thinking(request: ChatRequest) -> dict[str, Any]:
    """Returns `thinkingConfig`. Gemini 2.5 takes a budget in tokens, later models take a level, earlier
    models and Gemma neither."""
    version = re.match(r"(?:models/)?gemini-(\d+(?:\.\d+)?)", request.model)
    if not version or float(version[1]) < 2.5:
        return {}
    thinking: dict[str, Any] = {"includeThoughts": request.reasoning_effort != "none"}
    if request.reasoning_effort is not None:
        if float(version[1]) < 3:
            budgets = {"none": 0, "low": 1_024, "medium": 8_192, "high": 24_576}
            thinking["thinkingBudget"] = budgets[request.reasoning_effort]
        else:
            levels = {"none": "minimal"}
            thinking["thinkingLevel"] = levels.get(request.reasoning_effort, request.reasoning_effort)
    return thinking


def _usage(usage: Any) -> Usage:
    def count(name: str) -> int:
        return int(usage.get(name) or 0)

    return Usage(
        input_tokens=count("promptTokenCount") + count("toolUsePromptTokenCount"),
        output_tokens=count("candidatesTokenCount") + count("thoughtsTokenCount"),
        cached_input_tokens=count("cachedContentTokenCount"),
        reasoning_tokens=count("thoughtsTokenCount"),
    )


_OUTCOMES = {
    "MAX_TOKENS": Outcome.LENGTH,
    "SAFETY": Outcome.REFUSED,
    "RECITATION": Outcome.REFUSED,
    "LANGUAGE": Outcome.REFUSED,
    "BLOCKLIST": Outcome.REFUSED,
    "PROHIBITED_CONTENT": Outcome.REFUSED,
    "SPII": Outcome.REFUSED,
    "IMAGE_SAFETY": Outcome.REFUSED,
    "CONTINUATION": Outcome.PAUSED,
}
