"""The parts of a message: typed values in the order of its content, and their stored form.

Providers, generation, models and rendering use these types, so this module imports no Django.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from itertools import groupby
from typing import Any


@dataclass(frozen=True, slots=True)
class TextPart:
    """Visible text."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningPart:
    """The model's reasoning or its summary, as far as it is readable."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool by the model. `arguments` is a JSON text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The answer of a tool, as text. `state` says how the call ended: `done`, `failed`, `declined`, `unknown`
    (interrupted while it ran) or `skipped`. All but the first are errors for the model."""

    call_id: str
    text: str
    is_error: bool = False
    state: str = "done"
    seconds: float | None = None  # how long the tool ran


@dataclass(frozen=True, slots=True)
class FilePart:
    """A stored file, by the SHA-256 of its content in hexadecimal, with a media type such as `image/png`.
    `id` is its attachment's. `size` is in bytes. An image that can be shown has its size in pixels."""

    sha256: str
    media_type: str
    name: str = ""
    id: str = ""
    size: int = 0
    width: int = 0
    height: int = 0

    @property
    def audio_type(self) -> str:
        """The media type of an audio file, otherwise empty."""
        return self.media_type if self.media_type.startswith("audio/") else ""


@dataclass(frozen=True, slots=True)
class NoticePart:
    """A sentence of Steady for users about the content, such as what was left out. It is not sent to
    models."""

    text: str


@dataclass(frozen=True, slots=True)
class SourcePart:
    """A passage of a file of the folder or preset that was sent to the model of a reply. With `is_whole`, the
    whole text was sent, and `text` is empty. `page` is 0 if the passage has none. It is not sent again."""

    name: str
    text: str = ""
    page: int = 0
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class WebSearch:
    """A web search of the provider itself. `state` is `started`, `done` or `failed`. All events of a search
    have the same `id`. Its query may be unknown at the start. `engine` is `google` if the provider requires
    links to its searches."""

    id: str = ""
    query: str = ""
    state: str = "started"
    engine: str = ""


@dataclass(frozen=True, slots=True)
class Citation:
    """A page that supports the text. `at` is the end of the supported text, in characters of the visible
    text: of the answer so far in an event, of the message in a part. It is None if the provider gives no
    position. Address and title are not trusted (`chat.sources`)."""

    url: str = ""
    title: str = ""
    at: int | None = None


@dataclass(frozen=True, slots=True)
class Opaque:
    """Provider metadata, kept byte-exact and sent back only to the same provider and model: signatures,
    encrypted reasoning, item ids. `data` is JSON (bytes as base64 text)."""

    kind: str
    data: dict[str, Any]


type Part = (
    TextPart
    | ReasoningPart
    | ToolCall
    | ToolResult
    | WebSearch
    | Citation
    | FilePart
    | NoticePart
    | SourcePart
    | Opaque
)

_CLASSES: dict[str, type[Part]] = {
    "text": TextPart,
    "reasoning": ReasoningPart,
    "tool_call": ToolCall,
    "tool_result": ToolResult,
    "web_search": WebSearch,
    "citation": Citation,
    "file": FilePart,
    "notice": NoticePart,
    "source": SourcePart,
    "opaque": Opaque,
}
_TYPES = {cls: name for name, cls in _CLASSES.items()}
_FIELDS = {cls: [field.name for field in fields(cls)] for cls in _TYPES}


def stored(parts: Iterable[Part]) -> list[dict[str, Any]]:
    """Returns the JSON form of `Message.parts`: `{"type": "text", "text": ...}` and so on."""
    return [
        {"type": _TYPES[type(part)], **{name: getattr(part, name) for name in _FIELDS[type(part)]}}
        for part in parts
    ]


def loaded(items: Iterable[Mapping[str, Any]]) -> list[Part]:
    """Returns the parts of a stored message. Leaves out the types of a later release."""
    return [part for item in items for part in _loaded(item)]


def _loaded(item: Mapping[str, Any]) -> Iterator[Part]:
    if (
        item["type"] == "tool"
    ):  # the pieces of tool calls as the provider sent them: the form of an older release
        yield from tool_calls(item["text"])
    elif cls := _CLASSES.get(item["type"]):
        yield cls(**{name: item[name] for name in _FIELDS[cls] if name in item})


def with_joined_texts(parts: Iterable[Part]) -> Iterator[Part]:
    """Yields the parts, with neighbouring texts as one."""
    for is_text, run in groupby(parts, lambda part: isinstance(part, TextPart)):
        if is_text:
            yield TextPart("".join(part.text for part in run if isinstance(part, TextPart)))
        else:
            yield from run


def tool_calls(lines: str) -> list[ToolCall]:
    """Returns the tool calls in pieces: one JSON object in each line, with `index`, `id`, `name` and the next
    fragment of `arguments`. Leaves out a line that the length limit of a reply cut."""
    calls: dict[int, tuple[list[str], list[str], list[str]]] = {}
    for line in lines.split("\n"):
        try:
            piece = json.loads(line)
        except ValueError:
            continue
        ids, names, arguments = calls.setdefault(piece["index"], ([], [], []))
        ids.append(piece["id"] or "")
        names.append(piece["name"] or "")
        arguments.append(piece["arguments"])
    return [ToolCall(*(storable("".join(pieces)) for pieces in call)) for call in calls.values()]


def storable(text: str) -> str:
    """Returns the text with U+FFFD for NUL and lone surrogates, which PostgreSQL and UTF-8 cannot store."""
    if text.isprintable():
        return text
    return text.replace("\x00", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def storable_part[P: Part](part: P) -> P:
    """Returns the part with texts that every database stores."""
    values = {field.name: getattr(part, field.name) for field in fields(part)}
    return replace(part, **{name: _storable_json(it) for name, it in values.items()})


def _storable_json(value: Any) -> Any:
    match value:
        case str():
            return storable(value)
        case list():
            return [_storable_json(item) for item in value]
        case dict():
            return {storable(name): _storable_json(item) for name, item in value.items()}
    return value
