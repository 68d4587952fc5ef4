"""Stores the files and documents of an import as attachments of its owner."""

from __future__ import annotations

import logging
import lzma
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from chat.access import NotFoundError
from chat.actions.attachment import StorageError, receive_file, remove_attachment
from chat.actions.errors import ActionError, ConflictError
from chat.actions.extras import is_here
from chat.actions.folder import may_make_folder
from chat.files import store
from chat.files.contents import part_of
from chat.models import ChatImport
from chat.parts import FilePart, NoticePart
from chat.transfer.chats import DOCUMENTS, FILES, Chat, is_image
from chat.transfer.reader import PackedFiles, ZipEntry
from chat.translatable import translatable as _

logger = logging.getLogger(__name__)

# What a damaged zip file raises.
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    NotImplementedError,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
)


def receive_documents(job: ChatImport, folder: dict[str, Any]) -> tuple[list[UUID], Counter[str]]:
    """Stores the documents of a folder, unless a folder of its name is here or the owner may not have more
    folders. Returns their attachments, which `add_extra` gives to the folder, and how many were refused."""
    received: list[UUID] = []
    refused: Counter[str] = Counter()
    if is_here(job.owner, folder):
        return received, refused
    if not may_make_folder(job.owner):
        refused[DOCUMENTS] = len(folder["documents"])
        return received, refused
    for document in folder["documents"]:
        data = document["text"].encode("utf-8", "replace")
        pieces = (data[at : at + store.PIECE_BYTES] for at in range(0, len(data), store.PIECE_BYTES))
        try:
            attachment = receive_file(
                job.owner, pieces, name=document["name"], size=len(data), is_import=True
            )
        except ActionError as error:
            logger.info("A document of an import was not taken: %s", error)
            refused[DOCUMENTS] += 1
        else:
            received.append(attachment.pk)
    return received, refused


def remove_unused(job: ChatImport, attachments: Sequence[UUID]) -> None:
    """Deletes those of these attachments that no folder has: they would count for the owner's space."""
    for attachment_id in attachments:
        with suppress(NotFoundError):  # a folder has it
            remove_attachment(job.owner, attachment_id)


def receive_files(job: ChatImport, packed: PackedFiles, chat: Chat) -> Counter[str]:
    """Stores the chat's files that are in the zip file. Their parts become those of new attachments, which
    `add_messages` gives to their messages; the others become notices. Returns how many were refused."""
    refused: Counter[str] = Counter()
    for node in chat.nodes:
        for at, part in enumerate(node.parts):
            if not isinstance(part, FilePart):
                continue
            if entry := packed.entries.get(part.sha256):
                node.parts[at] = received = _received(job, packed, part, entry)
                refused[FILES] += isinstance(received, NoticePart)
            else:
                node.parts[at] = NoticePart(_ABSENT_IMAGE if is_image(part) else _ABSENT)
    return refused


_ABSENT = _("A file of this message is not in the imported file.")
_ABSENT_IMAGE = _("An image of this message is not in the imported file.")
_REFUSED = _(
    "A file of this message was not imported: it is damaged, too large, or your space for files is used."
)
_NOT_STORED = _(
    "A file of this message was not imported: the server could not read or store it at that time."
)


def _received(job: ChatImport, packed: PackedFiles, part: FilePart, entry: ZipEntry) -> FilePart | NoticePart:
    try:
        with packed.open(entry) as file:
            pieces = iter(lambda: file.read(store.PIECE_BYTES), b"")
            # Only the end of the entry's name is used, and as a name to show.
            name = part.name or entry.name.rpartition("/")[2]
            attachment = receive_file(job.owner, pieces, name=name, size=entry.size, is_import=True)
    except (ActionError, *_DAMAGED) as error:
        logger.info("A file of an import was not taken: %s", error)
        is_ours = isinstance(error, StorageError | ConflictError)
        return NoticePart(_NOT_STORED if is_ours else _REFUSED)
    return part_of(attachment)
