"""Files of folders and presets: attached, read into passages, and removed."""

from __future__ import annotations

import logging
from uuid import UUID

from django.db import InterfaceError, OperationalError, transaction

from chat.access import NotFoundError, attachments_for, folder_for, knowledge_for, preset_for
from chat.actions.attachment import clear_unused
from chat.actions.errors import ConflictError, LimitReachedError
from chat.actions.queue import lock_user
from chat.database import release_connections
from chat.files import store
from chat.files.detect import PDF
from chat.models import Attachment, Folder, Knowledge, Passage, Preset, Reading, User
from chat.pipeline.tokens import estimate_tokens
from chat.search.passages import add_passages, passage_rows, passages_of
from chat.translatable import translatable as _

MOST = 50  # files of one folder or preset
BATCH = 25  # passages that are written in one transaction
REMOVED_BATCH = 100  # passages that are deleted in one transaction

# The database or the storage does not answer now: the file is read later.
_TRANSIENT = (OSError, OperationalError, InterfaceError)

logger = logging.getLogger(__name__)


def add_to_folder(user: User, folder_id: UUID, attachment_id: UUID) -> Knowledge:
    """Adds an uploaded file of the user's to the folder. Adding it again changes nothing. Raises
    `NotFoundError`, `ConflictError` for a content that is there already, `LimitReachedError`."""
    with transaction.atomic():
        added = add_unread(user, folder_id, attachment_id)
    return _read_now(added)


def add_unread(user: User, folder_id: UUID, attachment_id: UUID) -> Knowledge:
    """As `add_to_folder`, in the transaction of the caller. The loop of the index reads the file."""
    lock_user(user)
    return _added(user, attachment_id, folder=folder_for(user, folder_id, write=True))


def add_to_preset(user: User, preset_id: UUID, attachment_id: UUID) -> Knowledge:
    """As `add_to_folder`. Everybody who may use the preset may read its files."""
    with transaction.atomic():
        lock_user(user)
        added = _added(user, attachment_id, preset=preset_for(user, preset_id, write=True))
    return _read_now(added)


def remove_knowledge(user: User, knowledge_id: UUID) -> None:
    """Removes a file from its folder or preset, and deletes it unless something else uses it. Replies keep
    the passages that they were made from. Raises `NotFoundError`."""
    with transaction.atomic():
        delete_knowledge(pk=knowledge_for(user, knowledge_id, write=True).pk)


def delete_knowledge(**of: object) -> None:
    """Takes the files from this folder or preset, in the transaction of the caller. Deleting many passages
    takes seconds, in which SQLite could write nothing else. So the first of them are deleted after the
    commit, and the rest by the loop of the index (`clear_removed`)."""
    if Knowledge.objects.filter(**of).update(folder=None, preset=None):
        transaction.on_commit(_clear_now, robust=True)


def clear_removed() -> int:
    """Deletes one batch of the passages of removed files, and the removed files that have no passages left.
    Returns the number of rows. The caller then calls `clear_unused`."""
    removed = list(Knowledge.objects.removed()[:MOST])
    if not removed:
        return 0
    with transaction.atomic():
        rows = Passage.objects.filter(knowledge__in=removed)
        ids = list(rows.values_list("pk", flat=True)[:REMOVED_BATCH])
        deleted = Passage.objects.filter(pk__in=ids).delete()[0]
        # The database deletes their other row with them.
        files = Attachment.objects.filter(knowledge__in=removed, knowledge__passage_set=None)
        return deleted + files.delete()[0]


def _clear_now() -> None:
    clear_removed()
    clear_unused()


def read_knowledge(knowledge_id: UUID) -> None:
    """Writes the passages of a file that is not read yet. A process may end in the middle: reading it again
    completes them. Several may read the same file. Raises OSError if the storage fails."""
    found = Knowledge.objects.kept().select_related("attachment__stored").filter(pk=knowledge_id).first()
    if found is None or found.state != Reading.OPEN:
        return
    file = found.attachment.stored
    if file is None or file.readable_type != "text/plain":
        Knowledge.objects.filter(pk=knowledge_id).update(state=Reading.FAILED)
        return
    release_connections()
    try:
        data = store.read(file.readable)
    except FileNotFoundError as error:
        logger.error("The content of a file of a folder or preset is missing: %s", error)
        Knowledge.objects.filter(pk=knowledge_id).update(state=Reading.FAILED)
        return
    text = data.decode("utf-8", "replace").replace("\x00", "\ufffd")
    has_pages = file.media_type == PDF or file.media_type.endswith(".presentation")
    pieces = list(passages_of(text, has_pages=has_pages))
    for first in range(0, len(pieces), BATCH):
        rows = passage_rows(knowledge_id, found.scope, first, pieces[first : first + BATCH])
        with transaction.atomic():
            if not Knowledge.objects.kept().select_for_update().filter(pk=knowledge_id).exists():
                return  # it was removed
            add_passages(rows)
    state = Reading.READY if pieces else Reading.FAILED
    tokens = sum(estimate_tokens(piece.text[piece.overlap :]) for piece in pieces)
    Knowledge.objects.filter(pk=knowledge_id).update(state=state, passages=len(pieces), tokens=tokens)


def read_next(passed: set[UUID]) -> bool:
    """Reads one file that a process left unread, but none of `passed`. Returns whether there was one. Adds
    one that cannot be read now to `passed`."""
    still_open = Knowledge.objects.kept().filter(state=Reading.OPEN).exclude(pk__in=passed)
    found = still_open.order_by("created_at").first()
    if found is None:
        return False
    try:
        read_knowledge(found.pk)
    except _TRANSIENT as error:
        logger.warning("A file of a folder or preset could not be read yet: %s", error)
        passed.add(found.pk)
    except Exception:
        logger.exception("A file of a folder or preset could not be read.")
        Knowledge.objects.filter(pk=found.pk).update(state=Reading.FAILED)
    return True


def _added(
    user: User, attachment_id: UUID, *, folder: Folder | None = None, preset: Preset | None = None
) -> Knowledge:
    own = Knowledge.objects.filter(folder=folder, preset=preset).select_related("attachment__stored")
    if same := own.filter(attachment=attachment_id).first():
        return same
    [attachment] = attachments_for(user, [attachment_id])
    if own.filter(attachment__stored=attachment.stored_id).exists():
        raise ConflictError(_("This file is here already."))
    if own.count() >= MOST:
        raise LimitReachedError(_("There can be at most {limit} files here. Remove some."), limit=MOST)
    if attachment.message_id is not None or hasattr(attachment, "knowledge"):
        attachment = Attachment.objects.create(
            owner=user, stored=attachment.stored, name=attachment.name, size=attachment.size
        )
    return Knowledge.objects.create(attachment=attachment, folder=folder, preset=preset)


def _read_now(added: Knowledge) -> Knowledge:
    """Reads the file in this request: it takes less than a second. If that fails, `read_next` reads it."""
    try:
        read_knowledge(added.pk)
    except _TRANSIENT as error:
        logger.warning("A file of a folder or preset could not be read yet: %s", error)
    found = Knowledge.objects.kept().select_related("attachment__stored").filter(pk=added.pk).first()
    if found is None:
        raise NotFoundError(_("There is no such file."))
    return found
