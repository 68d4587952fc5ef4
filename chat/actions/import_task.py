"""The claim on an import, and its progress: units of work of the task that imports a file."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from chat.actions.extras import import_extra
from chat.actions.import_summary import FileSummary
from chat.live.process import process_name
from chat.models import ChatImport, Conversation, Message
from chat.models.chat_import import MOST_PROBLEMS
from chat.parts import storable
from chat.transfer.extras import DOCUMENT

logger = logging.getLogger(__name__)

STALE = timedelta(seconds=30)  # without a heartbeat: its process has ended


class ClaimLostError(Exception):
    """The import was discarded, or another process works on it."""


def claim_import() -> ChatImport | None:
    """Claims an import that no process works on."""
    busy = (ChatImport.State.READING, ChatImport.State.RUNNING)
    free = Q(worker="") | Q(heartbeat_at=None) | Q(heartbeat_at__lt=Now() - STALE)
    waiting = ChatImport.objects.filter(free, state__in=busy, owner__is_active=True)
    for import_id in waiting.order_by("created_at").values_list("pk", flat=True)[:5]:
        mine = waiting.filter(pk=import_id)
        if mine.update(worker=process_name(), heartbeat_at=Now()):
            return ChatImport.objects.select_related("owner").get(pk=import_id)
    return None


def keep_claim(import_id: UUID) -> None:
    """Raises `ClaimLostError`."""
    if not _claimed(import_id).update(heartbeat_at=Now()):
        raise ClaimLostError


def release_import(import_id: UUID) -> None:
    """Lets another process go on at once: this one stops."""
    _claimed(import_id).update(worker="", heartbeat_at=None)


def _claimed(import_id: UUID) -> QuerySet[ChatImport]:
    busy = (ChatImport.State.READING, ChatImport.State.RUNNING)
    return ChatImport.objects.filter(pk=import_id, worker=process_name(), state__in=busy)


def store_summary(job: ChatImport, found: FileSummary) -> None:
    """Stores what is in the file, for its owner to agree. Raises `ClaimLostError`."""
    if not _claimed(job.pk).update(
        state=ChatImport.State.READY,
        worker="",
        format=found.format,
        chats=found.chats,
        messages=found.messages,
        known=found.known,
        unreadable=found.unreadable,
        problems=[_storable(problem) for problem in found.problems],
        left_out=dict(+found.left_out),
        extras=dict(found.extras),
        titles=[storable(title) for title in found.titles],
        oldest_at=found.oldest_at,
        newest_at=found.newest_at,
    ):
        raise ClaimLostError


def _storable(problem: dict[str, str]) -> dict[str, str]:
    return {name: storable(text) for name, text in problem.items()}


def end_import(import_id: UUID, *, error: str = "") -> None:
    """Marks the import as done or failed, and deletes its file. Raises `ClaimLostError`."""
    state = ChatImport.State.FAILED if error else ChatImport.State.DONE
    with transaction.atomic():
        found = _claimed(import_id).select_for_update().first()
        if found is None:
            raise ClaimLostError
        delete_incomplete(found)
        name, found.file, found.state, found.error = found.file, "", state, error
        found.worker, found.finished_at = "", timezone.now()
        found.save(update_fields=["file", "state", "error", "worker", "finished_at"])
        transaction.on_commit(lambda: delete_import_file(name))


def skip_line(job: ChatImport, line: int, problem: dict[str, str]) -> None:
    """Goes on after a chat that cannot be read. Raises `ClaimLostError`."""
    with transaction.atomic():
        found = locked(job)
        found.next_line, found.unreadable = line + 1, found.unreadable + 1
        if len(found.problems) < MOST_PROBLEMS:
            found.problems.append(_storable(problem))
        found.save(update_fields=["next_line", "unreadable", "problems"])


def add_extra(
    job: ChatImport,
    line: int,
    item: dict[str, Any],
    left_out: Mapping[str, int] | None = None,
    files: Sequence[UUID] = (),
) -> None:
    """Takes a folder with these files, a preset or a saved prompt, unless it is here already. Raises
    `ClaimLostError`."""
    with transaction.atomic():
        found = locked(job)
        taken = import_extra(job.owner, item, files)
        new = Counter({item["type"]: int(taken.is_new), DOCUMENT: taken.files})
        found.extras = dict(Counter(found.extras or {}) + new)
        found.left_out = dict(Counter(found.left_out) + Counter(left_out) + Counter(taken.left_out))
        found.next_line = line + 1
        found.save(update_fields=["next_line", "extras", "left_out"])


def leave_out(job: ChatImport, line: int, left_out: dict[str, int]) -> None:
    """Goes on after what cannot be read. Raises `ClaimLostError`."""
    with transaction.atomic():
        found = locked(job)
        found.next_line, found.left_out = line + 1, dict(Counter(found.left_out) + Counter(left_out))
        found.save(update_fields=["next_line", "left_out"])


def locked(job: ChatImport) -> ChatImport:
    """Returns the row, locked and with a new heartbeat. Raises `ClaimLostError`."""
    found = _claimed(job.pk).select_for_update().first()
    if found is None:
        raise ClaimLostError
    _claimed(job.pk).update(heartbeat_at=Now())
    return found


def delete_incomplete(found: ChatImport) -> None:
    """Deletes a chat that was begun and is not whole."""
    if found.current:
        begun = Conversation.objects.filter(pk=found.current, owner=found.owner_id, last_position=0)
        Message.objects.filter(conversation__in=begun).delete()
        begun.delete()


def delete_import_file(name: str) -> None:
    """Deletes the uploaded file. A file that cannot be deleted is only logged."""
    if name:
        try:
            default_storage.delete(name)
        except OSError as error:
            logger.warning("The file of an import was not deleted: %s", error)
