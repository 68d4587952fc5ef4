"""ChatGPT's export: `conversations.json` (or `conversations-000.json` and so on) of its zip file.

OpenAI documents no schema. This reads the form that public parsers describe (2023 to February 2026): a tree
in `mapping` with one node for each prompt, answer, call and result.

Files are beside it in the zip file. A message names them as `file-service://file-<id>` or
`sediment://file_<id>` in its content, and as `file-<id>` in the `attachments` of its metadata. The name of an
entry begins with that id, in any folder: `file-<id>-photo.png`, `dalle-generations/file-<id>-<uuid>.webp`,
`user-<id>/file_<id>-<uuid>.png`. Public readers of such files agree on it (read in November 2026).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from chat.parts import FilePart, NoticePart, Part, ReasoningPart, TextPart
from chat.transfer.chats import (
    AUDIO,
    INSTRUCTIONS,
    UNKNOWN,
    Chat,
    RawMessage,
    UnreadableError,
    dict_of,
    fenced,
    list_of,
    nodes_of,
    paragraphs,
    show_path,
    text_of,
    time_of,
)
from chat.translatable import translatable as _

_FILE_ID = re.compile(r"(?:file-service://|sediment://)?(file[-_][A-Za-z0-9]{1,64})\Z")
_MOST_FILES = 100  # of one message


def is_chat(item: dict[str, Any]) -> bool:
    return isinstance(item.get("mapping"), dict)


def load(item: dict[str, Any]) -> Chat:
    """Raises `UnreadableError`."""
    left_out: Counter[str] = Counter()
    raws = [_raw(str(key), dict_of(node), left_out) for key, node in item["mapping"].items()]
    nodes, node_of = nodes_of(raws)
    if not nodes:
        raise UnreadableError(_("The chat has no messages."))
    chat = Chat(
        id=text_of(item.get("conversation_id")) or text_of(item.get("id")) or nodes[0].id,
        title=text_of(item.get("title")),
        nodes=nodes,
        head=_head(text_of(item.get("current_node")), {raw.id: raw for raw in raws}, node_of),
        created_at=time_of(item.get("create_time")),
        updated_at=time_of(item.get("update_time")),
        pinned=bool(item.get("is_starred")) or bool(item.get("pinned_time")),
        archived=item.get("is_archived") is True,
        left_out=left_out,
    )
    show_path(chat)
    return chat


def _head(at: str, raws: dict[str, RawMessage], node_of: dict[str, str]) -> str | None:
    seen: set[str] = set()
    while at and at not in node_of and at in raws and at not in seen:
        seen.add(at)
        at = raws[at].parent or ""
    return node_of.get(at)


def _raw(key: str, node: dict[str, Any], left_out: Counter[str]) -> RawMessage:
    message, parent = dict_of(node.get("message")), node.get("parent")
    metadata = dict_of(message.get("metadata"))
    role = text_of(dict_of(message.get("author")).get("role"))
    raw = RawMessage(
        id=key,
        parent=parent if isinstance(parent, str) else None,
        is_prompt=role == "user",
        parts=[],
        at=time_of(message.get("create_time")),
        model=text_of(metadata.get("model_slug")) if role == "assistant" else "",
    )
    hidden = metadata.get("is_visually_hidden_from_conversation") is True
    if not message or role == "system" or hidden:
        raw.hidden = True
        if metadata.get("is_user_system_message") or (hidden and role == "user"):
            left_out[INSTRUCTIONS] += 1
        return raw
    files = _attached(metadata)
    raw.parts = _parts(message, role, metadata, left_out, files)
    raw.parts = [*files.values(), *raw.parts]
    raw.hidden = not raw.parts
    if role == "assistant" and message.get("status") == "in_progress":
        raw.status = "interrupted"
    return raw


def _parts(
    message: dict[str, Any],
    role: str,
    metadata: dict[str, Any],
    left_out: Counter[str],
    files: dict[str, FilePart],
) -> list[Part]:
    """Takes the images in the content out of `files`: they have their place."""
    content = dict_of(message.get("content"))
    recipient = text_of(message.get("recipient")) or "all"
    match text_of(content.get("content_type")):
        case "text" | "multimodal_text":
            parts = [
                part for value in list_of(content.get("parts")) for part in _piece(value, left_out, files)
            ]
            if role == "assistant" and recipient != "all":
                return _tool(recipient, "".join(part.text for part in parts if isinstance(part, TextPart)))
            if role == "tool":
                text = "".join(part.text for part in parts if isinstance(part, TextPart))
                rest = [part for part in parts if not isinstance(part, TextPart)]
                return [*_result(text), *rest]
            return [_cited(part, metadata) for part in parts]
        case "code":
            text = text_of(content.get("text"))
            if recipient != "all":
                return _tool(recipient, text)
            language = text_of(content.get("language"))
            return [TextPart(fenced(text, "" if language == "unknown" else language))] if text else []
        case "execution_output":
            return _result(text_of(content.get("text")))
        case "tether_browsing_display":
            return _result(text_of(content.get("result")) or text_of(content.get("summary")))
        case "tether_quote":
            quote = paragraphs(text_of(content.get("title")), text_of(content.get("text")))
            return _result(paragraphs(quote, text_of(content.get("url"))))
        case "system_error":
            return _result(paragraphs(text_of(content.get("name")), text_of(content.get("text"))))
        case "thoughts":
            thoughts = [dict_of(thought) for thought in list_of(content.get("thoughts"))]
            texts = [paragraphs(text_of(it.get("summary")), text_of(it.get("content"))) for it in thoughts]
            return [ReasoningPart(paragraphs(*texts) + "\n\n")] if paragraphs(*texts) else []
        case "reasoning_recap":
            return []  # the time that it took
        case "user_editable_context" | "model_editable_context":
            left_out[INSTRUCTIONS] += 1
            return []
        case _ if content:
            left_out[UNKNOWN] += 1
            return [_as_json(content)]
        case _:
            return []


def _attached(metadata: dict[str, Any]) -> dict[str, FilePart]:
    """Returns the attached files by their ids. Their contents are found by the id in place of the SHA-256."""
    found: dict[str, FilePart] = {}
    for attachment in map(dict_of, list_of(metadata.get("attachments"))[:_MOST_FILES]):
        match = _FILE_ID.match(text_of(attachment.get("id")))
        key = match[1] if match else f"?{len(found)}"
        kind = text_of(attachment.get("mime_type") or attachment.get("mimeType"))
        found[key] = FilePart(key, kind or "application/octet-stream", text_of(attachment.get("name")))
    return found


def _piece(value: Any, left_out: Counter[str], files: dict[str, FilePart]) -> list[Part]:
    if isinstance(value, str):
        return [TextPart(value)] if value else []
    piece = dict_of(value)
    match text_of(piece.get("content_type")):
        case "audio_transcription":
            return [TextPart(text_of(piece.get("text")))]
        case "image_asset_pointer":
            pointer = _FILE_ID.match(text_of(piece.get("asset_pointer")))
            key = pointer[1] if pointer else "?"  # a file of no name is not in the file
            return [files.pop(key) if key in files else FilePart(key, "image/png")]
        case "audio_asset_pointer" | "real_time_user_audio_video_asset_pointer":
            left_out[AUDIO] += 1
            return [NoticePart(_("A recording of this message is not in the imported file."))]
        case _:
            left_out[UNKNOWN] += 1
            return [_as_json(piece)]


def _cited(part: Part, metadata: dict[str, Any]) -> Part:
    """Returns the text with its references as Markdown: the file has marks of letters that no font shows."""
    if not isinstance(part, TextPart) or "\ue200" not in part.text:
        return part
    text = part.text
    for reference in list_of(metadata.get("content_references"))[:1_000]:
        mark = text_of(dict_of(reference).get("matched_text"))
        if mark.startswith("\ue200"):
            text = text.replace(mark, text_of(dict_of(reference).get("alt")), 1)
    out, rest = [], text
    while "\ue200" in rest:
        before, _mark, rest = rest.partition("\ue200")
        out.append(before)
        rest = rest.partition("\ue201")[2]
    return TextPart("".join(out) + rest)


def _tool(name: str, text: str) -> list[Part]:
    """What tools did is kept as text: the tools themselves are not here."""
    return [TextPart(f"\n\n**{name}**\n\n{fenced(text)}\n\n")] if text.strip() else []


def _result(text: str) -> list[Part]:
    return [TextPart(f"\n\n{fenced(text)}\n\n")] if text.strip() else []


def _as_json(value: dict[str, Any]) -> Part:
    return TextPart("\n\n" + fenced(json.dumps(value, ensure_ascii=False, indent=1), "json") + "\n\n")
