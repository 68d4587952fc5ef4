"""Claude's export: `conversations.json` of its zip file.

Anthropic documents no schema. This reads the form that public parsers describe (2024 to 2026): the list
`chat_messages`, newer ones with `parent_message_uuid`.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from chat.parts import NoticePart, Part, ReasoningPart, TextPart
from chat.transfer.chats import (
    FILES,
    UNKNOWN,
    Chat,
    Raw,
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

_NO_PARENT = "00000000-0000-4000-8000-000000000000"


def is_chat(item: dict[str, Any]) -> bool:
    return isinstance(item.get("chat_messages"), list)


def load(item: dict[str, Any]) -> Chat:
    """Raises `UnreadableError`."""
    left_out: Counter[str] = Counter()
    raws: list[Raw] = []
    for number, message in enumerate(map(dict_of, item["chat_messages"])):
        parent = message.get("parent_message_uuid")
        if not isinstance(parent, str):  # older files: one after the other
            parent = raws[-1].id if raws else None
        raws.append(
            Raw(
                id=text_of(message.get("uuid")) or f"message-{number}",
                parent=None if parent == _NO_PARENT else parent,
                is_prompt=message.get("sender") in ("human", "user"),
                parts=_parts(message, left_out),
                at=time_of(message.get("created_at")),
                model=text_of(message.get("model")) or text_of(item.get("model")) or "Claude",
            )
        )
    nodes, node_of = nodes_of(raws)
    if not nodes:
        raise UnreadableError(_("The chat has no messages."))
    chat = Chat(
        id=text_of(item.get("uuid")) or nodes[0].id,
        title=text_of(item.get("name")),
        nodes=nodes,
        head=node_of.get(text_of(item.get("current_leaf_message_uuid"))),
        created_at=time_of(item.get("created_at")),
        updated_at=time_of(item.get("updated_at")),
        pinned=item.get("is_starred") is True,
        left_out=left_out,
    )
    show_path(chat)
    return chat


def _parts(message: dict[str, Any], left_out: Counter[str]) -> list[Part]:
    parts: list[Part] = []
    for attachment in map(dict_of, list_of(message.get("attachments"))):
        name, text = text_of(attachment.get("file_name")), text_of(attachment.get("extracted_content"))
        if text:
            parts.append(TextPart(f"**{name or _('File')}**\n\n{fenced(text)}\n\n"))
        else:
            parts.append(_missing(left_out))
    parts += [_missing(left_out) for _file in list_of(message.get("files"))]
    content = [dict_of(block) for block in list_of(message.get("content"))]
    for block in content:
        parts += _block(block, left_out)
    if not content and message.get("text"):
        parts.append(TextPart(text_of(message.get("text"))))
    return parts


def _block(block: dict[str, Any], left_out: Counter[str]) -> list[Part]:
    match text_of(block.get("type")):
        case "text" | "voice_note":
            return [TextPart(text_of(block.get("text")))]
        case "thinking":
            return [ReasoningPart(text_of(block.get("thinking")))]
        case "redacted_thinking" | "token_budget" | "flag":
            return []
        case "tool_use":
            code = json.dumps(block.get("input"), ensure_ascii=False, indent=1)
            return [TextPart(f"\n\n**{text_of(block.get('name'))}**\n\n{fenced(code, 'json')}\n\n")]
        case "tool_result":
            result = block.get("content")
            if not isinstance(result, str):
                texts = [text_of(dict_of(it).get("text")) for it in list_of(result)]
                result = "\n\n".join(filter(None, texts)) or json.dumps(result, ensure_ascii=False)
            return [TextPart(f"\n\n{fenced(result)}\n\n")]
        case _:
            left_out[UNKNOWN] += 1
            code = json.dumps(block, ensure_ascii=False, indent=1)
            return [TextPart(f"\n\n{fenced(code, 'json')}\n\n")]


def _missing(left_out: Counter[str]) -> Part:
    left_out[FILES] += 1
    return NoticePart(_("A file of this message is not in the imported file."))
