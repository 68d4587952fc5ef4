"""Requests of OpenAI's Responses API.

https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

from typing import Any

from chat.api.gateway.answers import ParsedRequest
from chat.api.gateway.chat_request import EFFORTS, schema_of, tool_choice, tool_of
from chat.api.gateway.content import Content, data_of, image_of
from chat.api.gateway.fields import Fields, wrong
from chat.parts import Opaque, ToolCall, ToolResult
from chat.providers.base import ChatRequest, OutputFormat, Tool, Turn

KIND = "openai"  # of the metadata that goes back to OpenAI's models
ENCRYPTED = "reasoning.encrypted_content"
_ECHOED = ("tools", "tool_choice", "text", "reasoning", "metadata", "instructions", "user")


def parse(body: Fields, model: str) -> ParsedRequest:
    """Returns the request to send to `model`, the provider's own name. Raises `FailureError`."""
    echo = {name: value for name in _ECHOED if (value := body.peek(name)) is not None}
    body.ignore(
        "model", "user", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"
    )
    body.expect(store=False, background=False, truncation="disabled", service_tier=("auto", "default"))
    body.expect(top_logprobs=0)
    streams = body.boolean("stream") or False
    if options := body.object("stream_options"):
        options.ignore("include_obfuscation")
        options.done()
    included = body.texts("include")
    if any(name != ENCRYPTED for name in included):
        raise wrong(body.at("include"), f"may name {ENCRYPTED} only")
    effort, summarizes = _reasoning(body.object("reasoning"))
    turns = _Turns(model)
    turns.read(body)
    tools = [_tool(tool) for tool in body.objects("tools")]
    choice, forced = tool_choice(body)
    parallel = body.boolean("parallel_tool_calls")
    request = ChatRequest(
        model=model,
        turns=turns.turns,
        system="\n\n".join(filter(None, [body.text("instructions", ""), *turns.system])),
        max_output_tokens=body.integer("max_output_tokens"),
        temperature=body.number("temperature", 0, 2),
        top_p=body.number("top_p", 0, 1),
        reasoning_effort=effort,  # type: ignore[arg-type]
        tools=tools,
        tool_choice=choice,  # type: ignore[arg-type]
        forced_tool=forced,
        parallel_tool_calls=parallel if tools else None,
        output_format=_output_format(body.object("text")),
        exact=True,
    )
    body.done()
    details = {"echo": echo, "encrypted": ENCRYPTED in included, "summarizes": summarizes}
    return ParsedRequest(request, streams, details)


def _reasoning(reasoning: Fields | None) -> tuple[str | None, bool]:
    """Returns how much the model thinks, and whether the program wants to read a summary of it."""
    if reasoning is None:
        return None, False
    effort = reasoning.choice("effort", EFFORTS)
    summary = reasoning.choice("summary", ("auto", "concise", "detailed"))
    older = reasoning.choice("generate_summary", ("auto", "concise", "detailed"))
    reasoning.done()
    return effort, bool(summary or older)


class _Turns:
    """Collects the items of `input`. What the model said in one turn is several items."""

    def __init__(self, model: str) -> None:
        self.system: list[str] = []
        self.turns: list[Turn] = []
        self._model = model
        self._text: str | None = None
        self._calls: list[ToolCall] = []
        self._opaque: list[Opaque] = []
        self._results: list[ToolResult] = []

    def read(self, body: Fields) -> None:
        if isinstance(body.peek("input"), str):
            self.turns.append(Turn("user", body.text("input")))
            return
        for item in body.objects("input"):
            self._read(item)
            item.done()
        self._end_answer()
        self._end_results()
        if not self.turns:
            raise wrong(body.at("input"), "must have a message of a user")

    def _read(self, item: Fields) -> None:
        kind = item.text("type", "message")
        item.ignore("status")
        if kind == "function_call_output":
            self._end_answer()
            self._read_result(item)
            return
        self._end_results()
        if kind == "message":
            self._read_message(item)
        elif kind == "function_call":
            item.ignore("id")
            self._calls.append(ToolCall(item.text("call_id"), item.text("name"), item.text("arguments")))
        elif kind == "reasoning":
            self._read_reasoning(item)
        else:
            raise wrong(item.at("type"), "is not supported by this server")

    def _read_message(self, item: Fields) -> None:
        item.ignore("id")
        role = item.choice("role", ("user", "assistant", "system", "developer"))
        if role is None:
            raise wrong(item.at("role"), "is missing")
        content = _content(item, role)
        phase = item.choice("phase", ("commentary", "final_answer"))
        if role == "assistant":
            if self._text is not None or self._calls:
                self._end_answer()
            self._text = content.text
            if phase:
                self._keep({"phase": phase})
            return
        self._end_answer()
        if role == "user":
            self.turns.append(Turn("user", content.text, content.files))
        elif self.turns:
            self.turns.append(Turn("system", content.text))
        else:
            self.system.append(content.text)

    def _read_result(self, item: Fields) -> None:
        item.ignore("id")
        content = Content()
        if isinstance(item.peek("output"), str):
            content.add_text(item.text("output"))
        else:
            for part in item.objects("output"):
                part.expect(type=("input_text", "output_text"))
                content.add_text(part.text("text"))
                part.done()
        self._results.append(ToolResult(item.text("call_id"), content.text))

    def _read_reasoning(self, item: Fields) -> None:
        """Reasoning goes back encrypted, to the model that it came from. Nothing is stored to refer to."""
        own_id, _colon, encrypted = item.text("encrypted_content", "").partition(":")
        summary = []
        for part in item.objects("summary"):
            part.expect(type="summary_text")
            summary.append({"type": "summary_text", "text": part.text("text")})
            part.done()
        item.ignore("id", "content")
        if encrypted:
            kept = {"type": "reasoning", "summary": summary, "encrypted_content": encrypted}
            self._keep({"item": {**kept, "id": own_id} if own_id else kept})

    def _keep(self, data: dict[str, Any]) -> None:
        position = {"after_text": bool(self._text), "after_calls": len(self._calls)}
        self._opaque.append(Opaque(KIND, {"kind": KIND, "model": self._model, **position, **data}))

    def _end_answer(self) -> None:
        if self._text is not None or self._calls or self._opaque:
            turn = Turn("assistant", self._text or "", tool_calls=self._calls, opaque=self._opaque)
            self.turns.append(turn)
            self._text, self._calls, self._opaque = None, [], []

    def _end_results(self) -> None:
        if self._results:
            self.turns.append(Turn("user", tool_results=self._results))
            self._results = []


def _content(item: Fields, role: str) -> Content:
    content = Content()
    if isinstance(item.peek("content"), str):
        content.add_text(item.text("content"))
        return content
    for part in item.objects("content"):
        kind = part.text("type")
        if kind in {"input_image", "input_file"} and role != "user":
            raise wrong(part.at("type"), "may be in a message of the user only")
        match kind:
            case "input_text" | "output_text":
                content.add_text(part.text("text"))
                part.ignore("annotations", "logprobs")
            case "refusal":
                content.add_text(part.text("refusal"))
            case "input_image":
                detail = part.choice("detail", ("auto", "low", "high")) or "auto"
                content.add_file(image_of(part.text("image_url"), part.at("image_url"), detail))
            case "input_file":
                data, name = part.text("file_data"), part.text("filename", "")
                content.add_file(data_of(data, part.at("file_data"), name))
            case _:
                raise wrong(part.at("type"), "is not supported by this server")
        part.done()
    return content


def _tool(tool: Fields) -> Tool:
    if tool.text("type") != "function":
        raise wrong(tool.at("type"), "must be function: this server has no tools of its own")
    return tool_of(tool)


def _output_format(text: Fields | None) -> OutputFormat | None:
    form = text.object("format") if text is not None else None
    if text is not None:
        text.expect(verbosity="medium")
        text.done()
    if form is None:
        return None
    kind = form.choice("type", ("text", "json_object", "json_schema"))
    if kind == "json_schema":
        return schema_of(form)
    form.done()
    return OutputFormat() if kind == "json_object" else None
