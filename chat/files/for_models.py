"""The form in which a model gets the files of a conversation: the file itself if the model reads its kind,
else its text, else a sentence in its place."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from chat.files import store
from chat.files.detect import IMAGES, PDF
from chat.models import Attachment, ChatModel, StoredFile
from chat.models.catalog import audio_types
from chat.parts import FilePart
from chat.providers.base import File

MOST_IMAGES = 20  # in one request, the newest ones
MOST_BYTES = 16 * 1024 * 1024  # of all files in one request that are not text; base64 adds a third
MOST_PDF_PAGES = 100
# The kinds of endpoints whose models read PDFs.
PDF_KINDS = frozenset({"openai", "anthropic", "bedrock", "vertex", "gemini"})

logger = logging.getLogger(__name__)


class FileReader:
    """Reads the files of one request, the newest message first. `tokens` limits the text of all files of one
    message. `left_out` has the names of the files of the newest message that the model gets only in part or
    not at all."""

    def __init__(self, model: ChatModel, kind: str, tokens: float) -> None:
        self._takes_images = model.takes_images is not False
        self._kind, self._tokens = kind, int(tokens)
        self._audio = audio_types(kind, model.takes_audio)
        self._images, self._bytes = MOST_IMAGES, MOST_BYTES
        self.left_out: list[str] | None = None

    def files(self, parts: Iterable[object]) -> list[File]:
        """Returns the files of a message, from the storage."""
        wanted = [part for part in parts if isinstance(part, FilePart)]
        if not wanted:
            return []
        ids = [part.id for part in wanted if part.id]
        rows = Attachment.objects.filter(stored__isnull=False).select_related("stored").in_bulk(ids)
        found = {str(pk): row.stored for pk, row in rows.items()}
        texts = [stored for part in wanted if (stored := found.get(part.id)) and not self._is_sent(stored)]
        share = min(1.0, self._tokens / max(1, sum(stored.tokens for stored in texts)))
        left_out: list[str] = []
        files = []
        for part in wanted:
            file, is_whole = self._file(part, found.get(part.id), share)
            files.append(file)
            if not is_whole:
                left_out.append(part.name)
        if self.left_out is None:
            self.left_out = left_out
        return files

    def _file(self, part: FilePart, stored: StoredFile | None, share: float) -> tuple[File, bool]:
        """Returns what is sent, and whether it is the whole file."""
        if stored is None:
            return _placeholder(part, "It was deleted."), False
        try:
            if self._is_sent(stored):
                return self._whole(part, stored)
            if stored.readable_type == "text/plain":
                return _text(part, stored, share)
        except OSError as error:
            logger.error("A file could not be read from the storage: %s", error)
            return _placeholder(part, "It could not be read."), False
        if stored.media_type in IMAGES and stored.readable:
            return _placeholder(part, "You cannot see images."), False
        if _is_audio(stored):
            return _placeholder(part, "You cannot listen to this audio file."), False
        return _placeholder(part, "Its content cannot be read."), False

    def _whole(self, part: FilePart, stored: StoredFile) -> tuple[File, bool]:
        is_image = stored.media_type in IMAGES
        data = store.read(stored.readable if is_image else stored.path)
        if len(data) > self._bytes or (is_image and not self._images):
            return _placeholder(part, "It was left out, because there are too many files."), False
        self._bytes -= len(data)
        self._images -= is_image
        media_type = stored.readable_type if is_image else stored.media_type
        return File(media_type, data, part.name, tokens=stored.tokens), True

    def _is_sent(self, stored: StoredFile) -> bool:
        """Returns whether the model reads this kind of file itself."""
        if stored.media_type in IMAGES:
            return self._takes_images and bool(stored.readable)
        if stored.media_type == PDF and stored.problem in ("", "empty"):
            is_short = 0 < stored.pages <= MOST_PDF_PAGES and stored.size <= MOST_BYTES // 2
            return self._takes_images and is_short and self._kind in PDF_KINDS
        return stored.media_type in self._audio and stored.size <= MOST_BYTES


def _is_audio(stored: StoredFile) -> bool:
    return stored.media_type.startswith("audio/")


def _text(part: FilePart, stored: StoredFile, share: float) -> tuple[File, bool]:
    data = store.read(stored.readable)
    tokens = stored.tokens
    if share < 1:
        data = data[: int(len(data) * share)].decode("utf-8", "ignore").encode()
        tokens = int(tokens * share)
    if stored.is_cut or share < 1:
        data += b"\n[The rest of this file was left out, because it is too long.]"
    return File("text/plain", data, part.name, tokens=tokens + 20), share >= 1 and not stored.is_cut


def _placeholder(part: FilePart, reason: str) -> File:
    return File("text/plain", f"[{reason}]".encode(), part.name, tokens=30)
