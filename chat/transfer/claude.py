"""Claude's export: `conversations.json` of its zip file, and its projects.

Anthropic documents no schema. This reads the form that public parsers describe (2024 to 2026): the list
`chat_messages`, newer ones with `parent_message_uuid`. Projects are in `projects.json`, since 2026 in a file
for each, `projects/<id>.json`. Nothing in the files of Anthropic links a chat to its project. Files of other
programs, which ask Claude's server for the chats, name the project.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import orjson

from chat.parts import NoticePart, Part, ReasoningPart, TextPart
from chat.transfer.chats import (
    DESCRIPTIONS,
    DOCUMENTS,
    FILES,
    LONG_INSTRUCTIONS,
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
from chat.transfer.extras import FOLDER
from chat.translatable import translatable as _

MOST_NAME = 100  # characters of the name of a folder
MOST_INSTRUCTIONS = 8_000  # characters of its instructions
MOST_DOCUMENTS = 50  # files of a folder
MOST_PROJECT_BYTES = 16 * 1024 * 1024  # of the documents of a project, as JSON
_NO_PARENT = "00000000-0000-4000-8000-000000000000"
_NOT_IN_TEXT = re.compile(r"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\ud800-\udfff]")
_NOT_TEXT = re.compile(r"\.(?:pdf|epub|rtf|doc|docx|odt|ppt|pptx|odp|xls|xlsx|ods)\Z", re.IGNORECASE)


def is_chat(item: dict[str, Any]) -> bool:
    return isinstance(item.get("chat_messages"), list)


def load(item: dict[str, Any]) -> Chat:
    """Raises `UnreadableError`."""
    left_out: Counter[str] = Counter()
    raws: list[RawMessage] = []
    for number, message in enumerate(map(dict_of, item["chat_messages"])):
        parent = message.get("parent_message_uuid")
        if not isinstance(parent, str):  # older files: one after the other
            parent = raws[-1].id if raws else None
        raws.append(
            RawMessage(
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


def is_project(item: dict[str, Any]) -> bool:
    return "prompt_template" in item and "docs" in item


def project_id(item: dict[str, Any]) -> str:
    return text_of(item.get("uuid"))


def project_of(chat: dict[str, Any]) -> tuple[str, str]:
    """Returns the id and the name of the project that this chat names; empty where it does not."""
    project = dict_of(chat.get("project"))
    named = text_of(chat.get("project_uuid")) or text_of(project.get("uuid"))
    return named, project_name(project) if project.get("name") else ""


def project_name(project: dict[str, Any]) -> str:
    return " ".join(_clean(project.get("name")).split())[:MOST_NAME].strip() or "Project"


def load_project(item: dict[str, Any]) -> tuple[dict[str, Any], Counter[str]]:
    """Returns the project as a folder with `documents`, and what is left out of it. Its documents are text:
    for a PDF or an office file, the text that Claude read in it."""
    left_out: Counter[str] = Counter()
    documents: list[dict[str, str]] = []
    instructions = _clean(item.get("prompt_template")).strip()
    docs = [dict_of(doc) for doc in list_of(item.get("docs"))]
    if len(instructions) > MOST_INSTRUCTIONS:
        left_out[LONG_INSTRUCTIONS] += 1
        docs.insert(0, {"filename": "instructions.md", "content": instructions})
        instructions = ""
    if text_of(item.get("description")).strip():
        left_out[DESCRIPTIONS] += 1
    texts: set[str] = set()
    room = MOST_PROJECT_BYTES
    for doc in docs:
        document = {"name": _document_name(text_of(doc.get("filename"))), "text": _clean(doc.get("content"))}
        size = len(orjson.dumps(document))
        is_new = bool(document["text"].strip()) and document["text"] not in texts
        if not is_new or len(documents) >= MOST_DOCUMENTS or size > room:
            left_out[DOCUMENTS] += 1
            continue
        room -= size
        texts.add(document["text"])
        documents.append(document)
    folder = {"type": FOLDER, "name": project_name(item), "instructions": instructions, "preset": ""}
    return {**folder, "documents": documents}, left_out


def _clean(value: Any) -> str:
    """Returns the text without the characters that a text file does not have."""
    return _NOT_IN_TEXT.sub("\ufffd", text_of(value).replace("\r\n", "\n"))


def _document_name(name: str) -> str:
    name = _clean(name)[-200:]
    return f"{name}.txt" if _NOT_TEXT.search(name) else name


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
