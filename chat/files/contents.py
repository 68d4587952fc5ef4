"""Keeps complete files: reads them, stores each content once, and gives it to its attachment."""

from __future__ import annotations

import logging
from uuid import UUID, uuid4

from django.core.exceptions import SuspiciousOperation
from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import Q, Sum

from chat.access import NotFoundError
from chat.database import release_connections
from chat.files import prepare, store
from chat.files.detect import HEAD_BYTES, media_type_of, safe_name
from chat.files.limits import Limits
from chat.files.readers import Readers, TooManyError
from chat.models import Attachment, StoredFile
from chat.models.attachment import NAME_LENGTH
from chat.parts import FilePart, NoticePart
from chat.translatable import translatable as _

FILE_SECONDS = 300.0  # that a whole file waits until it is read
_READERS = Readers()
_TOO_LARGE = _("The model made a file that is larger than this server allows. It was not kept.")
_FULL = _("The model made a file, but your files have reached their limit. It was not kept.")
TOO_MANY_FILES = _("The model made more files than are kept of one reply.")
_NOT_STORED = _("The model made a file that could not be stored.")

logger = logging.getLogger(__name__)


def keep(attachment: Attachment, upload: store.Upload, *, seconds: float) -> None:
    """Stores the file of a complete upload, unless its content is stored already. Waits for `seconds` until
    the file can be read. It takes no connection of the database from others meanwhile. Raises
    `TooManyError`, after which the upload is as before, `NotFoundError` if the attachment was removed, and
    OSError."""
    sha256 = store.hash_of(upload.path)
    if not _found(attachment, sha256):
        release_connections()
        file_id = uuid4()
        with upload.in_folder(file_id) as path:
            with _READERS.place(attachment.owner_id, seconds=seconds):
                prepared = prepare.prepared(path, attachment.name)
            new = store.stored(file_id, path, sha256, prepared)
        try:
            if not _found(attachment, sha256, new):
                store.delete(new.paths)  # the same content was stored meanwhile
        except NotFoundError:  # the attachment was removed meanwhile
            store.delete(new.paths)
            upload.remove()
            raise
    upload.remove()


def keep_generated_file(owner_id: int, message_id: UUID, data: bytes) -> NoticePart | None:
    """Keeps a file that a model made, as an attachment of its reply. Returns a sentence for people if it
    cannot be kept. `data` is empty if it could not be read. It may wait for a worker, so it runs on no
    database thread."""
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
            keep(attachment, upload, seconds=FILE_SECONDS)
    except (DatabaseError, NotFoundError, OSError, SuspiciousOperation, TooManyError) as error:
        logger.warning("A file that a model made could not be kept: %s", type(error).__name__)
        Attachment.objects.filter(pk=attachment.pk, stored=None).delete()
        return NoticePart(_NOT_STORED)
    return None


def generated_files(message_id: UUID) -> list[FilePart]:
    """Returns the parts of the files that were made in a reply, in their order."""
    rows = Attachment.objects.filter(message=message_id, stored__isnull=False).select_related("stored")
    return [part_of(attachment) for attachment in rows.order_by("created_at")]


def used_by(owner_id: int) -> int:
    """Returns the bytes of the files of a person: each content once, and what uploads have announced. Files
    that were removed from a folder or preset do not count: their deletion may take a while."""
    begun = Attachment.objects.filter(owner=owner_id, stored=None).aggregate(used=Sum("size"))["used"] or 0
    removed = Q(knowledge__isnull=False, knowledge__folder=None, knowledge__preset=None)
    kept = Attachment.objects.filter(owner=owner_id, stored__isnull=False).exclude(removed)
    contents = StoredFile.objects.filter(pk__in=kept.values("stored"))
    return begun + (contents.aggregate(used=Sum("size"))["used"] or 0)


def part_of(attachment: Attachment) -> FilePart:
    """Returns the part of a message that has this complete attachment."""
    file = attachment.stored
    assert file is not None
    return FilePart(
        file.sha256 or "",
        file.media_type,
        attachment.name,
        id=str(attachment.pk),
        size=attachment.size,
        width=file.width,
        height=file.height,
    )


def _found(attachment: Attachment, sha256: str, new: StoredFile | None = None) -> bool:
    """Gives the attachment the file of this content. Adds the `new` one if there is none, and returns whether
    it did or, without `new`, whether there is one. Raises `NotFoundError`."""
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
