"""The places of files: an upload grows in a folder of this machine, and is moved to Django's default storage
when it is complete. A name in the storage is used once. A name from a browser could be used again for another
content, while the first file is still in use."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from uuid import UUID

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.core.files import File
from django.core.files.storage import default_storage

from chat.files.prepare import PreparedFile
from chat.models import StoredFile

PIECE_BYTES = 1024 * 1024  # of an upload in one request; a proxy accepts 4 MB, and 60 s for it
_CHUNK = 256 * 1024
_ENDINGS = {"path": "", "thumbnail": ".thumb", "readable": ".read"}


class BusyError(Exception):
    """Another request writes or reads this upload."""


class Upload:
    """The file of an upload that this request has locked."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path, self._handle = path, handle

    def append(self, offset: int, data: bytes) -> int:
        """Writes a piece, and returns the size of the file afterwards. A piece that is sent twice is written
        twice to the same place. Does nothing if an earlier piece is missing. Raises OSError."""
        size = os.fstat(self._handle).st_size
        if offset > size:
            return size
        while data:
            written = os.pwrite(self._handle, data, offset)
            offset, data = offset + written, data[written:]
        return max(size, offset)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)

    @contextmanager
    def in_folder(self, file_id: UUID) -> Iterator[Path]:
        """Yields a path of the file in a folder of its own, and deletes the folder with everything in it at
        the end. The name of the folder contains the id of the file to be stored, for `discard_older_than`."""
        folder = self.path.with_suffix(f".{file_id.hex}")
        folder.mkdir(mode=0o700)
        try:
            (folder / "file").symlink_to(self.path)
            yield folder / "file"
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def locked(upload: UUID) -> Iterator[Upload]:
    """Locks an upload, because a piece may arrive a second time while the first one is written, or while the
    complete file is read. Creates its file if there is none. The kernel releases the lock of a process that
    ends. Raises `BusyError` and OSError."""
    path = _path(upload)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = _lock_file(path)
    try:
        yield Upload(path, handle)
    finally:
        if not os.fstat(handle).st_size and _is_at(path, handle):
            path.unlink()
        os.close(handle)


def _lock_file(path: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(path, handle):
                return handle
        except BlockingIOError:
            os.close(handle)
            raise BusyError from None
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # the file was deleted between the two calls


def _is_at(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def hash_of(path: Path) -> str:
    """Returns the SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_file(file_id: UUID, path: Path, sha256: str, found: PreparedFile) -> StoredFile:
    """Writes the file and its derived files into the storage. Returns the row, unsaved. Raises OSError."""
    names = dict.fromkeys(_ENDINGS, "")
    try:
        for field in _ENDINGS:
            if field == "path" or (found.has_thumbnail if field == "thumbnail" else found.readable_type):
                names[field] = _save(_name(file_id, field), path.with_suffix(_ENDINGS[field]))
    except BaseException:
        with suppress(OSError):  # the first error is the one to report
            delete(filter(None, names.values()))
        raise
    return StoredFile(
        id=file_id,
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
    with _os_errors(), default_storage.open(name) as file:
        return bytes(file.read())


def chunks(name: str) -> Iterator[bytes]:
    """Yields the content of a name in the storage. Raises OSError."""
    with _os_errors(), default_storage.open(name) as file:
        while data := file.read(_CHUNK):
            yield data


def exists(name: str) -> bool:
    """Returns whether the storage has this name. Raises OSError."""
    with _os_errors():
        return default_storage.exists(name)


def restore(name: str, content: IO[bytes]) -> None:
    """Writes a file of a backup under the name in its row. Raises OSError."""
    with _os_errors():
        default_storage.delete(name)
        saved = default_storage.save(name, File(content, name))
    if saved != name:
        delete([saved])
        raise OSError(name)


def delete(names: Iterable[str]) -> None:
    """Deletes these names from the storage. A missing name is not an error. Raises OSError."""
    for name in names:
        with _os_errors():
            default_storage.delete(name)


@contextmanager
def _os_errors() -> Iterator[None]:
    """Raises all errors of a storage as OSError. Storages for buckets raise exceptions of their own."""
    try:
        yield
    except (OSError, SuspiciousOperation):
        raise
    except Exception as error:
        raise OSError(str(error)) from error


def discard(upload: UUID) -> None:
    """Deletes the file of an incomplete upload. If a request still uses it, that request deletes it. Raises
    OSError."""
    with suppress(BusyError), locked(upload) as file:
        file.remove()


def discard_older_than(seconds: float) -> None:
    """Deletes the old files of incomplete uploads of all processes, on this machine and in the storage."""
    with suppress(FileNotFoundError):
        for path in Path(settings.CHAT_UPLOADS_DIR).iterdir():
            with suppress(OSError):
                if path.stat().st_mtime < time.time() - seconds:
                    if path.is_dir():
                        _discard_folder(path)
                    else:
                        path.unlink()


def _discard_folder(folder: Path) -> None:
    """Deletes the folder of a process that ended while it stored a file, and that file."""
    with suppress(ValueError):
        file_id = UUID(folder.suffix[1:])
        if not StoredFile.objects.filter(pk=file_id).exists():
            delete(_name(file_id, field) for field in _ENDINGS)
    shutil.rmtree(folder)


def _save(name: str, path: Path) -> str:
    with path.open("rb") as file, _os_errors():
        return default_storage.save(name, File(file, name))


def _name(file_id: UUID, field: str) -> str:
    return f"{file_id.hex[:2]}/{file_id.hex}{_ENDINGS[field]}"


def _path(upload: UUID) -> Path:
    return Path(settings.CHAT_UPLOADS_DIR) / upload.hex
