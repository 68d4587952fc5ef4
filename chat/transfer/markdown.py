"""A chat as Markdown, as its owner sees it: the shown messages with their reasoning and tool calls."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from chat.parts import (
    Citation,
    FilePart,
    NoticePart,
    Part,
    ReasoningPart,
    SourcePart,
    TextPart,
    ToolCall,
    ToolResult,
    WebSearch,
    with_joined_texts,
)
from chat.sources import Source, marked, marks_of, marks_within, sources_of
from chat.transfer.chats import Chat, Node, fenced


def write(chat: Chat, words: Words) -> str:
    """`words` has the few words of the page in the user's language."""
    blocks = [f"# {_line(chat.title) or words.untitled}"]
    if chat.created_at:
        blocks.append(f"*{_minute(chat.created_at)}*")
    for node in chat.nodes:
        if node.shown:
            blocks += _message(node, words)
    return "\n\n".join(blocks) + "\n"


@dataclass(frozen=True, slots=True)
class Words:
    """Words of the page. Translated by the caller, because this package imports no Django. `states` has the
    words for each status of a reply."""

    untitled: str
    you: str
    reasoning: str
    tool: str
    result: str
    file: str
    source: str
    page: str
    search: str
    sources: str
    states: dict[str, str]


def _message(node: Node, words: Words) -> list[str]:
    who = (node.reply.model if node.reply else "") or words.you
    blocks = [f"## {_line(who)}"]
    citations = [part for part in node.parts if isinstance(part, Citation)]
    all_marks = marks_of(citations)
    said = 0
    # Citations divide the text.
    for part in with_joined_texts(part for part in node.parts if not isinstance(part, Citation)):
        if isinstance(part, TextPart) and citations:
            marks = marks_within(all_marks, said, said + len(part.text))
            said += len(part.text)
            part = TextPart(marked(part.text, marks, lambda number: f"\\[{number}\\]"))
        if text := _part(part, words):
            blocks.append(text)
    if sources := sources_of(citations):
        blocks += [f"**{words.sources}**", "\n".join(map(_source, sources))]
    if node.reply and node.reply.status != "complete":
        blocks.append(f"*{words.states.get(node.reply.status, node.reply.status)}*")
    return blocks


def _source(source: Source) -> str:
    title = re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", source.title)
    return f"{source.number}. [{title}](<{re.sub('[<>]', '', source.url)}>)"


def _part(part: Part, words: Words) -> str:
    match part:
        case TextPart(text):
            return text.strip("\n")
        case ReasoningPart(text):
            quoted = "\n".join(f"> {line}" for line in text.strip().split("\n"))
            return f"> **{words.reasoning}**\n>\n{quoted}" if text.strip() else ""
        case ToolCall(_, name, arguments):
            return f"**{words.tool}: {_line(name)}**\n\n{fenced(arguments, 'json')}"
        case ToolResult(_, text, _):
            return f"**{words.result}**\n\n{fenced(text)}"
        case WebSearch(query=query):
            return f"*{words.search}: {_line(query)}*"
        case FilePart(_, _, name):
            return f"*{words.file}: {_line(name)}*"
        case SourcePart(name, text, page):
            quoted = "\n".join(f"> {line}" for line in text.strip().split("\n"))
            place = f", {words.page} {page}" if page else ""
            return f"**{words.source}: {_line(name)}{place}**" + (f"\n\n{quoted}" if text.strip() else "")
        case NoticePart(text):
            return f"*{_line(text)}*"
        case _:
            return ""


def _line(text: str) -> str:
    return " ".join(text.split())


def _minute(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M UTC")
