"""Steady's own format: JSON with all branches. `docs/export.md` describes it."""

from __future__ import annotations

import json
from datetime import datetime
from types import UnionType
from typing import Any

from chat.parts import FilePart, Opaque, Part, loaded, stored
from chat.sources import MOST_PLACE
from chat.transfer.chats import (
    FILES,
    MOST_MESSAGES,
    UNKNOWN,
    Chat,
    Node,
    Rating,
    Reply,
    UnreadableError,
    UsedPreset,
    dict_of,
    fenced,
    list_of,
    show_path,
    text_of,
    time_of,
)
from chat.transfer.extras import is_number
from chat.translatable import translatable as _

FORMAT, VERSION = "steady-chats", 1
MINOR = 1  # of fields that a reader of the same version may ignore
MOST_INSTRUCTIONS = 1_000_000  # characters of the instructions of one chat's preset
STATUSES = frozenset({"complete", "length", "stopped", "interrupted", "failed", "refused"})


def dump(chat: Chat) -> dict[str, Any]:
    """Returns one entry of `chats`."""
    return {
        "id": chat.id,
        "title": chat.title,
        "created_at": _time(chat.created_at),
        "updated_at": _time(chat.updated_at),
        "pinned": chat.pinned,
        "archived": chat.archived,
        "tags": chat.tags,
        "folder": chat.folder,
        "preset": _dump_preset(chat.preset) if chat.preset else None,
        "parameters": chat.parameters,
        "uses_instructions": chat.uses_instructions,
        "head": chat.head,
        "messages": [_dump_node(node) for node in chat.nodes],
    }


def _dump_preset(preset: UsedPreset) -> dict[str, Any]:
    return {
        "name": preset.name,
        "version": preset.number,
        "instructions": preset.instructions,
        "values": preset.values,
    }


def _dump_node(node: Node) -> dict[str, Any]:
    item: dict[str, Any] = {
        "id": node.id,
        "parent": node.parent,
        "role": "assistant" if node.reply else "user",
        "shown": node.shown,
        "created_at": _time(node.at),
        # A provider's opaque data (signatures, encrypted reasoning) is of no use to anyone else.
        "parts": [_dump_part(part) for part in node.parts if not isinstance(part, Opaque)],
    }
    if node.reply:
        reply = node.reply
        item["reply"] = {
            "model": reply.model,
            "status": reply.status,
            "batch": reply.batch,
            "error": reply.error_message,
        }
    if node.rating:
        rating = node.rating
        item["feedback"] = {
            "is_good": rating.is_good,
            "reason": rating.reason,
            "comment": rating.comment,
        }
    return item


def _dump_part(part: Part) -> dict[str, Any]:
    (item,) = stored([part])
    return {name: item[name] for name in ("type", *_PART_FIELDS[item["type"]])}


def load(item: dict[str, Any]) -> Chat:
    """Reads one entry of `chats`. Raises `UnreadableError`."""
    messages = list_of(item.get("messages"))
    if len(messages) > MOST_MESSAGES:
        raise UnreadableError(_("The chat is too long."))
    chat = Chat(
        id=text_of(item.get("id")),
        title=text_of(item.get("title")),
        nodes=[],
        head=text_of(item.get("head")) or None,
        created_at=time_of(item.get("created_at")),
        updated_at=time_of(item.get("updated_at")),
        pinned=item.get("pinned") is True,
        archived=item.get("archived") is True,
        tags=[tag for tag in list_of(item.get("tags")) if isinstance(tag, str)],
        folder=text_of(item.get("folder")),
        preset=_load_preset(dict_of(item.get("preset"))),
        parameters=dict_of(item.get("parameters")),
        uses_instructions=item.get("uses_instructions") is not False,
    )
    known: set[str] = set()
    for message in messages:
        node = _load_node(dict_of(message), known, chat)
        known.add(node.id)
        chat.nodes.append(node)
    if not chat.id or not chat.nodes:
        raise UnreadableError(_("The chat has no messages."))
    side_by_side = {node.id for node in chat.nodes if node.shown and node.reply}
    for node in chat.nodes:
        node.shown = False
    show_path(chat)
    answered = {node.parent for node in chat.nodes if node.shown and node.reply}
    for node in chat.nodes:
        if node.id in side_by_side and node.parent in answered:
            node.shown = True
    return chat


def _load_preset(preset: dict[str, Any]) -> UsedPreset | None:
    name, number = text_of(preset.get("name")), preset.get("version")
    instructions, values = text_of(preset.get("instructions")), dict_of(preset.get("values"))
    if not name.strip() or not isinstance(number, int) or not is_number(number):
        return None
    if len(instructions) > MOST_INSTRUCTIONS:
        raise UnreadableError(_("The chat is too long."))
    return UsedPreset(name, number, instructions, {key: text_of(value) for key, value in values.items()})


def _load_node(message: dict[str, Any], known: set[str], chat: Chat) -> Node:
    node_id, parent = text_of(message.get("id")), message.get("parent")
    if not node_id or node_id in known or not (parent is None or parent in known):
        raise UnreadableError(_("The order of its messages is damaged."))
    parts: list[Part] = []
    for part in loaded(_valid(part, chat) for part in list_of(message.get("parts"))):
        if isinstance(part, Opaque):
            continue
        if isinstance(part, FilePart):
            chat.left_out[FILES] += 1
        parts.append(part)
    node = Node(node_id, parent, parts, at=time_of(message.get("created_at")))
    node.shown = message.get("shown") is True
    if message.get("role") == "assistant":
        reply = dict_of(message.get("reply"))
        status = text_of(reply.get("status"))
        node.reply = Reply(
            model=text_of(reply.get("model")),
            status=status if status in STATUSES else "interrupted",
            batch=text_of(reply.get("batch")),
            error_message=text_of(reply.get("error")),
        )
    elif message.get("role") != "user":
        raise UnreadableError(_("A message is from neither a person nor a model."))
    if feedback := dict_of(message.get("feedback")):
        words = text_of(feedback.get("reason")), text_of(feedback.get("comment"))
        node.rating = Rating(feedback.get("is_good") is True, *words)
    return node


MOST_PAGES = 1_000_000  # of a file that is quoted
_PART_FIELDS: dict[str, dict[str, type | UnionType]] = {
    "text": {"text": str},
    "reasoning": {"text": str},
    "tool_call": {"id": str, "name": str, "arguments": str},
    "tool_result": {"call_id": str, "text": str, "is_error": bool, "state": str},
    "web_search": {"id": str, "query": str, "state": str, "engine": str},
    "citation": {"url": str, "title": str, "at": int | None},
    "file": {"sha256": str, "media_type": str, "name": str, "size": int},
    "notice": {"text": str},
    "source": {"name": str, "text": str, "page": int, "is_whole": bool},
    "opaque": {},
}


def _valid(part: Any, chat: Chat) -> dict[str, Any]:
    """Returns the part with all of its fields and no others; of an unknown kind, of a later release, its JSON
    as text. Raises `UnreadableError`."""
    part = dict_of(part)
    kinds = _PART_FIELDS.get(text_of(part.get("type")))
    if kinds is None:
        chat.left_out[UNKNOWN] += 1
        code = json.dumps(part, ensure_ascii=False, indent=1)
        return {"type": "text", "text": f"\n\n{fenced(code, 'json')}\n\n"}
    values = {name: part[name] for name in kinds if name in part}
    if not all(isinstance(value, kinds[name]) for name, value in values.items()):
        raise UnreadableError(_("A part of a message is damaged."))
    if "page" in values:
        values["page"] = min(max(0, values["page"]), MOST_PAGES)
    if values.get("at") is not None:
        values["at"] = min(max(0, int(values["at"])), MOST_PLACE)
    return {"type": part["type"], **values} if kinds else {"type": "opaque", "kind": "", "data": {}}


def _time(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
