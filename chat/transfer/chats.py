"""A chat as a plain value: the form between the database and all file formats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from chat.parts import FilePart, NoticePart, Part, ReasoningPart, SourcePart, TextPart
from chat.translatable import translatable as _

MOST_MESSAGES = 20_000  # of one chat
MOST_CHARACTERS = 5_000_000  # of one chat
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)

# What an import leaves out or changes.
FILES = _("files")
IMAGES = _("images")
AUDIO = _("recordings")
SOURCES = _("sources of replies")
CODE = _("runs of code")
INSTRUCTIONS = _("custom instructions and system prompts")
UNNAMED_FOLDERS = _("chats that were in a folder: the file does not name it")
UNKNOWN = _("parts of an unknown kind, kept as JSON")
PRESETS = _("presets that are not here: their chats keep the name and the instructions")
GROWN = _(
    "chats with more replies in the file than here: delete them here, and import the file again to have them"
)
CONTINUED = _(
    "chats with new replies in the file, and with replies made here: keep them, or export them before you "
    "delete them here"
)
EXTRAS = _("damaged folders, presets or saved prompts")
DESCRIPTIONS = _("descriptions of projects")
LONG_INSTRUCTIONS = _("instructions of projects that are too long for a folder: they are a file of it")
DOCUMENTS = _("documents of projects that are damaged, too large, there twice or above the limits")
UNLINKED = _("projects whose chats the file does not name: these chats are in no folder")


class UnreadableError(Exception):
    """A chat or a file cannot be imported. The message is a sentence for people, in English."""


@dataclass(slots=True)
class Reply:
    """What is known of the production of a reply. `batch` is the same for replies side by side."""

    model: str = ""
    status: str = "complete"
    batch: str = ""
    error_message: str = ""


@dataclass(slots=True)
class Rating:
    """The user's rating of a reply."""

    is_good: bool
    reason: str = ""
    comment: str = ""


@dataclass(slots=True)
class Node:
    """A message. `reply` is None for a prompt. `parent` is the id of another node of the chat."""

    id: str
    parent: str | None
    parts: list[Part]
    reply: Reply | None = None
    at: datetime | None = None
    shown: bool = False
    rating: Rating | None = None

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))


@dataclass(slots=True)
class UsedPreset:
    """The preset of a chat: the name and number of its version, and its instructions with the values of its
    variables filled in."""

    name: str
    number: int
    instructions: str = ""
    values: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Chat:
    """`nodes` has each parent before its children. `left_out` counts what the import does not take, by its
    name in English."""

    id: str
    title: str
    nodes: list[Node]
    head: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    pinned: bool = False
    archived: bool = False
    tags: list[str] = field(default_factory=list)
    folder: str = ""
    preset: UsedPreset | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    uses_instructions: bool = True
    left_out: Counter[str] = field(default_factory=Counter)

    def files(self) -> list[FilePart]:
        return [part for node in self.nodes for part in node.parts if isinstance(part, FilePart)]

    def path(self) -> list[Node]:
        """Returns the nodes from the first one to the head."""
        by_id = {node.id: node for node in self.nodes}
        path: list[Node] = []
        node = by_id.get(self.head or "")
        while node is not None:
            path.append(node)
            node = by_id.get(node.parent or "")
        return path[::-1]


@dataclass(slots=True)
class RawMessage:
    """A message of a foreign file before it becomes a node. Foreign files have one message for each call and
    result of a tool; here a reply has them as parts."""

    id: str
    parent: str | None
    is_prompt: bool
    parts: list[Part]
    at: datetime | None = None
    model: str = ""
    status: str = "complete"
    rating: Rating | None = None
    hidden: bool = False  # it only connects its parent to its children


def nodes_of(raws: Iterable[RawMessage]) -> tuple[list[Node], dict[str, str]]:
    """Returns the nodes of a tree of raw messages, and the node's id for each raw message.

    Consecutive messages that are no prompts become one reply. If they branch, each branch is a reply of its
    own that begins with what they share. Raises `UnreadableError`."""
    known = {raw.id: raw for raw in raws}
    children: dict[str | None, list[RawMessage]] = {}
    for raw in known.values():
        parent = raw.parent if raw.parent in known and raw.parent != raw.id else None
        children.setdefault(parent, []).append(raw)
    nodes: list[Node] = []
    node_of: dict[str, str] = {}
    characters = 0
    # Each entry: a message, the node above it, and the messages that belong to the same reply so far.
    stack: list[tuple[RawMessage, str | None, list[RawMessage]]] = [
        (raw, None, []) for raw in children.get(None, [])[::-1]
    ]

    def add(raw: RawMessage, parent: str | None, parts: list[Part], reply: Reply | None) -> str:
        nonlocal characters
        characters += sum(_length(part) for part in parts)
        if len(nodes) >= MOST_MESSAGES or characters > MOST_CHARACTERS:
            raise UnreadableError(_("The chat is too long."))
        nodes.append(Node(raw.id, parent, parts, reply, raw.at, rating=raw.rating))
        return raw.id

    while stack:
        raw, above, pending = stack.pop()
        below = children.get(raw.id, [])
        if raw.is_prompt and not raw.hidden:
            node_of[raw.id] = add(raw, above, raw.parts, None)
            stack += [(child, raw.id, []) for child in reversed(below)]
            continue
        pending = pending if raw.hidden else [*pending, raw]
        others = [child for child in below if not (child.is_prompt and not child.hidden)]
        prompts = [child for child in below if child.is_prompt and not child.hidden]
        place = above
        if pending and (prompts or not others):
            if above is None:  # a chat that begins with a reply
                notice: Part = NoticePart(_("This chat begins with a reply."))
                first = RawMessage(f"{raw.id}-prompt", None, True, [notice], raw.at)
                above = add(first, None, first.parts, None)
            parts = [part for one in pending for part in one.parts]
            last = pending[-1]
            model = next((one.model for one in reversed(pending) if one.model), "")
            place = add(last, above, parts, Reply(model, last.status))
            for one in pending:
                node_of.setdefault(one.id, place)
        stack += [(child, above, pending) for child in reversed(others)]
        stack += [(child, place, []) for child in reversed(prompts)]
    return nodes, node_of


def is_image(file: FilePart) -> bool:
    return file.media_type.startswith("image/")


def _length(part: Part) -> int:
    return len(part.text) if isinstance(part, TextPart | ReasoningPart | NoticePart | SourcePart) else 100


def show_path(chat: Chat) -> None:
    """Marks the path to the head as shown. Without a valid head it is the newest message."""
    if not any(node.id == chat.head for node in chat.nodes):
        times = [(node.at or EARLIEST, number) for number, node in enumerate(chat.nodes)]
        chat.head = chat.nodes[max(times)[1]].id if times else None
    for node in chat.path():
        node.shown = True


def fenced(text: str, language: str = "") -> str:
    """Returns the text as a block of code in Markdown, whatever it contains."""
    longest = run = 0
    for letter in text:
        run = run + 1 if letter == "`" else 0
        longest = max(longest, run)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def paragraphs(*texts: str) -> str:
    return "\n\n".join(text for text in texts if text.strip())


def time_of(value: Any) -> datetime | None:
    """Returns the time of an ISO text or of a number of seconds since 1970 (or milliseconds); None if it is
    neither, or out of all reason."""
    try:
        if isinstance(value, str):
            at = datetime.fromisoformat(value)
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            at = datetime.fromtimestamp(value / 1000 if value > 1e11 else value, UTC)
        else:
            return None
        at = at.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return at if EARLIEST <= at <= datetime.now(UTC) else None


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else ""


def dict_of(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def list_of(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
