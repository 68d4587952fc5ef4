"""Open WebUI's export: a list of chats, each with a tree in `chat.history.messages`.

Written from its source (version 0.6 and later), where the page saves what it holds. Reasoning and tool calls
are `<details>` elements in the text of a message.
"""

from __future__ import annotations

from collections import Counter
from html import unescape
from typing import Any

from chat.parts import NoticePart, Part, ReasoningPart, TextPart
from chat.transfer.chats import (
    CODE,
    FILES,
    IMAGES,
    INSTRUCTIONS,
    SOURCES,
    UNNAMED_FOLDERS,
    Chat,
    Rating,
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


def is_chat(item: dict[str, Any]) -> bool:
    chat = dict_of(item.get("chat")) or item
    return isinstance(dict_of(chat.get("history")).get("messages"), dict)


def load(item: dict[str, Any]) -> Chat:
    """Raises `UnreadableError`."""
    left_out: Counter[str] = Counter()
    inner = dict_of(item.get("chat")) or item
    history = dict_of(inner.get("history"))
    raws = [_raw(str(key), dict_of(value), left_out) for key, value in history["messages"].items()]
    if inner.get("system") or dict_of(inner.get("params")).get("system"):
        left_out[INSTRUCTIONS] += 1
    # The id of a folder. No export of Open WebUI has the names of folders.
    left_out[UNNAMED_FOLDERS] += bool(item.get("folder_id"))
    left_out += Counter()  # drops what is zero
    nodes, node_of = nodes_of(raws)
    if not nodes:
        raise UnreadableError(_("The chat has no messages."))
    chat = Chat(
        id=text_of(item.get("id")) or text_of(inner.get("id")) or nodes[0].id,
        title=text_of(item.get("title")) or text_of(inner.get("title")),
        nodes=nodes,
        head=node_of.get(text_of(history.get("currentId"))),
        created_at=time_of(item.get("created_at")) or time_of(inner.get("timestamp")),
        updated_at=time_of(item.get("updated_at")),
        pinned=item.get("pinned") is True,
        archived=item.get("archived") is True,
        # The ids of the tags: their names in lower case, with `_` for a space.
        tags=[tag for tag in list_of(dict_of(item.get("meta")).get("tags")) if isinstance(tag, str)],
        left_out=left_out,
    )
    show_path(chat)
    return chat


def _raw(key: str, message: dict[str, Any], left_out: Counter[str]) -> RawMessage:
    role, parent = text_of(message.get("role")), message.get("parentId")
    parts = _parts_of(text_of(message.get("content"))) if role != "user" else _text(message)
    for file in map(dict_of, list_of(message.get("files"))):
        left_out[IMAGES if file.get("type") == "image" else FILES] += 1
        parts.append(NoticePart(_("A file of this message is not in the imported file.")))
    left_out[SOURCES] += len(list_of(message.get("sources") or message.get("citations")))
    left_out[CODE] += len(list_of(message.get("code_executions")))
    error = message.get("error")
    if error:
        words = text_of(dict_of(error).get("content")) or text_of(error)
        parts += [TextPart(words)] if words and not parts else []
    rating = dict_of(message.get("annotation")).get("rating")
    return RawMessage(
        id=key,
        parent=parent if isinstance(parent, str) else None,
        is_prompt=role == "user",
        parts=parts,
        at=time_of(message.get("timestamp")),
        model=text_of(message.get("modelName")) or text_of(message.get("model")),
        status="failed" if error else ("interrupted" if message.get("done") is False else "complete"),
        rating=Rating(rating > 0) if isinstance(rating, int) and rating else None,
        hidden=role == "system",
    )


def _text(message: dict[str, Any]) -> list[Part]:
    text = text_of(message.get("content"))
    return [TextPart(text)] if text else []


def _parts_of(text: str) -> list[Part]:
    """Splits the text of a reply at its `<details type=...>`. What is not of the known form stays text."""
    parts: list[Part] = []
    start = 0
    while (at := text.find('<details type="', start)) >= 0:
        opened, end = text.find(">", at), text.find("</details>", at)
        if not at < opened < end:
            break
        found = _details(text[at:opened], text[opened + 1 : end])
        if found:
            parts += [TextPart(text[start:at])] if text[start:at].strip() else []
            parts.append(found)
        else:
            parts.append(TextPart(text[start : end + len("</details>")]))
        start = end + len("</details>")
    rest = text[start:]
    return parts + ([TextPart(rest if not parts else rest.lstrip("\n"))] if rest.strip() else [])


def _details(tag: str, inside: str) -> Part | None:
    body = inside.partition("</summary>")[2] if "<summary>" in inside else inside
    match _attribute(tag, "type"):
        case "reasoning":
            lines = unescape(body.strip("\n")).split("\n")
            return ReasoningPart("\n".join(line.removeprefix("> ").removeprefix(">") for line in lines))
        case "tool_calls":
            call = paragraphs(f"**{_attribute(tag, 'name')}**", fenced(_attribute(tag, "arguments"), "json"))
            result = _attribute(tag, "result") or body.strip()
            return TextPart(f"\n\n{paragraphs(call, fenced(result) if result else '')}\n\n")
        case _:
            return None


def _attribute(tag: str, name: str) -> str:
    value = tag.partition(f'{name}="')[2].partition('"')[0]
    return unescape(unescape(value)).strip('"') if name != "type" else value
