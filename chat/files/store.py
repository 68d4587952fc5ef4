"""Where files are: an upload grows in a folder of this machine, and is moved to Django's default storage when
it is complete. A name in the storage is used once: a name of the browser could be used again, for another
content, while other people have the first one."""

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

from chat.files.prepare import Prepared
from chat.models import StoredFile

PIECE_BYTES = 1024 * 1024  # of an upload in one request; a proxy takes 4 MB, and a slow line has 60 s for it
_CHUNK = 256 * 1024
_ENDINGS = {"path": "", "thumbnail": ".thumb", "readable": ".read"}


class BusyError(Exception):
    """Another request writes or reads this upload."""


class Upload:
    """The file of an upload that this request has locked."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path, self._handle = path, handle

    def append(self, offset: int, data: bytes) -> int:
        """Writes a piece, and returns the bytes that are here then. A piece that is sent twice is written
        twice to the same place. Does nothing if the pieces before it are missing. Raises OSError."""
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
        """Returns a name of the file in a folder of its own, which is deleted with all that is written there.
        The folder has the id of the file to be stored in its name: `discard_older_than` looks for it."""
        folder = self.path.with_suffix(f".{file_id.hex}")
        folder.mkdir(mode=0o700)
        try:
            (folder / "file").symlink_to(self.path)
            yield folder / "file"
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def locked(upload: UUID) -> Iterator[Upload]:
    """Locks an upload, whose file is created if it is missing: a piece may arrive a second time while the
    first one is written, or while the complete file is read. The kernel releases the lock of a process that
    ends. Raises `BusyError`, OSError."""
    path = _path(upload)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = _locked(path)
    try:
        yield Upload(path, handle)
    finally:
        if not os.fstat(handle).st_size and _is_at(path, handle):
            path.unlink()
        os.close(handle)


def _locked(path: Path) -> int:
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


def stored(file_id: UUID, path: Path, sha256: str, found: Prepared) -> StoredFile:
    """Writes the file with its derived files into the storage. Returns the unsaved row. Raises OSError."""
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


def put_back(name: str, content: IO[bytes]) -> None:
    """Writes a file of a backup under the name that its row has. Raises OSError."""
    with _os_errors():
        default_storage.delete(name)
        saved = default_storage.save(name, File(content, name))
    if saved != name:
        delete([saved])
        raise OSError(name)


def delete(names: Iterable[str]) -> None:
    """Deletes these names from the storage; those that are gone already are no error. Raises OSError."""
    for name in names:
        with _os_errors():
            default_storage.delete(name)


@contextmanager
def _os_errors() -> Iterator[None]:
    """Raises the errors of a storage as OSError: those of a bucket are of other classes."""
    try:
        yield
    except (OSError, SuspiciousOperation):
        raise
    except Exception as error:
        raise OSError(str(error)) from error


def discard(upload: UUID) -> None:
    """Deletes what an upload that did not complete left. A request that still reads it deletes it itself.
    Raises OSError."""
    with suppress(BusyError), locked(upload) as file:
        file.remove()


def discard_older_than(seconds: float) -> None:
    """Deletes what uploads left on this machine, whichever process received them, and in the storage."""
    with suppress(FileNotFoundError):
        for path in Path(settings.CHAT_UPLOADS_DIR).iterdir():
            with suppress(OSError):
                if path.stat().st_mtime < time.time() - seconds:
                    if path.is_dir():
                        _discard_folder(path)
                    else:
                        path.unlink()


def _discard_folder(folder: Path) -> None:
    """Deletes what a process that ended left of a file that it was storing."""
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
