"""Stores complete files: reads them, stores each content once, and links it to its attachments."""

from __future__ import annotations

import logging
from uuid import UUID, uuid4

from django.core.exceptions import SuspiciousOperation
from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import Q, Sum

from chat.access import NotFoundError
from chat.database import release_connections
from chat.files import store
from chat.files.detect import HEAD_BYTES, media_type_of, named_type, safe_name
from chat.files.limits import Limits
from chat.files.prepare import prepare_file
from chat.files.worker_slots import TooManyError, WorkerSlots
from chat.models import Attachment, StoredFile
from chat.models.attachment import NAME_LENGTH
from chat.parts import FilePart, NoticePart
from chat.translatable import translatable as _

FILE_SECONDS = 300.0  # the longest wait for a worker
_slots = WorkerSlots()  # state of the process, whose workers it limits
_TOO_LARGE = _("The model made a file that is larger than this server allows. It was not kept.")
_FULL = _("The model made a file, but your files have reached their limit. It was not kept.")
TOO_MANY_FILES = _("The model made more files than are kept of one reply.")
_NOT_STORED = _("The model made a file that could not be stored.")

logger = logging.getLogger(__name__)


def store_upload(attachment: Attachment, upload: store.Upload, *, seconds: float) -> None:
    """Stores the file of a complete upload, unless its content is already stored. Waits at most `seconds` for
    a worker, and holds no connection to the database meanwhile. Raises `TooManyError`, which does not change
    the upload, `NotFoundError` if the attachment was removed, and OSError."""
    sha256 = store.hash_of(upload.path)
    if not _link(attachment, sha256):
        release_connections()
        file_id = uuid4()
        with upload.in_folder(file_id) as path:
            with _slots.slot(attachment.owner_id, seconds=seconds):
                prepared = prepare_file(path, attachment.name)
            new = store.save_file(file_id, path, sha256, prepared)
        try:
            if not _link(attachment, sha256, new):
                store.delete(new.paths)  # the same content was stored meanwhile
        except NotFoundError:  # the attachment was removed meanwhile
            store.delete(new.paths)
            upload.remove()
            raise
    upload.remove()


def keep_generated_file(owner_id: int, message_id: UUID, data: bytes) -> NoticePart | None:
    """Stores a file that a model generated, as an attachment of its reply. Returns a notice for the user if
    it cannot be stored. `data` is empty if it could not be decoded. Call it on a thread of its own, not on a
    database thread, because it may wait for a worker."""
    limits = Limits.current()
    if not data:
        return NoticePart(_NOT_STORED)
    if len(data) > limits.file:
        return NoticePart(_TOO_LARGE)
    if used_by(owner_id) + len(data) > limits.person:
        return NoticePart(_FULL)
    kind, _slash, ending = media_type_of(data[:HEAD_BYTES], "").partition("/")
    name = safe_name(f"{kind}.{ending}", NAME_LENGTH)
    attachment = Attachment(owner_id=owner_id, message_id=message_id, name=name, size=len(data))
    try:
        attachment.save(force_insert=True)
        with store.locked(attachment.pk) as upload:
            upload.append(0, data)
            store_upload(attachment, upload, seconds=FILE_SECONDS)
    except (DatabaseError, NotFoundError, OSError, SuspiciousOperation, TooManyError) as error:
        logger.warning("A file that a model generated could not be stored: %s", type(error).__name__)
        Attachment.objects.filter(pk=attachment.pk, stored=None).delete()
        return NoticePart(_NOT_STORED)
    return None


def generated_files(message_id: UUID) -> list[FilePart]:
    """Returns the parts of the files that were generated in a reply, in their order."""
    rows = Attachment.objects.filter(message=message_id, stored__isnull=False).select_related("stored")
    return [part_of(attachment) for attachment in rows.order_by("created_at")]


def used_by(owner_id: int) -> int:
    """Returns the bytes of the files of a person: each content once, and the announced sizes of uploads.
    Files that were removed from a folder or preset do not count, because their deletion may take a while."""
    uploads = Attachment.objects.filter(owner=owner_id, stored=None)
    announced = uploads.aggregate(used=Sum("size"))["used"] or 0
    removed = Q(knowledge__isnull=False, knowledge__folder=None, knowledge__preset=None)
    kept = Attachment.objects.filter(owner=owner_id, stored__isnull=False).exclude(removed)
    contents = StoredFile.objects.filter(pk__in=kept.values("stored"))
    return announced + (contents.aggregate(used=Sum("size"))["used"] or 0)


def part_of(attachment: Attachment) -> FilePart:
    """Returns the part of a message for a complete attachment."""
    file = attachment.stored
    assert file is not None
    return FilePart(
        file.sha256 or "",
        named_type(file.media_type, attachment.name),
        attachment.name,
        id=str(attachment.pk),
        size=attachment.size,
        width=file.width,
        height=file.height,
    )


def _link(attachment: Attachment, sha256: str, new: StoredFile | None = None) -> bool:
    """Links the attachment to the stored file with this content, or to the row `new` if there is none.
    Returns whether it saved `new` or, without `new`, whether the content was stored. Raises
    `NotFoundError`."""
    with transaction.atomic():
        file = StoredFile.objects.select_for_update().filter(sha256=sha256).first()
        if file is None and new is None:
            return False
        if file is None and new is not None:
            try:
                with transaction.atomic():
                    new.save(force_insert=True)
                file = new
            except IntegrityError:
                file = StoredFile.objects.select_for_update().get(sha256=sha256)
        if not Attachment.objects.filter(pk=attachment.pk).update(stored=file):
            raise NotFoundError(_("There is no such file."))
        attachment.stored = file
        return new is None or file is new
