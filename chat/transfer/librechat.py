"""LibreChat's export: one chat, with its messages in a list (`messages`) or nested (`messagesTree`).

Written from its source: `useExportConversation.ts` writes it, `importers.js` reads it.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from chat.parts import NoticePart, Part, ReasoningPart, TextPart
from chat.transfer.chats import (
    FILES,
    IMAGES,
    INSTRUCTIONS,
    UNKNOWN,
    Chat,
    RawMessage,
    UnreadableError,
    dict_of,
    fenced,
    list_of,
    nodes_of,
    show_path,
    text_of,
    time_of,
)
from chat.translatable import translatable as _


def is_chat(item: dict[str, Any]) -> bool:
    has_messages = any(isinstance(item.get(name), list | dict) for name in ("messages", "messagesTree"))
    return isinstance(item.get("conversationId"), str) and has_messages


def load(item: dict[str, Any]) -> Chat:
    """Raises `UnreadableError`."""
    left_out: Counter[str] = Counter()
    messages = item.get("messagesTree") or item.get("messages")
    raws: list[RawMessage] = []
    top = messages if isinstance(messages, list) else [messages]
    stack: list[tuple[Any, str | None]] = [(value, None) for value in reversed(top)]
    while stack:
        value, parent = stack.pop()
        message = dict_of(value)
        raw = _raw(message, parent, f"message-{len(raws)}", left_out)
        raws.append(raw)
        stack += [(child, raw.id) for child in reversed(list_of(message.get("children")))]
    options = dict_of(item.get("options"))
    if options.get("promptPrefix") or options.get("system"):
        left_out[INSTRUCTIONS] += 1
    nodes, _node_of = nodes_of(raws)
    if not nodes:
        raise UnreadableError(_("The chat has no messages."))
    times = [raw.at for raw in raws if raw.at]
    chat = Chat(
        id=item["conversationId"],
        title=text_of(item.get("title")),
        nodes=nodes,
        created_at=min(times, default=None),
        updated_at=max(times, default=None),
        left_out=left_out,
    )
    show_path(chat)
    return chat


def _raw(message: dict[str, Any], parent: str | None, unnamed: str, left_out: Counter[str]) -> RawMessage:
    above = message.get("parentMessageId")
    is_prompt = message.get("isCreatedByUser") is True
    status = "complete"
    if message.get("error"):
        status = "failed"
    elif message.get("unfinished"):
        status = "interrupted"
    return RawMessage(
        id=text_of(message.get("messageId")) or unnamed,
        parent=parent or (above if isinstance(above, str) else None),
        is_prompt=is_prompt,
        parts=_parts(message, left_out),
        at=time_of(message.get("createdAt")),
        model="" if is_prompt else text_of(message.get("model")) or text_of(message.get("sender")),
        status="complete" if is_prompt else status,
    )


def _parts(message: dict[str, Any], left_out: Counter[str]) -> list[Part]:
    parts: list[Part] = []
    for _file in [*list_of(message.get("files")), *list_of(message.get("attachments"))]:
        left_out[FILES] += 1
        parts.append(NoticePart(_("A file of this message is not in the imported file.")))
    content = [dict_of(it) for it in list_of(message.get("content"))]
    for block in content:
        parts += _block(block, left_out)
    if not content and message.get("text"):
        parts.append(TextPart(text_of(message.get("text"))))
    return parts


def _block(block: dict[str, Any], left_out: Counter[str]) -> list[Part]:
    match text_of(block.get("type")):
        case "text" | "error" as name:
            value = block.get("text") or block.get(name)
            text = text_of(value) or text_of(dict_of(value).get("value"))
            return [TextPart(text)] if text else []
        case "think":
            return [ReasoningPart(text_of(block.get("think")))]
        case "tool_call":
            call = dict_of(block.get("tool_call"))
            function = dict_of(call.get("function")) or call
            arguments = function.get("args", function.get("arguments", ""))
            if not isinstance(arguments, str):
                arguments = json.dumps(arguments, ensure_ascii=False, indent=1)
            text = f"\n\n**{text_of(function.get('name'))}**\n\n{fenced(arguments, 'json')}\n\n"
            output = text_of(function.get("output"))
            return [TextPart(text + (f"{fenced(output)}\n\n" if output else ""))]
        case "image_file" | "image_url":
            left_out[IMAGES] += 1
            return [NoticePart(_("An image of this message is not in the imported file."))]
        case _:
            left_out[UNKNOWN] += 1
            code = json.dumps(block, ensure_ascii=False, indent=1)
            return [TextPart(f"\n\n{fenced(code, 'json')}\n\n")]
