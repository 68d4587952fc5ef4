"""Exports chats as files: one as Markdown or JSON, many as one JSON or as a zip of Markdown."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import datetime
from itertools import batched
from typing import Any
from uuid import UUID

import orjson
from django.db.models import Prefetch
from django.utils import timezone
from django.utils.text import get_valid_filename
from django.utils.translation import gettext

from chat.access import conversation_for, conversations_of
from chat.actions.errors import InvalidInputError
from chat.actions.extras import extras_of, used_preset
from chat.actor import in_chunks
from chat.database import run_unit
from chat.files import store
from chat.models import Conversation, Generation, JournalEntry, Message, Status, StoredFile, User
from chat.parts import TextPart, loaded
from chat.transfer import markdown, steady
from chat.transfer.chats import Chat, Node, Rating, Reply
from chat.translatable import translatable as _

FORMATS = ("json", "markdown")
_BATCH = 10  # chats in memory at a time
MOST_CHOSEN = 1_000


def chat_of(conversation: Conversation) -> Chat:
    """Returns the whole chat with all branches, without deleted messages."""
    journal = Prefetch("generation__journal", JournalEntry.objects.all())
    rows = conversation.messages.filter(deleted_at=None).order_by("position")
    rows = rows.select_related("generation").prefetch_related(journal, "feedback")
    parents: dict[UUID, UUID | None] = dict(conversation.messages.values_list("pk", "parent_id"))
    messages = list(rows)
    kept = {message.pk for message in messages}
    nodes = [_node(message, _kept_parent(message.parent_id, parents, kept)) for message in messages]
    head = _kept_parent(conversation.head_id, parents, kept)
    return Chat(
        id=str(conversation.pk),
        title=conversation.title,
        nodes=nodes,
        head=head,
        created_at=conversation.created_at,
        updated_at=conversation.updated_at,
        pinned=conversation.pinned_at is not None,
        archived=conversation.archived_at is not None,
        tags=[tag.name for tag in conversation.tags.all()],
        folder=conversation.folder.name if conversation.folder else "",
        preset=used_preset(conversation),
        parameters=conversation.parameters or {},
        uses_instructions=conversation.uses_instructions,
    )


def _kept_parent(at: UUID | None, parents: dict[UUID, UUID | None], kept: set[UUID]) -> str | None:
    """Returns the nearest message that is not deleted, from `at` upwards."""
    while at is not None and at not in kept:
        at = parents.get(at)
    return str(at) if at else None


def _node(message: Message, parent: str | None) -> Node:
    generation: Generation | None = getattr(message, "generation", None)
    parts = list(loaded(message.parts))
    node = Node(str(message.pk), parent, parts, at=message.created_at, shown=message.shown)
    if generation is not None:
        node.reply = Reply(
            model=generation.model_label,
            status=generation.status,
            batch=str(generation.batch or ""),
            error_message=generation.error_message,
        )
        if generation.is_live:  # its text so far
            node.parts, node.reply.status = [TextPart(generation.written_so_far)], Status.INTERRUPTED
    if feedback := message.verdict:
        node.rating = Rating(feedback.is_good, feedback.reason, feedback.comment)
    return node


def export_one(user: User, conversation_id: UUID, form: str) -> tuple[str, AsyncIterator[bytes]]:
    """Returns a file name and the file in pieces. Raises `NotFoundError`, `InvalidInputError`."""
    _check_format(form)
    conversation = conversation_for(user, conversation_id)
    name = _file_name(conversation.title, conversation.created_at)
    if form == "markdown":
        return f"{name}.md", _once(markdown.write(chat_of(conversation), _words()).encode())
    return _as_json(user, [conversation.pk], name)


def export_many(user: User, ids: Iterable[UUID] | None, form: str) -> tuple[str, AsyncIterator[bytes]]:
    """Returns a file name and the file in pieces: of these chats, or of all; JSON of all has the user's
    folders, presets and saved prompts too. Chats of other people are left out. Raises `InvalidInputError`."""
    _check_format(form)
    chosen = None if ids is None else list(dict.fromkeys(ids))
    if chosen is not None and not 0 < len(chosen) <= MOST_CHOSEN:
        raise InvalidInputError(_("Choose between 1 and {limit} chats."), limit=MOST_CHOSEN)
    theirs = conversations_of(user).order_by("created_at", "pk")
    theirs = theirs if chosen is None else theirs.filter(pk__in=chosen)
    found = list(theirs.values_list("pk", flat=True))
    name = f"steady-{timezone.localdate().isoformat()}"
    if form == "markdown":
        return f"{name}.zip", _zip(user, found)
    return _as_json(user, found, name, with_extras=chosen is None)


def _as_json(
    user: User, ids: list[UUID], name: str, *, with_extras: bool = False
) -> tuple[str, AsyncIterator[bytes]]:
    """Returns a JSON file; a zip file with it if the chats have files."""
    files, pieces = _files_of(ids), _json(user, ids, with_extras=with_extras)
    return (f"{name}.zip", _zip_of_json(pieces, files)) if files else (f"{name}.json", pieces)


def _files_of(ids: list[UUID]) -> dict[str, str]:
    """Returns the names in the storage by SHA-256."""
    found: dict[str, str] = {}
    for chunk in in_chunks(ids):
        used = StoredFile.objects.filter(attachments__message__conversation__in=chunk, sha256__isnull=False)
        used = used.filter(attachments__message__deleted_at=None)
        found |= {file.sha256: file.path for file in used.only("sha256", "path") if file.sha256}
    return found


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _check_format(form: str) -> None:
    if form not in FORMATS:
        raise InvalidInputError(_("Choose Markdown or JSON."))


def _chats(user: User, ids: tuple[UUID, ...]) -> list[Chat]:
    found = (
        conversations_of(user).select_related("folder").in_bulk(ids)
    )  # one that was deleted meanwhile is left out
    return [chat_of(found[one]) for one in ids if one in found]


async def _json(user: User, ids: list[UUID], *, with_extras: bool) -> AsyncIterator[bytes]:
    yield _head()
    if with_extras:
        extras = await run_unit(lambda: [orjson.dumps(each) for each in extras_of(user)])
        yield b'"extras":[\n' + b",\n".join(extras) + b"\n],\n"
    yield b'"chats":[\n'
    comma = b""
    for batch in batched(ids, _BATCH, strict=False):
        for chat in await run_unit(_chats, user, batch):
            yield comma + orjson.dumps(steady.dump(chat))
            comma = b",\n"
    yield b"\n]}\n"


def _head() -> bytes:
    """Returns the start of a file: the reader looks for exactly these first two names."""
    first = {
        "format": steady.FORMAT,
        "version": steady.VERSION,
        "minor": steady.MINOR,
        "exported_at": timezone.now().isoformat(),
    }
    return orjson.dumps(first)[:-1] + b",\n"


class _Pieces(io.RawIOBase):
    """A file that can only be written: what was written since the last `take`."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        data, self._pieces = b"".join(self._pieces), []
        return data


async def _zip_of_json(chats: AsyncIterator[bytes], files: dict[str, str]) -> AsyncIterator[bytes]:
    pieces = _Pieces()
    with zipfile.ZipFile(pieces, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("chats.json", "w", force_zip64=True) as entry:
            async for data in chats:
                await run_unit(entry.write, data)
                yield pieces.take()
        for sha256, name in files.items():
            info = zipfile.ZipInfo(f"files/{sha256}")  # not compressed: most files are already
            with archive.open(info, "w", force_zip64=True) as entry:
                chunks = store.chunks(name)
                while data := await run_unit(_next_chunk, chunks):
                    entry.write(data)
                    yield pieces.take()
    yield pieces.take()


def _next_chunk(chunks: Iterator[bytes]) -> bytes:
    """Returns the next chunk, b"" at the end and for a file that was deleted meanwhile."""
    try:
        return next(chunks, b"")
    except OSError:
        return b""


async def _zip(user: User, ids: list[UUID]) -> AsyncIterator[bytes]:
    pieces, words, used = _Pieces(), _words(), set[str]()
    with zipfile.ZipFile(pieces, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(batch: tuple[UUID, ...]) -> None:
            for chat in _chats(user, batch):
                name = _unused(f"{_file_name(chat.title, chat.created_at)}.md", used)
                archive.writestr(name, markdown.write(chat, words))

        for batch in batched(ids, _BATCH, strict=False):
            await run_unit(add, batch)
            yield pieces.take()
    yield pieces.take()


def _unused(name: str, used: set[str]) -> str:
    stem, _dot, end = name.rpartition(".")
    number = 1
    while name.casefold() in used:
        number += 1
        name = f"{stem}-{number}.{end}"
    used.add(name.casefold())
    return name


def _file_name(title: str, created_at: datetime | None) -> str:
    """Returns a name that every file system takes, without an ending."""
    at = created_at.date().isoformat() if created_at else "chat"
    try:
        title = get_valid_filename(title[:60]).strip("._")
    except ValueError:  # nothing is left of it
        title = ""
    return f"{at}-{title}" if title else at


def _words() -> markdown.Words:
    states: dict[str, Any] = {str(status): str(status.label) for status in Status}
    return markdown.Words(
        untitled=gettext("New chat"),
        you=gettext("You"),
        reasoning=gettext("Reasoning"),
        tool=gettext("Tool"),
        result=gettext("Result"),
        file=gettext("File"),
        source=gettext("Source"),
        page=gettext("page"),
        search=gettext("Searched the web"),
        sources=gettext("Sources on the web"),
        states=states,
    )
