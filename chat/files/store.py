"""Where files are: an upload grows in a folder of this machine, and is moved to Django's default storage when
it is complete. All names in the storage come from the id of the attachment, so what an interrupted upload
left there can be found."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.core.files import File
from django.core.files.storage import default_storage

from chat.files.prepare import Prepared, prepared
from chat.models import StoredFile

PIECE_BYTES = 1024 * 1024  # of an upload in one request; a proxy takes 4 MB, and a slow line has 60 s for it
_CHUNK = 256 * 1024
_ENDINGS = {"path": "", "thumbnail": ".thumb", "readable": ".read"}


def append(upload: UUID, offset: int, data: bytes) -> int:
    """Writes a piece of an upload, and returns the bytes that are here then. A piece that is sent twice is
    written twice to the same place. Does nothing if the pieces before it are missing. Raises OSError."""
    path = _path(upload)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(handle).st_size
        if offset > size:
            return size
        while data:
            written = os.pwrite(handle, data, offset)
            offset, data = offset + written, data[written:]
        return max(size, offset)
    finally:
        os.close(handle)


@contextmanager
def completed(upload: UUID) -> Iterator[Path | None]:
    """Takes the complete upload out of its place: None if another request has it already. It is deleted with
    all that is written beside it."""
    folder = _path(upload).with_suffix(".work")
    try:
        folder.mkdir(mode=0o700)
        _path(upload).rename(folder / "file")
    except FileExistsError:
        yield None
        return
    except FileNotFoundError:
        shutil.rmtree(folder, ignore_errors=True)
        yield None
        return
    try:
        yield folder / "file"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def hash_of(path: Path) -> str:
    """Returns the SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stored(upload: UUID, path: Path, name: str, sha256: str) -> StoredFile:
    """Reads the file, and writes it with its derived files into the storage. Returns the unsaved row. Raises
    OSError, and what else the storage raises."""
    found: Prepared = prepared(path, name)
    names = dict.fromkeys(_ENDINGS, "")
    for field in _ENDINGS:
        if field == "path" or (found.has_thumbnail if field == "thumbnail" else found.readable_type):
            names[field] = _save(_name(upload, field), path.with_suffix(_ENDINGS[field]))
    return StoredFile(
        sha256=sha256,
        size=path.stat().st_size,
        media_type=found.media_type,
        readable_type=found.readable_type,
        width=found.width,
        height=found.height,
        pages=found.pages,
        tokens=found.tokens,
        is_cut=found.is_cut,
        problem=found.problem,
        **names,
    )


def read(name: str) -> bytes:
    """Returns the whole content of a name in the storage. Raises OSError."""
    with default_storage.open(name) as file:
        return bytes(file.read())


def chunks(name: str) -> Iterator[bytes]:
    """Yields the content of a name in the storage. Raises OSError."""
    with default_storage.open(name) as file:
        while data := file.read(_CHUNK):
            yield data


def delete(names: Iterable[str]) -> None:
    """Deletes these names from the storage; those that are gone already are no error."""
    for name in names:
        default_storage.delete(name)


def discard(upload: UUID) -> None:
    """Deletes what an upload that did not complete left."""
    _path(upload).unlink(missing_ok=True)
    shutil.rmtree(_path(upload).with_suffix(".work"), ignore_errors=True)
    delete(_name(upload, field) for field in _ENDINGS)


def discard_older_than(seconds: float) -> None:
    """Deletes what uploads left on this machine, whichever process received them."""
    with suppress(FileNotFoundError):
        for path in Path(settings.CHAT_UPLOADS_DIR).iterdir():
            with suppress(OSError):
                if path.stat().st_mtime < time.time() - seconds:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _save(name: str, path: Path) -> str:
    with path.open("rb") as file:
        return default_storage.save(name, File(file, name))


def _name(upload: UUID, field: str) -> str:
    return f"{upload.hex[:2]}/{upload.hex}{_ENDINGS[field]}"


def _path(upload: UUID) -> Path:
    return Path(settings.CHAT_UPLOADS_DIR) / upload.hex
