"""The Messages wire format of Anthropic: request bodies and response events.

https://platform.claude.com/docs/en/api/messages-streaming
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from chat.parts import Citation, Opaque, ToolCall, WebSearch
from chat.providers import failures
from chat.providers.attachments import base64_of, is_image, pieces, require_data, unreadable_error
from chat.providers.base import CONTINUE_PROMPT, ChatRequest, File, Tool, Turn
from chat.providers.errors import InvalidRequestError, UnsupportedOptionError
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
from chat.providers.options import refuse, refuse_system_turns
from chat.providers.sse import Decoder, string

KIND = "anthropic"
SEARCH = "anthropic_search"  # the kind of the metadata of a search
SEARCH_TOOL = {"type": "web_search_20250305", "name": "web_search"}
# Bytes of the results of one search, and of all searches of a reply. Larger results are not sent back.
MOST_SEARCH_BYTES = 400_000
MOST_SEARCH_BYTES_IN_ALL = 1_000_000
MOST_ARGUMENTS = 20_000  # characters of the arguments of a search


def messages_body(request: ChatRequest) -> dict[str, Any]:
    """Returns the JSON body."""
    refuse(request, "seed", "presence_penalty", "frequency_penalty")
    refuse_system_turns(request)
    turns = request.turns[:-1] if _continues_without_prompt(request) else request.turns
    messages = [message for turn in turns if (message := _message(turn, request))]
    body: dict[str, Any] = {
        "model": request.model,
        "messages": messages,
        "max_tokens": request.max_output_tokens or _default_limit(request.model),
        "stream": True,
    }
    if request.system:
        body["system"] = request.system
    if request.reasoning_effort == "none":
        body["thinking"] = {"type": "disabled"}
    elif request.reasoning_effort is not None:
        body["thinking"] = {"type": "adaptive", "display": "summarized"}
        body["output_config"] = {"effort": request.reasoning_effort}
    if request.output_format is not None:
        if request.output_format.schema is None:
            raise UnsupportedOptionError("output_format", "without a schema")
        output = {"type": "json_schema", "schema": dict(request.output_format.schema)}
        body["output_config"] = {**body.get("output_config", {}), "format": output}
    for name in ("temperature", "top_p", "top_k"):
        if (value := getattr(request, name)) is not None:
            body[name] = value
    if request.stop:
        body["stop_sequences"] = list(request.stop)
    if request.caches:
        body["cache_control"] = {"type": "ephemeral"}
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        if choice := _tool_choice(request):
            body["tool_choice"] = choice
    if request.web_searches:
        limit = {"max_uses": request.web_searches}
        body["tools"] = [*body.get("tools", []), {**SEARCH_TOOL, **limit}]
    return body


def _tool(tool: Tool) -> dict[str, Any]:
    body = {"name": tool.name, "description": tool.description, "input_schema": dict(tool.parameters)}
    return {**body, "strict": True} if tool.strict else body


def _tool_choice(request: ChatRequest) -> dict[str, Any] | None:
    """Returns None for the provider's default."""
    choice: dict[str, Any] | None = None
    if request.forced_tool:
        choice = {"type": "tool", "name": request.forced_tool}
    elif request.tool_choice is not None:
        choice = {"type": {"required": "any"}.get(request.tool_choice, request.tool_choice)}
    if request.parallel_tool_calls is False and request.tool_choice != "none":
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return choice


def _continues_without_prompt(request: ChatRequest) -> bool:
    """Returns whether the model continues the beginning of an answer without a prompt. Models since 4.6 do
    not, and no model does while it thinks, or if the beginning ends with white space.
    https://platform.claude.com/docs/en/about-claude/models/whats-new-claude-4-6"""
    return (
        request.continues
        and _CONTINUES.match(request.model) is not None
        and request.reasoning_effort in {None, "none"}
        and request.turns[-2].text == request.turns[-2].text.rstrip()
    )


class MessagesDecoder(Decoder):
    """Reads the events of one message. `message_stop` is its end marker."""

    def __init__(self, model: str = "", secrets: tuple[str, ...] = (), *, search_bytes: int = 0) -> None:
        super().__init__(secrets)
        self._model = model
        self._usage: dict[str, Any] = {}
        self._calls: dict[int, int] = {}  # block index -> call index
        self._thinking: dict[int, dict[str, str]] = {}  # block index -> the block so far
        self._searches: dict[int, _Search] = {}  # block index -> a search with an incomplete query
        self._searching: dict[str, _Search] = {}  # id -> a search without a result
        self._cited: dict[int, list[tuple[str, str]]] = {}  # block index -> the pages that support its text
        self._characters = 0  # of the visible text so far
        self._search_bytes = search_bytes  # of the results in this reply
        self._stop_reason = ""

    def events(self, payload: Any) -> Sequence[ProviderEvent]:
        match payload.get("type"):
            case "content_block_delta":
                return self._delta(payload["index"], payload["delta"])
            case "content_block_start":
                return self._start_block(payload["index"], payload["content_block"])
            case "content_block_stop":
                return self._end_block(payload["index"])
            case "message_start":
                return self._count(payload["message"].get("usage"))
            case "message_delta":
                self._stop_reason = payload["delta"].get("stop_reason") or self._stop_reason
                return self._count(payload.get("usage"))
            case "message_stop":
                self.finished = Finished(
                    _OUTCOMES.get(self._stop_reason, Outcome.COMPLETE), self._stop_reason
                )
                self.done = True
            case "error":
                raise failures.from_stream(payload, secrets=self.secrets)
        return ()  # ping and unknown events

    def _start_block(self, index: int, block: Any) -> Sequence[ProviderEvent]:
        match block.get("type"):
            case "text" if block.get("text"):
                return (self._text(block["text"]),)
            case "server_tool_use" if block.get("name") == "web_search":
                search = self._searches[index] = _Search(dict(block))
                self._searching[search.id] = search
                return (WebSearch(search.id),)
            case "web_search_tool_result":
                return self._end_search(block)
            case "tool_use":
                number = self._calls.setdefault(index, len(self._calls))
                return (ToolCallDelta(number, id=string(block["id"]), name=string(block["name"])),)
            case "thinking":
                self._thinking[index] = {"type": "thinking", "thinking": "", "signature": ""}
            case "redacted_thinking":
                kept = {"type": "redacted_thinking", "data": string(block["data"])}
                return ReasoningDelta("", redacted=True), self._keep(kept)
        return ()

    def _delta(self, index: int, delta: Any) -> Sequence[ProviderEvent]:
        match delta.get("type"):
            case "text_delta":
                return (self._text(delta["text"]),)
            case "citations_delta":
                self._cite(index, delta["citation"])
            case "input_json_delta":
                arguments = string(delta["partial_json"])
                if search := self._searches.get(index):
                    search.arguments += arguments if len(search.arguments) < MOST_ARGUMENTS else ""
                elif arguments and index in self._calls:
                    return (ToolCallDelta(self._calls[index], arguments),)
            case "thinking_delta":
                self._thinking[index]["thinking"] += string(delta["thinking"])
                return (ReasoningDelta(delta["thinking"]),)
            case "signature_delta":
                self._thinking[index]["signature"] += string(delta["signature"])
        return ()

    def _text(self, delta: Any) -> TextDelta:
        text = string(delta)
        self._characters += len(text)
        return TextDelta(text)

    def _cite(self, index: int, citation: Any) -> None:
        if citation.get("type") == "web_search_result_location":
            source = string(citation["url"]), string(citation.get("title") or "")
            self._cited.setdefault(index, []).append(source)

    def _citations(self, index: int) -> list[Citation]:
        """Returns the citations of a block at its end: they support the whole text of the block."""
        sources = self._cited.pop(index, [])
        return [Citation(url, title, self._characters) for url, title in sources]

    def _end_search(self, block: Any) -> Sequence[ProviderEvent]:
        search = self._searching.pop(string(block["tool_use_id"]), None)
        if search is None:
            return ()
        state = "done" if isinstance(block.get("content"), list) else "failed"
        ended = WebSearch(search.id, search.query, state)
        blocks = [{**search.block, "input": {"query": search.query}}, dict(block)]
        size = len(json.dumps(blocks))  # accepts lone surrogates, unlike orjson
        is_too_large = size > MOST_SEARCH_BYTES or self._search_bytes + size > MOST_SEARCH_BYTES_IN_ALL
        if state == "failed" or is_too_large:
            return (ended,)
        self._search_bytes += size
        position = {
            **position_of(has_text=self._characters > 0, calls=len(self._calls)),
            "at": self._characters,
        }
        return ended, Opaque(SEARCH, {"kind": SEARCH, "model": self._model, **position, "blocks": blocks})

    def rest(self) -> Sequence[ProviderEvent]:
        return [citation for index in list(self._cited) for citation in self._citations(index)]

    def _end_block(self, index: int) -> Sequence[ProviderEvent]:
        if search := self._searches.pop(index, None):
            return (WebSearch(search.id, search.query),)
        if index in self._cited:
            return self._citations(index)
        block = self._thinking.pop(index, None)
        return (self._keep(block),) if block and block["signature"] else ()

    def _keep(self, block: Mapping[str, str]) -> Opaque:
        position = position_of(has_text=self._characters > 0, calls=len(self._calls))
        return Opaque(KIND, {"kind": KIND, "model": self._model, **position, "block": dict(block)})

    def _count(self, usage: Mapping[str, Any] | None) -> Sequence[Usage]:
        """Returns the usage so far. Each report replaces the numbers that it contains."""
        if not usage:
            return ()
        self._usage |= {name: value for name, value in usage.items() if value is not None}
        cached = int(self._usage.get("cache_read_input_tokens", 0))
        written = int(self._usage.get("cache_creation_input_tokens", 0))
        details = self._usage.get("output_tokens_details") or {}
        counted = Usage(
            input_tokens=int(self._usage.get("input_tokens", 0)) + cached + written,
            output_tokens=int(self._usage.get("output_tokens", 0)),
            cached_input_tokens=cached,
            cache_written_tokens=written,
            reasoning_tokens=int(details.get("reasoning_tokens") or details.get("thinking_tokens") or 0),
            searches=int((self._usage.get("server_tool_use") or {}).get("web_search_requests") or 0),
        )
        return (counted,)


class _Search:
    """A web search in progress. `block` is its `server_tool_use`."""

    def __init__(self, block: dict[str, Any]) -> None:
        self.block = block
        self.id = string(block["id"])
        self.arguments = ""  # a JSON text, in pieces

    @property
    def query(self) -> str:
        try:
            arguments = orjson.loads(self.arguments) if self.arguments else self.block.get("input")
            return string((arguments or {}).get("query") or "")
        except (orjson.JSONDecodeError, AttributeError, TypeError):
            return ""


def search_bytes_before(request: ChatRequest) -> int:
    """Returns the bytes of the search results in the earlier steps of this reply."""
    size = 0
    for turn in reversed(request.turns):
        if turn.role == "user" and not turn.tool_results and turn.text != CONTINUE_PROMPT:
            break  # the prompt of this reply
        found = opaque_of(turn, SEARCH, request.model).all if turn.role == "assistant" else ()
        size += sum(len(json.dumps(data["blocks"])) for data in found)
    return size


def _message(turn: Turn, request: ChatRequest) -> dict[str, Any] | None:
    """Returns the message of a turn, None for an empty turn: the API refuses empty content."""
    content = _user_content(turn) if turn.role == "user" else _assistant_content(turn, request)
    return {"role": turn.role, "content": content} if content else None


def _user_content(turn: Turn) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = [
        {
            "type": "tool_result",
            "tool_use_id": result.call_id,
            "content": result.text,
            "is_error": result.is_error,
        }
        for result in turn.tool_results
    ]
    for part in pieces(turn):
        if not isinstance(part, str):
            content.append(_file(part))
        elif part.strip():
            content.append({"type": "text", "text": part})
    return content


def _file(file: File) -> dict[str, Any]:
    source = {"type": "base64", "media_type": file.media_type, "data": base64_of(file)}
    if is_image(file):
        return {"type": "image", "source": {"type": "url", "url": file.url} if file.url else source}
    if file.media_type == "application/pdf":
        require_data(file)
        return {"type": "document", "source": source, "title": file.name or "document.pdf"}
    raise unreadable_error(file)


def _assistant_content(turn: Turn, request: ChatRequest) -> list[dict[str, Any]]:
    kept = opaque_of(turn, KIND, request.model)
    content: list[dict[str, Any]] = [data["block"] for data in kept.before_text]
    content.extend(_text_and_searches(turn, request))
    for number, call in enumerate(turn.tool_calls):
        content.extend(data["block"] for data in kept.before_call(number))
        content.append({"type": "tool_use", "id": call.id, "name": call.name, "input": _arguments(call)})
    return content


def _text_and_searches(turn: Turn, request: ChatRequest) -> Iterator[dict[str, Any]]:
    """Yields the text, with each search and its results in their places. Leaves the searches out if the
    request offers no search, because the API compares the calls in a request with its tools."""
    begin = 0
    for data in opaque_of(turn, SEARCH, request.model).all if request.web_searches else ():
        if (text := turn.text[begin : data["at"]]).strip():
            yield {"type": "text", "text": text}
            begin = data["at"]
        yield from data["blocks"]
    if (text := turn.text[begin:]).strip():
        yield {"type": "text", "text": text}


def _arguments(call: ToolCall) -> Any:
    try:
        return orjson.loads(call.arguments or "{}")
    except orjson.JSONDecodeError:
        raise InvalidRequestError(
            detail=f"The arguments of tool call {call.id!r} are not valid JSON."
        ) from None


def _default_limit(model: str) -> int:
    """Returns a limit, which Anthropic requires. All models of the family accept it, and few answers reach
    it."""
    if re.match(r"claude-3-(haiku|opus|sonnet)", model):
        return 4_096
    return 8_192 if model.startswith("claude-3-5") else 32_000


_CONTINUES = re.compile(r"claude-(3-|(opus|sonnet|haiku)-4-([015]\b|20\d{6}))")

_OUTCOMES = {
    "end_turn": Outcome.COMPLETE,
    "stop_sequence": Outcome.COMPLETE,
    "max_tokens": Outcome.LENGTH,
    "model_context_window_exceeded": Outcome.LENGTH,
    "tool_use": Outcome.TOOL_CALLS,
    "pause_turn": Outcome.PAUSED,
    "refusal": Outcome.REFUSED,
}
