"""Files that a person attaches to a prompt: upload, send, remove, and the end of what nothing uses."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.db import IntegrityError, connection, transaction
from django.db.models import Q
from django.utils import timezone

from chat.access import NotFoundError, attachments_for, upload_of
from chat.actions.errors import (
    ActionError,
    ConflictError,
    InvalidInputError,
    LimitReachedError,
    TooLongError,
)
from chat.actions.queue import lock_user
from chat.files import store
from chat.files.contents import FILE_SECONDS, part_of, store_upload, used_by
from chat.files.detect import safe_name
from chat.files.limits import MB, MOST_IN_A_PROMPT, Limits
from chat.files.worker_slots import TooManyError
from chat.models import Attachment, Message, StoredFile, User
from chat.models.attachment import NAME_LENGTH
from chat.parts import FilePart
from chat.translatable import translatable as _

MOST_UNSENT = 100  # attachments of one person that are in no message
UNSENT_HOURS = 24
BATCH = 100
PIECE_SECONDS = 20.0  # that a request waits until its file is read; the page then sends it again

logger = logging.getLogger(__name__)


class StorageError(ActionError):
    """The storage of the server cannot be written."""

    status = 507
    code = "storage"


def receive_piece(
    user: User, attachment_id: UUID, *, name: str, size: int, offset: int, data: bytes
) -> tuple[Attachment, int]:
    """Takes the next piece of an upload; the first piece of an unused id begins it. Returns the attachment
    and the number of bytes that are here, where the next piece begins. The last piece stores the file: then
    `stored` is set. Sending a piece again changes nothing.

    Raises `NotFoundError` for the id of another user and for a file that was removed meanwhile,
    `TooLongError` and `LimitReachedError` before anything is written, `ConflictError` while the file waits or
    is read (the piece can be sent again later), `StorageError`."""
    attachment = _found_or_begun(user, attachment_id, name, size)
    if attachment.stored_id is not None:
        return attachment, attachment.size
    if offset + len(data) > attachment.size:
        raise TooLongError(_("The file is longer than the browser said. Attach it again."))
    with _locked(attachment) as upload:
        if attachment.stored_id is not None:
            return attachment, attachment.size
        here = upload.append(offset, data)
        if here >= attachment.size:
            _complete(attachment, upload, PIECE_SECONDS)
    return attachment, here


def receive_file(
    user: User, pieces: Iterable[bytes], *, name: str, size: int, is_import: bool = False
) -> Attachment:
    """As `receive_piece`, for a whole file. One of an import may be one of many that are not sent. Nothing is
    left of one that cannot be stored: no caller has its id, and it would count for the user's limits."""
    attachment = _found_or_begun(user, uuid4(), name, size, is_import=is_import)
    offset = 0
    try:
        with _locked(attachment) as upload:
            for piece in pieces:
                offset = upload.append(offset, piece)
            _complete(attachment, upload, FILE_SECONDS)
    except BaseException:
        with suppress(NotFoundError):
            remove_attachment(user, attachment.pk)
        raise
    return attachment


@contextmanager
def _locked(attachment: Attachment) -> Iterator[store.Upload]:
    """Locks the upload and reads the attachment again. Raises `NotFoundError`, `ConflictError`,
    `StorageError`."""
    try:
        with store.locked(attachment.pk) as upload:
            found = Attachment.objects.select_related("stored").filter(pk=attachment.pk).first()
            if found is None:
                upload.remove()
                raise NotFoundError(_("There is no such file."))
            attachment.stored = found.stored
            yield upload
    except store.BusyError:
        raise _being_read() from None
    except (OSError, SuspiciousOperation) as error:
        raise _storage_failed(error) from error


def remove_attachment(user: User, attachment_id: UUID) -> None:
    """Deletes an attachment that is in no message, or an upload that is not complete. Raises
    `NotFoundError`."""
    own = Attachment.objects.filter(pk=attachment_id, owner=user, message=None, knowledge=None)
    stored = list(own.values_list("stored", flat=True))
    if not own.delete()[0]:
        raise NotFoundError(_("There is no such file."))
    if stored == [None]:
        try:
            store.discard(attachment_id)
        except OSError as error:
            logger.warning("What is left of an upload could not be deleted: %s", error)
    clear_unused()


@dataclass(frozen=True, slots=True)
class PromptFiles:
    """The attachments of a prompt that is being written. `copies` are those that are in a message, a folder
    or a preset already: they are attached a second time."""

    attachments: list[Attachment]
    copies: list[Attachment]

    @property
    def parts(self) -> list[FilePart]:
        return [part_of(attachment) for attachment in self.attachments]

    def attach_to(self, prompt: Message) -> None:
        """Attaches them to the prompt, whose row exists."""
        for attachment in self.attachments:
            attachment.message = prompt
        Attachment.objects.bulk_create(self.copies)
        added = {attachment.pk for attachment in self.copies}
        ids = [attachment.pk for attachment in self.attachments if attachment.pk not in added]
        if ids:
            Attachment.objects.filter(pk__in=ids).update(message=prompt)


def files_for_prompt(
    user: User, attachment_ids: Collection[UUID], *, kept: Collection[UUID] = ()
) -> PromptFiles:
    """Returns the complete attachments of these ids for a prompt, with their rows locked until the
    transaction ends. `kept` are those of the prompt that it replaces, and come first. An imported prompt may
    have more than the limit: it keeps them, and gets no more. Raises `NotFoundError`, `LimitReachedError`."""
    if not (kept or attachment_ids):
        return PromptFiles([], [])
    if attachment_ids and len(kept) + len(attachment_ids) > MOST_IN_A_PROMPT:
        raise LimitReachedError(
            _("A message can have at most {limit} files. Remove some."), limit=MOST_IN_A_PROMPT
        )
    found = attachments_for(user, [*kept, *attachment_ids])
    copies = []
    for at, attachment in enumerate(found):
        if attachment.message_id is not None or hasattr(attachment, "knowledge"):
            found[at] = Attachment(
                owner=user, stored=attachment.stored, name=attachment.name, size=attachment.size
            )
            copies.append(found[at])
    return PromptFiles(found, copies)


def copies_of_files(message: Message, copy: Message) -> list[Attachment]:
    """Returns the unsaved attachments of an unsaved copy of this message, and changes the parts of
    the copy to them."""
    if not message.files:
        return []
    found = {str(it.pk): it for it in message.attachments.filter(stored__isnull=False)}
    new = {
        name: Attachment(owner=it.owner, message=copy, stored=it.stored, name=it.name, size=it.size)
        for name, it in found.items()
    }
    copy.parts = [
        {**part, "id": str(new[part["id"]].pk) if part.get("id") in new else ""}
        if part["type"] == "file"
        else part
        for part in copy.parts
    ]
    return list(new.values())


def store_copies(user: User, files: Sequence[Attachment]) -> None:
    """Stores attachments of files that others have too. The caller has locked the user. Raises
    `LimitReachedError`."""
    if not files:
        return
    limit, before = Limits.current().person, used_by(user.pk)
    Attachment.objects.bulk_create(files, batch_size=BATCH)
    if before < (used := used_by(user.pk)) and used > limit:
        raise _too_many_bytes(limit)


def clear_files() -> int:
    """Deletes one batch of attachments that nothing can use any more: unsent or incomplete for a day, and of
    messages that were deleted too long ago to be restored; and then the files without an attachment. Returns
    their number. It waits for the storage, so it does not run on the thread that writes to the database."""
    long_ago = timezone.now() - timedelta(hours=UNSENT_HOURS)
    # A file of a model has a message from the start. Without content, its process has ended.
    is_unsent = Q(message=None, knowledge=None, created_at__lt=long_ago)
    is_left = is_unsent | Q(stored=None, created_at__lt=long_ago)
    is_gone = Q(message__deleted_at__lt=timezone.now() - timedelta(days=settings.CHAT_KEEP_DELETED_DAYS))
    rows = list(Attachment.objects.filter(is_left | is_gone).values_list("pk", "stored")[:BATCH])
    for attachment_id, stored_id in rows:
        if stored_id is None:
            store.discard(attachment_id)
    Attachment.objects.filter(is_left | is_gone, pk__in=[attachment_id for attachment_id, _ in rows]).delete()
    store.discard_older_than(UNSENT_HOURS * 3600)
    return len(rows) + clear_unused()


def clear_unused() -> int:
    """Deletes files without an attachment. Returns their number. A file whose deletion fails is deleted the
    next time."""
    with transaction.atomic():
        unused = StoredFile.objects.filter(sha256__isnull=False, attachments=None)
        if connection.features.has_select_for_update:
            # A file that is being attached is locked. Only a second query sees what was attached meanwhile.
            unused = unused.select_for_update(skip_locked=True, of=("self",))
        ids = list(unused.order_by("pk").values_list("pk", flat=True)[:BATCH])
        if ids:
            StoredFile.objects.filter(pk__in=ids, attachments=None).update(sha256=None)
    gone = list(StoredFile.objects.filter(sha256=None)[:BATCH])
    deleted = []
    for file in gone:
        try:
            store.delete(file.paths)
        except OSError as error:
            logger.warning("A file could not be deleted from the storage: %s", error)
        else:
            deleted.append(file.pk)
    StoredFile.objects.filter(pk__in=deleted).delete()
    return len(deleted)


def _found_or_begun(
    user: User, attachment_id: UUID, name: str, size: int, *, is_import: bool = False
) -> Attachment:
    """Returns the attachment of this id, a new one for an unused id."""
    found = upload_of(user, attachment_id)
    if found is None:
        try:
            with transaction.atomic():
                return _new(user, attachment_id, name, size, is_import=is_import)
        except IntegrityError:  # two requests began it at the same time
            found = upload_of(user, attachment_id)
            assert found is not None
    if found.size != size:
        raise ConflictError(_("This is not the file whose upload was started. Attach it again."))
    return found


def _new(user: User, attachment_id: UUID, name: str, size: int, *, is_import: bool) -> Attachment:
    limits = Limits.current()
    if size <= 0:
        raise InvalidInputError(_("The file is empty."))
    if size > limits.file:
        raise TooLongError(
            _("The file has {size} MB; the limit is {limit} MB."), size=_mb(size), limit=limits.file // MB
        )
    lock_user(user)
    own = Attachment.objects.filter(owner=user)
    if used_by(user.pk) + size > limits.person:
        raise _too_many_bytes(limits.person)
    if not is_import and own.filter(message=None, knowledge=None).count() >= MOST_UNSENT:
        raise LimitReachedError(_("You have too many files that are not sent. Send or remove some."))
    return Attachment.objects.create(
        id=attachment_id, owner=user, name=safe_name(name, NAME_LENGTH), size=size
    )


def _too_many_bytes(limit: int) -> LimitReachedError:
    return LimitReachedError(
        _("Your files would have more than {limit} MB together. Delete chats with files."), limit=limit // MB
    )


def _complete(attachment: Attachment, upload: store.Upload, seconds: float) -> None:
    try:
        store_upload(attachment, upload, seconds=seconds)
    except TooManyError:
        raise _being_read() from None


def _being_read() -> ConflictError:
    return ConflictError(_("The file is still being read. Wait a moment."))


def _storage_failed(error: Exception) -> StorageError:
    logger.error("A file could not be stored: %s", error)
    return StorageError(_("The server could not store the file. Try again later, or ask an administrator."))


def _mb(size: int) -> int:
    return -(-size // MB)
