"""Starts, lists and discards imports of chats from a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import IO
from uuid import UUID, uuid5

from django.core.files import File
from django.core.files.storage import default_storage
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from chat.access import NotFoundError
from chat.actions.errors import ConflictError, InvalidInputError, TooLongError
from chat.actions.import_summary import IMPORT_IDS
from chat.actions.import_task import delete_import_file, delete_incomplete
from chat.files import store
from chat.models import ChatImport, User
from chat.models.chat_import import NAME_LENGTH
from chat.parts import storable
from chat.translatable import translatable as _

MOST_UPLOAD_BYTES = 1024 * 1024 * 1024
OLD_BATCH = 200  # imports that are deleted in one transaction
KEPT = timedelta(days=30)  # how long a finished import is listed
OPEN = (ChatImport.State.READING, ChatImport.State.READY, ChatImport.State.RUNNING)


def imports_of(user: User) -> QuerySet[ChatImport]:
    """Returns the user's imports, the newest first."""
    return ChatImport.objects.filter(owner=user)


def import_for(user: User, import_id: UUID) -> ChatImport:
    """Raises `NotFoundError`."""
    found = imports_of(user).filter(pk=import_id).first()
    if found is None:
        raise NotFoundError(_("There is no such import."))
    return found


def start_import(user: User, file: IO[bytes], *, name: str, size: int) -> ChatImport:
    """Stores the file and queues the task that reads it. Raises `InvalidInputError`, and `ConflictError` if
    another import of the user is not finished."""
    if not size:
        raise InvalidInputError(_("The file is empty. Choose another one."))
    if imports_of(user).filter(state__in=OPEN).exists():
        raise _already_open()
    started = ChatImport(owner=user, name=storable(name)[-NAME_LENGTH:])
    # A name of our own: the user's never becomes a path.
    started.file = default_storage.save(f"imports/{started.pk}", File(file))
    try:
        started.save(force_insert=True)
    except IntegrityError:  # another one was started at the same time
        default_storage.delete(started.file)
        raise _already_open() from None
    except BaseException:
        default_storage.delete(started.file)
        raise
    return started


def receive_import_piece(user: User, *, size: int, offset: int, data: bytes) -> int:
    """Takes the next piece of a file that is too large for one request. Each person has one such upload; its
    first piece begins it anew. Returns the number of bytes that are here, where the next piece begins. Raises
    `TooLongError`, and `ConflictError` if another import is not finished."""
    if size > MOST_UPLOAD_BYTES or offset + len(data) > size:
        limit = MOST_UPLOAD_BYTES // 1024**2
        raise TooLongError(_("The file is too large. An import can have {limit} MB."), limit=limit)
    if imports_of(user).filter(state__in=OPEN).exists():
        raise _already_open()
    if not offset:
        store.discard(_upload_of(user))
    with _locked_upload(user) as upload:
        return upload.append(offset, data)


def start_uploaded_import(user: User, *, name: str) -> ChatImport:
    """As `start_import`, for the file whose pieces are here."""
    with _locked_upload(user) as upload, upload.path.open("rb") as file:
        size = upload.path.stat().st_size
        if not size:
            raise ConflictError(_("The upload is not complete. Choose the file again."))
        try:
            return start_import(user, file, name=name, size=size)
        finally:
            upload.remove()


@contextmanager
def _locked_upload(user: User) -> Iterator[store.Upload]:
    try:
        with store.locked(_upload_of(user)) as upload:
            yield upload
    except store.BusyError:
        raise ConflictError(_("The upload is not complete. Choose the file again.")) from None


def _upload_of(user: User) -> UUID:
    return uuid5(IMPORT_IDS, f"upload {user.pk}")


def _already_open() -> ConflictError:
    return ConflictError(_("Another import is not finished. Wait for it, or discard it."))


def agree_to_import(user: User, import_id: UUID) -> None:
    """Starts to take the chats. Does nothing for an import that was started before. Raises `NotFoundError`,
    and `ConflictError` for one that is not ready."""
    found = import_for(user, import_id)
    if found.state == ChatImport.State.READING or found.state == ChatImport.State.FAILED:
        raise ConflictError(_("The file has not been read."))
    ready = ChatImport.objects.filter(pk=import_id, state=ChatImport.State.READY)
    ready.update(state=ChatImport.State.RUNNING, known=0, unreadable=0, problems=[], left_out={}, extras={})


def discard_import(user: User, import_id: UUID) -> None:
    """Removes the import and its file, and ends its task. Chats that it has taken stay. Raises
    `NotFoundError`."""
    with transaction.atomic():
        found = ChatImport.objects.select_for_update().filter(owner=user, pk=import_id).first()
        if found is None:
            raise NotFoundError(_("There is no such import."))
        delete_incomplete(found)
        found.delete()
        transaction.on_commit(lambda: delete_import_file(found.file))


def delete_old_imports() -> int:
    """Deletes finished imports, and files that nobody agreed to import, after some time. Returns how many."""
    old = ChatImport.objects.filter(Q(finished_at__lt=timezone.now() - KEPT) | _forgotten())
    found = list(old.order_by("pk")[:OLD_BATCH])
    ChatImport.objects.filter(pk__in=[one.pk for one in found]).delete()
    for one in found:
        delete_import_file(one.file)
    return len(found)


def _forgotten() -> Q:
    return Q(state=ChatImport.State.READY, created_at__lt=timezone.now() - timedelta(days=7))
