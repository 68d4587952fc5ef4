"""Requests of Anthropic's Messages API.

https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from chat.api.gateway.answers import ParsedRequest
from chat.api.gateway.content import Content, decoded, image, image_of
from chat.api.gateway.fields import Fields, wrong
from chat.parts import Opaque, ToolCall, ToolResult
from chat.providers.base import ChatRequest, File, OutputFormat, Tool, Turn

KIND = "anthropic"  # of the metadata that goes back to Anthropic's models
EFFORTS = ("low", "medium", "high")
_LOW_BUDGET, _MEDIUM_BUDGET = 2_048, 8_192  # tokens of thought up to which an effort is low or medium


def parse_count(body: Fields, model: str) -> ParsedRequest:
    """Returns the request whose tokens are to be counted. Raises `FailureError`."""
    return parse(body, model, needs_limit=False)


def parse(body: Fields, model: str, *, needs_limit: bool = True) -> ParsedRequest:
    """Returns the request to send to `model`, the provider's own name. Raises `FailureError`."""
    body.ignore("model", "metadata")
    body.expect(service_tier=("auto", "standard_only"), container=(), mcp_servers=[])
    caches = _Caches()
    streams = body.boolean("stream") or False
    system = _system(body, caches)
    turns = [turn for message in body.objects("messages") for turn in _turns(message, model, caches)]
    if not turns:
        raise wrong(body.at("messages"), "must have a message of a user")
    effort, thinks = _effort(body)
    output = body.object("output_config")
    if output is not None:
        effort = output.choice("effort", EFFORTS) or effort
    tools = [_tool(tool, caches) for tool in body.objects("tools")]
    choice, forced, parallel = _tool_choice(body.object("tool_choice"))
    limit = body.integer("max_tokens")
    if limit is None and needs_limit:
        raise wrong("max_tokens", "is missing")
    caches.read(body)
    request = ChatRequest(
        model=model,
        turns=turns,
        system=system,
        max_output_tokens=limit,
        temperature=body.number("temperature", 0, 1),
        top_p=body.number("top_p", 0, 1),
        top_k=body.integer("top_k"),
        stop=body.texts("stop_sequences"),
        reasoning_effort=effort,  # type: ignore[arg-type]
        tools=tools,
        tool_choice=choice,  # type: ignore[arg-type]
        forced_tool=forced,
        parallel_tool_calls=parallel,
        output_format=_output_format(output),
        caches=caches.any,
        exact=True,
    )
    body.done()
    return ParsedRequest(request, streams, {"thinks": thinks, "stop": request.stop})


class _Caches:
    """Whether any part of the request asks for the provider's cache."""

    def __init__(self) -> None:
        self.any = False

    def read(self, part: Fields) -> None:
        control = part.object("cache_control")
        if control is not None:
            control.expect(type="ephemeral", ttl=("5m", "1h"))
            control.done()
            self.any = True


def _system(body: Fields, caches: _Caches) -> str:
    if isinstance(body.peek("system"), str):
        return body.text("system")
    texts = []
    for block in body.objects("system"):
        block.expect(type="text")
        texts.append(block.text("text"))
        caches.read(block)
        block.done()
    return "\n\n".join(texts)


def _effort(body: Fields) -> tuple[str | None, bool]:
    """Returns how much the model thinks, and whether the program wants to read it. A number of tokens becomes
    the effort that comes nearest."""
    thinking = body.object("thinking")
    if thinking is None:
        return None, False
    kind = thinking.choice("type", ("enabled", "disabled", "adaptive"))
    if kind is None:
        raise wrong(thinking.at("type"), "is missing")
    budget = thinking.integer("budget_tokens")
    display = thinking.choice("display", ("summarized", "omitted"))
    thinking.done()
    if kind == "disabled":
        return "none", False
    if budget is None or kind == "adaptive":
        return "high", display != "omitted"
    effort = "low" if budget <= _LOW_BUDGET else "medium" if budget <= _MEDIUM_BUDGET else "high"
    return effort, display != "omitted"


def _turns(message: Fields, model: str, caches: _Caches) -> Sequence[Turn]:
    role = message.choice("role", ("user", "assistant"))
    if role is None:
        raise wrong(message.at("role"), "is missing")
    message_content = _Message(model, caches)
    if isinstance(message.peek("content"), str):
        message_content.content.add_text(message.text("content"))
    else:
        for block in message.objects("content"):
            message_content.add(block, role)
    message.done()
    return [message_content.turn(role)]


class _Message:
    """The blocks of one message."""

    def __init__(self, model: str, caches: _Caches) -> None:
        self.content = Content()
        self._model, self._caches = model, caches
        self._calls: list[ToolCall] = []
        self._results: list[ToolResult] = []
        self._opaque: list[Opaque] = []

    def turn(self, role: str) -> Turn:
        return Turn(
            role,  # type: ignore[arg-type]
            self.content.text,
            self.content.files,
            self._calls,
            self._results,
            self._opaque,
        )

    def add(self, block: Fields, role: str) -> None:
        self._caches.read(block)
        kind = block.text("type")
        if kind == "text":
            self.content.add_text(block.text("text"))
            block.ignore("citations")
        elif kind in {"image", "document", "tool_result"} and role == "user":
            self._add_of_user(block, kind)
        elif kind in {"tool_use", "thinking", "redacted_thinking"} and role == "assistant":
            self._add_of_assistant(block, kind)
        else:
            raise wrong(block.at("type"), f"must be a block that a message of the {role} may have")
        block.done()

    def _add_of_user(self, block: Fields, kind: str) -> None:
        if kind == "tool_result":
            inner = Content()
            if isinstance(block.peek("content"), str):
                inner.add_text(block.text("content"))
            else:
                for part in block.objects("content"):
                    self._caches.read(part)
                    self._add_part(inner, part, part.text("type"))
                    part.done()
            call_id, is_error = block.text("tool_use_id"), block.boolean("is_error") or False
            self._results.append(ToolResult(call_id, inner.text, is_error))
            for file in inner.files:  # models read a result as text; its pictures follow it
                self.content.add_file(file)
        else:
            self._add_part(self.content, block, kind)

    def _add_part(self, content: Content, part: Fields, kind: str) -> None:
        if kind == "text":
            content.add_text(part.text("text"))
            return
        if kind not in {"image", "document"}:
            raise wrong(part.at("type"), "must be text, image or document")
        source = part.object("source") or Fields({}, part.at("source"))
        content.add_file(_file(source, kind, part.text("title", "")))
        part.ignore("context")
        part.expect(citations={"enabled": False})
        source.done()

    def _add_of_assistant(self, block: Fields, kind: str) -> None:
        if kind == "tool_use":
            arguments = block.schema("input") or {}
            self._calls.append(
                ToolCall(block.text("id"), block.text("name"), orjson.dumps(arguments).decode())
            )
            block.ignore("caller")
            return
        if kind == "thinking":
            kept = {
                "type": kind,
                "thinking": block.text("thinking", ""),
                "signature": block.text("signature", ""),
            }
        else:
            kept = {"type": kind, "data": block.text("data")}
        if kept.get("signature") or kind == "redacted_thinking":
            position = {"after_text": self.content.length > 0, "after_calls": len(self._calls)}
            data = {"kind": KIND, "model": self._model, **position, "block": kept}
            self._opaque.append(Opaque(KIND, data))


def _file(source: Fields, kind: str, title: str) -> File:
    how = source.choice("type", ("base64", "url", "text"))
    if how == "url" and kind == "image":
        return image_of(source.text("url"), source.at("url"))
    if how == "text" and kind == "document":
        source.expect(media_type="text/plain")
        return File("text/plain", source.text("data").encode("utf-8", "replace"), title or "document.txt")
    if how != "base64":
        raise wrong(source.at("type"), "is not supported for this block")
    media_type, data = source.text("media_type"), decoded(source.text("data"), source.at("data"))
    if kind == "image":
        return image(media_type, data, source.at("media_type"))
    if media_type != "application/pdf":
        raise wrong(source.at("media_type"), "must be application/pdf")
    return File(media_type, data, title)


def _tool(tool: Fields, caches: _Caches) -> Tool:
    tool.expect(type="custom", defer_loading=False)
    tool.ignore("eager_input_streaming", "input_examples", "allowed_callers")
    caches.read(tool)
    made = Tool(
        name=tool.text("name"),
        description=tool.text("description", ""),
        parameters=tool.schema("input_schema") or {"type": "object", "properties": {}},
        strict=tool.boolean("strict") or False,
    )
    tool.done()
    return made


def _tool_choice(choice: Fields | None) -> tuple[str | None, str, bool | None]:
    if choice is None:
        return None, "", None
    kind = choice.choice("type", ("auto", "any", "tool", "none"))
    if kind is None:
        raise wrong(choice.at("type"), "is missing")
    name = choice.text("name") if kind == "tool" else ""
    parallel = False if choice.boolean("disable_parallel_tool_use") else None
    choice.done()
    return {"auto": "auto", "any": "required", "none": "none"}.get(kind), name, parallel


def _output_format(output: Fields | None) -> OutputFormat | None:
    form = output.object("format") if output is not None else None
    if output is not None:
        output.done()
    if form is None:
        return None
    form.expect(type="json_schema")
    made = OutputFormat(form.schema("schema") or {}, strict=True)
    form.done()
    return made
