"""Requests of OpenAI's Chat Completions API.

https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from collections.abc import Iterator

from chat.api.gateway.answers import ParsedRequest
from chat.api.gateway.content import Content, data_of, image_of
from chat.api.gateway.fields import Fields, wrong
from chat.parts import ToolCall, ToolResult
from chat.providers.base import ChatRequest, OutputFormat, Tool, Turn

EFFORTS = ("none", "low", "medium", "high")


def parse(body: Fields, model: str) -> ParsedRequest:
    """Returns the request to send to `model`, the provider's own name. Raises `FailureError`."""
    body.ignore("model")
    streams = body.boolean("stream") or False
    options = body.object("stream_options")
    usage = bool(options and options.boolean("include_usage"))
    if options:
        options.ignore("include_obfuscation")
        options.done()
    system, turns = _turns(body)
    tools = [_tool(tool) for tool in body.objects("tools")]
    choice, forced = tool_choice(body)
    limit = body.integer("max_completion_tokens")
    older_limit = body.integer("max_tokens")
    request = ChatRequest(
        model=model,
        turns=turns,
        system=system,
        max_output_tokens=older_limit if limit is None else limit,
        temperature=body.number("temperature", 0, 2),
        top_p=body.number("top_p", 0, 1),
        top_k=body.integer("top_k"),
        seed=body.integer("seed", -(2**63), 2**63 - 1),
        presence_penalty=body.number("presence_penalty", -2, 2),
        frequency_penalty=body.number("frequency_penalty", -2, 2),
        stop=[text for text in body.texts("stop") if text],
        reasoning_effort=body.choice("reasoning_effort", EFFORTS),  # type: ignore[arg-type]
        tools=tools,
        tool_choice=choice,  # type: ignore[arg-type]
        forced_tool=forced,
        parallel_tool_calls=body.boolean("parallel_tool_calls"),
        output_format=_output_format(body.object("response_format")),
        exact=True,
    )
    body.ignore("user", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention")
    body.expect(n=1, logprobs=False, store=False, service_tier=("auto", "default"), modalities=["text"])
    body.expect(logit_bias={}, top_logprobs=0)
    body.done()
    return ParsedRequest(request, streams, {"include_usage": usage})


def tool_choice(body: Fields) -> tuple[str | None, str]:
    """Returns the choice and the name of the forced tool, in the form of OpenAI's APIs."""
    path, value = body.at("tool_choice"), body.any("tool_choice")
    if isinstance(value, dict):
        choice = Fields(value, path)
        choice.expect(type="function")
        inner = choice.object("function") or choice  # flat in the Responses API
        name = inner.text("name")
        inner.done()
        choice.done()
        return None, name
    if value not in {None, "auto", "none", "required"} if isinstance(value, str | None) else True:
        raise wrong(path, "must be auto, none, required or a function")
    return value, ""


def _turns(body: Fields) -> tuple[str, list[Turn]]:
    """Returns the instructions at the beginning, and the turns after them."""
    system: list[str] = []
    turns: list[Turn] = []
    results: list[ToolResult] = []
    for message in body.objects("messages"):
        role = message.choice("role", ("system", "developer", "user", "assistant", "tool"))
        if role == "tool":
            message.ignore("name")  # of the tool, which the call has too
            call_id = message.text("tool_call_id")
            results.append(ToolResult(call_id, _content(message, role).text))
            message.done()
            continue
        if results:
            turns.append(Turn("user", tool_results=results))
            results = []
        if role is None:
            raise wrong(message.at("role"), "is missing")
        content, name = _content(message, role), message.text("name", "")
        if role in {"system", "developer"}:
            if turns:
                turns.append(Turn("system", content.text, name=name))
            else:
                system.append(content.text)
        elif role == "assistant":
            turns.append(Turn("assistant", content.text, tool_calls=list(_calls(message)), name=name))
        else:
            turns.append(Turn("user", content.text, content.files, name=name))
        message.done()
    if results:
        turns.append(Turn("user", tool_results=results))
    if not turns:
        raise wrong(body.at("messages"), "must have a message of a user")
    return "\n\n".join(system), turns


def _content(message: Fields, role: str) -> Content:
    """Reads `content`, and for an assistant's message what it declined with (`refusal`)."""
    content = Content()
    if isinstance(message.peek("content"), str):
        content.add_text(message.text("content"))
    else:
        for part in message.objects("content"):
            _add_part(content, part, role)
    if refusal := message.text("refusal", ""):
        content.add_text(refusal)
    message.expect(audio=(), annotations=[])
    message.ignore("reasoning_content", "reasoning")  # of an earlier answer; models do not read it again
    return content


def _add_part(content: Content, part: Fields, role: str) -> None:
    kind = part.text("type")
    if kind in {"image_url", "file"} and role != "user":
        raise wrong(part.at("type"), "may be in a message of the user only")
    match kind:
        case "text":
            content.add_text(part.text("text"))
        case "refusal":
            content.add_text(part.text("refusal"))
        case "image_url":
            image = part.object("image_url") or Fields({}, part.at("image_url"))
            detail = image.choice("detail", ("auto", "low", "high")) or "auto"
            content.add_file(image_of(image.text("url"), image.at("url"), detail))
            image.done()
        case "file":
            file = part.object("file") or Fields({}, part.at("file"))
            name = file.text("filename", "")
            content.add_file(data_of(file.text("file_data"), file.at("file_data"), name))
            file.done()
        case _:
            raise wrong(part.at("type"), "must be text, image_url or file")
    part.done()


def _calls(message: Fields) -> Iterator[ToolCall]:
    for call in message.objects("tool_calls"):
        call.expect(type="function")
        call.ignore("index")
        function = call.object("function") or Fields({}, call.at("function"))
        yield ToolCall(call.text("id"), function.text("name"), function.text("arguments", "{}"))
        function.done()
        call.done()


def _tool(tool: Fields) -> Tool:
    tool.expect(type="function")
    function = tool.object("function") or Fields({}, tool.at("function"))
    made = tool_of(function)
    tool.done()
    return made


def tool_of(function: Fields) -> Tool:
    """Returns a function in the form of OpenAI's APIs."""
    made = Tool(
        name=function.text("name"),
        description=function.text("description", ""),
        parameters=function.schema("parameters") or {"type": "object", "properties": {}},
        strict=function.boolean("strict") or False,
    )
    function.done()
    return made


def _output_format(form: Fields | None) -> OutputFormat | None:
    kind = form.choice("type", ("text", "json_object", "json_schema")) if form else None
    if form is None or kind in {None, "text"}:
        return None
    schema = form.object("json_schema") if kind == "json_schema" else None
    if kind == "json_schema" and schema is None:
        raise wrong(form.at("json_schema"), "is missing")
    output = OutputFormat() if schema is None else schema_of(schema)
    form.done()
    return output


def schema_of(schema: Fields) -> OutputFormat:
    """Returns a JSON format in the form of OpenAI's APIs."""
    output = OutputFormat(
        schema=schema.schema("schema") or {},
        name=schema.text("name"),
        description=schema.text("description", ""),
        strict=schema.boolean("strict"),
    )
    schema.done()
    return output
