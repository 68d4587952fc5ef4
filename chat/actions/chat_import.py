"""Imports chats from a file: start, agree, discard, and the units of work of the task that does it."""

from __future__ import annotations

import logging
import lzma
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from typing import IO, Any
from uuid import UUID, uuid4, uuid5

from django.core.files import File
from django.core.files.storage import default_storage
from django.db import IntegrityError, transaction
from django.db.models import Count, F, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from chat.access import NotFoundError
from chat.actions.attachment import StorageError, receive_file
from chat.actions.errors import ActionError, ConflictError, InvalidInputError, LimitReachedError, TooLongError
from chat.actions.extras import TOO_MANY, folder_with_name, import_extra, is_here, use_exported_preset
from chat.actions.folder import clean_name
from chat.actions.tag import add_tags, readable_tags
from chat.actor import in_chunks
from chat.files import store
from chat.files.contents import part_of
from chat.live.process import process_name
from chat.live.search_lines import ID_CHARS, MOST_KEPT, MOST_QUERY
from chat.models import (
    Attachment,
    ChatImport,
    Conversation,
    Feedback,
    Generation,
    Message,
    Preset,
    PresetUse,
    PresetVersion,
    Role,
    User,
)
from chat.models.chat_import import MOST_PROBLEMS, NAME_LENGTH
from chat.models.conversation import TITLE_LENGTH, shortened
from chat.models.feedback import COMMENT_LENGTH
from chat.models.parameters import Parameters
from chat.parts import (
    Citation,
    FilePart,
    NoticePart,
    Part,
    TextPart,
    WebSearch,
    storable,
    storable_part,
    stored,
)
from chat.search.index import index_message, index_title
from chat.sources import MOST_MARKS, MOST_TITLE, web_address
from chat.transfer.chats import (
    CONTINUED,
    DOCUMENTS,
    EXTRAS,
    FILES,
    GROWN,
    PRESETS,
    Chat,
    Node,
    is_image,
)
from chat.transfer.extras import DOCUMENT
from chat.transfer.reader import PackedFiles, ZipEntry
from chat.translatable import translatable as _

logger = logging.getLogger(__name__)

STALE = timedelta(seconds=30)  # without a heartbeat: its process has ended
BATCH = 200  # messages in one transaction, so that no other write waits long
MOST_MESSAGE_CHARACTERS = 1_000_000
MOST_TITLES = 20
MOST_UPLOAD_BYTES = 1024 * 1024 * 1024
KEPT = timedelta(days=30)  # how long a finished import is listed
_IDS = UUID("0d5b0d4e-6f3b-5b0a-8a1e-0b1f6a3c9d27")  # the namespace of the ids of imported chats
STEADY = "steady"
# What a damaged zip file raises.
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    NotImplementedError,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
)
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
    return uuid5(_IDS, f"upload {user.pk}")


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
        _delete_incomplete(found)
        found.delete()
        transaction.on_commit(lambda: _delete_file(found.file))


def delete_old_imports() -> int:
    """Deletes finished imports, and files that nobody agreed to import, after some time. Returns how many."""
    old = ChatImport.objects.filter(Q(finished_at__lt=timezone.now() - KEPT) | _forgotten())
    found = list(old.order_by("pk")[:BATCH])
    ChatImport.objects.filter(pk__in=[one.pk for one in found]).delete()
    for one in found:
        _delete_file(one.file)
    return len(found)


def _forgotten() -> Q:
    return Q(state=ChatImport.State.READY, created_at__lt=timezone.now() - timedelta(days=7))


def _delete_file(name: str) -> None:
    if name:
        try:
            default_storage.delete(name)
        except OSError as error:
            logger.warning("The file of an import was not deleted: %s", error)


# --- The task, on a database thread -----------------------------------------------------------------


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
    if not _claimed_by_us(import_id).update(heartbeat_at=Now()):
        raise ClaimLostError


def release_import(import_id: UUID) -> None:
    """Lets another process go on at once: this one stops."""
    _claimed_by_us(import_id).update(worker="", heartbeat_at=None)


def _claimed_by_us(import_id: UUID) -> QuerySet[ChatImport]:
    busy = (ChatImport.State.READING, ChatImport.State.RUNNING)
    return ChatImport.objects.filter(pk=import_id, worker=process_name(), state__in=busy)


@dataclass(slots=True)
class FileSummary:
    """What the summary of a file says. `known` is how many of the chats are here already, or twice in it;
    `replies` how many each chat has, by its id; `presets` how many chats use one of this name, `own_presets`
    the names of those in the file, `extras` how many of each type it has."""

    format: str = ""
    chats: int = 0
    messages: int = 0
    known: int = 0
    unreadable: int = 0
    ids: list[str] = field(default_factory=list)
    replies: dict[str, int] = field(default_factory=dict)
    titles: list[str] = field(default_factory=list)
    problems: list[dict[str, str]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    presets: Counter[str] = field(default_factory=Counter)
    extras: Counter[str] = field(default_factory=Counter)
    own_presets: set[str] = field(default_factory=set)
    oldest_at: str | None = None
    newest_at: str | None = None


def count_known(job: ChatImport, found: FileSummary) -> int:
    """Counts also those that have more replies in the file, as left out."""
    ids = dict.fromkeys(found.ids)
    kept = Conversation.objects.kept().filter(owner=job.owner)
    known: set[UUID] = set()
    for chunk in in_chunks(ids):
        places = {_conversation_id(job.owner, found.format, it, 0): it for it in chunk}
        own = [own for it in chunk if found.format == STEADY and (own := _as_uuid(it))]
        here = set(kept.filter(pk__in=[*places, *own]).values_list("pk", flat=True))
        found.left_out.update(_count_grown({it: found.replies[places[it]] for it in here & places.keys()}))
        known |= here
    return len(known) + found.chats - len(ids)


def _count_grown(replies: Mapping[UUID, int]) -> Counter[str]:
    """Counts the chats that were imported with fewer replies than the file has. `replies` is the number in
    the file, for each chat. Chats with replies made here are counted apart: their owner would lose these."""
    generations = Generation.objects.filter(conversation__in=replies.keys()).order_by()
    theirs = generations.filter(queued_at=F("finished_at")).values_list("conversation")
    imported = dict(theirs.annotate(Count("pk")))
    grown = {it for it, number in replies.items() if number > imported.get(it, 0)}
    continued = set(generations.made_here().values_list("conversation", flat=True).distinct())
    return Counter(CONTINUED if it in continued else GROWN for it in grown)


def count_presets(job: ChatImport, found: FileSummary) -> int:
    """Returns how many chats use presets that will not be here."""
    missing = found.presets.keys() - found.own_presets
    versions = PresetVersion.objects.filter(preset__in=Preset.objects.seen_by(job.owner))
    for chunk in in_chunks({storable(name) for name in missing}):
        missing -= set(versions.filter(name__in=chunk).values_list("name", flat=True))
    return sum(found.presets[name] for name in missing)


def store_summary(job: ChatImport, found: FileSummary) -> None:
    """Stores what is in the file, for its owner to agree. Raises `ClaimLostError`."""
    if not _claimed_by_us(job.pk).update(
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
        found = _claimed_by_us(import_id).select_for_update().first()
        if found is None:
            raise ClaimLostError
        _delete_incomplete(found)
        name, found.file, found.state, found.error = found.file, "", state, error
        found.worker, found.finished_at = "", timezone.now()
        found.save(update_fields=["file", "state", "error", "worker", "finished_at"])
        transaction.on_commit(lambda: _delete_file(name))


def skip_line(job: ChatImport, line: int, problem: dict[str, str]) -> None:
    """Goes on after a chat that cannot be read. Raises `ClaimLostError`."""
    with transaction.atomic():
        found = _locked(job)
        found.next_line, found.unreadable = line + 1, found.unreadable + 1
        if len(found.problems) < MOST_PROBLEMS:
            found.problems.append(_storable(problem))
        found.save(update_fields=["next_line", "unreadable", "problems"])


def receive_documents(job: ChatImport, folder: dict[str, Any]) -> tuple[list[UUID], Counter[str]]:
    """Stores the documents of a folder, unless a folder of its name is here. Returns their attachments, which
    `add_extra` gives to the folder, and how many were refused."""
    received: list[UUID] = []
    refused: Counter[str] = Counter()
    if is_here(job.owner, folder):
        return received, refused
    for document in folder["documents"]:
        data = document["text"].encode("utf-8", "replace")
        pieces = (data[at : at + store.PIECE_BYTES] for at in range(0, len(data), store.PIECE_BYTES))
        try:
            attachment = receive_file(
                job.owner, pieces, name=document["name"], size=len(data), is_import=True
            )
        except ActionError as error:
            logger.info("A document of an import was not taken: %s", error)
            refused[DOCUMENTS] += 1
        else:
            received.append(attachment.pk)
    return received, refused


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
        found = _locked(job)
        taken = import_extra(job.owner, item, files)
        new = Counter({item["type"]: int(taken.is_new), DOCUMENT: taken.files})
        found.extras = dict(Counter(found.extras or {}) + new)
        found.left_out = dict(Counter(found.left_out) + Counter(left_out) + Counter(taken.left_out))
        found.next_line = line + 1
        found.save(update_fields=["next_line", "extras", "left_out"])


def leave_out(job: ChatImport, line: int, left_out: dict[str, int]) -> None:
    """Goes on after what cannot be read. Raises `ClaimLostError`."""
    with transaction.atomic():
        found = _locked(job)
        found.next_line, found.left_out = line + 1, dict(Counter(found.left_out) + Counter(left_out))
        found.save(update_fields=["next_line", "left_out"])


def _locked(job: ChatImport) -> ChatImport:
    """Returns the row, locked and with a new heartbeat. Raises `ClaimLostError`."""
    found = _claimed_by_us(job.pk).select_for_update().first()
    if found is None:
        raise ClaimLostError
    _claimed_by_us(job.pk).update(heartbeat_at=Now())
    return found


@dataclass(slots=True)
class ImportedChat:
    """A chat that is being taken: its rows that are not stored yet."""

    conversation: Conversation
    messages: list[Message]
    generations: list[Generation]
    feedback: list[Feedback]
    preset: PresetUse | None = None


def is_known(job: ChatImport, chat: Chat) -> bool:
    """Returns whether the chat is here already."""
    return _find_place(job.owner, job.format, chat.id)[1]


def receive_files(job: ChatImport, packed: PackedFiles, chat: Chat) -> Counter[str]:
    """Stores the chat's files that are in the zip file. Their parts become those of new attachments, which
    `add_messages` gives to their messages; the others become notices. Returns how many were refused."""
    refused: Counter[str] = Counter()
    for node in chat.nodes:
        for at, part in enumerate(node.parts):
            if not isinstance(part, FilePart):
                continue
            if entry := packed.entries.get(part.sha256):
                node.parts[at] = received = _received(job, packed, part, entry)
                refused[FILES] += isinstance(received, NoticePart)
            else:
                node.parts[at] = NoticePart(_ABSENT_IMAGE if is_image(part) else _ABSENT)
    return refused


_ABSENT = _("A file of this message is not in the imported file.")
_ABSENT_IMAGE = _("An image of this message is not in the imported file.")
_REFUSED = _(
    "A file of this message was not imported: it is damaged, too large, or your space for files is used."
)
_NOT_STORED = _(
    "A file of this message was not imported: the server could not read or store it at that time."
)


def _received(job: ChatImport, packed: PackedFiles, part: FilePart, entry: ZipEntry) -> FilePart | NoticePart:
    try:
        with packed.open(entry) as file:
            pieces = iter(lambda: file.read(store.PIECE_BYTES), b"")
            # Only the end of the entry's name is used, and as a name to show.
            name = part.name or entry.name.rpartition("/")[2]
            attachment = receive_file(job.owner, pieces, name=name, size=entry.size, is_import=True)
    except (ActionError, *_DAMAGED) as error:
        logger.info("A file of an import was not taken: %s", error)
        is_ours = isinstance(error, StorageError | ConflictError)
        return NoticePart(_NOT_STORED if is_ours else _REFUSED)
    return part_of(attachment)


def begin_chat(job: ChatImport, line: int, chat: Chat, left_out: dict[str, int]) -> ImportedChat | None:
    """Creates the hidden conversation of the chat. Returns None if the chat is here already. Raises
    `ClaimLostError`."""
    with transaction.atomic():
        found = _locked(job)
        _delete_incomplete(found)
        conversation_id, is_known = _find_place(job.owner, found.format, chat.id)
        if is_known:
            found.next_line, found.known, found.current = line + 1, found.known + 1, None
            if conversation_id != _as_uuid(chat.id):
                replies = sum(node.reply is not None for node in chat.nodes)
                found.left_out = dict(Counter(found.left_out) + _count_grown({conversation_id: replies}))
            found.save(update_fields=["next_line", "known", "current", "left_out"])
            return None
        imported = _rows(job.owner, conversation_id, found.format, chat)
        missing = _choices(imported, job.owner, chat)
        found.left_out = dict(Counter(found.left_out) + Counter(left_out) + Counter(missing))
        found.current = conversation_id
        found.save(update_fields=["current", "left_out"])
        imported.conversation.save(force_insert=True)
        if imported.preset:
            imported.preset.save(force_insert=True)
        add_tags([conversation_id], readable_tags(chat.tags))
        return imported


def add_messages(job: ChatImport, imported: ImportedChat) -> bool:
    """Stores the next messages. Returns whether there are more. Raises `ClaimLostError`."""
    batch, imported.messages = imported.messages[:BATCH], imported.messages[BATCH:]
    ids = {message.pk for message in batch}
    generations = [it for it in imported.generations if it.message_id in ids]
    labels = {it.message_id: it.model_label for it in generations}
    with transaction.atomic():
        _locked(job)
        for message in batch:
            index_message(message, job.owner_id, labels.get(message.pk, ""))
        Message.objects.bulk_create(batch)
        Generation.objects.bulk_create(generations)
        Feedback.objects.bulk_create(it for it in imported.feedback if it.message_id in ids)
        for message in batch:
            if files := [part.id for part in message.files]:
                own = Attachment.objects.filter(pk__in=files, owner=job.owner_id, message=None)
                own.update(message=message)
    return bool(imported.messages)


def show_chat(job: ChatImport, line: int, imported: ImportedChat, head: UUID | None) -> None:
    """Shows the chat to its owner: it is whole. Raises `ClaimLostError`."""
    with transaction.atomic():
        found = _locked(job)
        hidden = Conversation.objects.filter(pk=imported.conversation.pk, last_position=0)
        index_title(imported.conversation, is_new=True)
        last = F("revision")  # one for each message
        hidden.update(
            deleted_at=None,
            head=head,
            last_position=last,
            seen_revision=last,
            indexed_title=imported.conversation.indexed_title,
        )
        found.next_line, found.taken, found.current = line + 1, found.taken + 1, None
        found.save(update_fields=["next_line", "taken", "current"])


def _find_place(owner: User, form: str, source_id: str) -> tuple[UUID, bool]:
    """Returns the id for an imported chat, and whether the chat is here already. A chat that was deleted
    since may be imported again."""
    own = _as_uuid(source_id) if form == STEADY else None
    if own and Conversation.objects.kept().filter(owner=owner, pk=own).exists():
        return own, True
    for again in count():
        place = _conversation_id(owner, form, source_id, again)
        deleted = Conversation.objects.filter(pk=place).values_list("deleted_at", flat=True)
        if not deleted:
            return place, False
        if deleted[0] is None:
            return place, True
    raise AssertionError


def _conversation_id(owner: User, form: str, source_id: str, again: int) -> UUID:
    return uuid5(_IDS, f"{owner.pk} {form} {source_id} {again}".encode("utf-8", "replace").hex())


def _as_uuid(source_id: str) -> UUID | None:
    try:
        return UUID(source_id)
    except ValueError:
        return None


def _delete_incomplete(found: ChatImport) -> None:
    """Deletes a chat that was begun and is not whole."""
    if found.current:
        begun = Conversation.objects.filter(pk=found.current, owner=found.owner_id, last_position=0)
        Message.objects.filter(conversation__in=begun).delete()
        begun.delete()


def _rows(owner: User, conversation_id: UUID, form: str, chat: Chat) -> ImportedChat:
    """Returns the unsaved rows. `last_position` is stored by `show_chat`: until then it is 0, and the chat
    counts as erased."""
    created = chat.created_at or next((node.at for node in chat.nodes if node.at), None) or timezone.now()
    first = next((node.text for node in chat.nodes if not node.reply and node.text.strip()), "")
    title = " ".join(storable(chat.title).split())[:TITLE_LENGTH] or shortened(storable(first[:1_000]))
    conversation = Conversation(
        id=conversation_id,
        owner=owner,
        title=title,
        titled=Conversation.Titled.PERSON,
        created_at=created,
        updated_at=max(chat.updated_at or created, created),
        pinned_at=timezone.now() if chat.pinned else None,
        archived_at=timezone.now() if chat.archived else None,
        deleted_at=timezone.now(),
        revision=len(chat.nodes),
        last_position=0,
        imported_from=form,
        parameters=Parameters.of(chat.parameters).as_json(),
        uses_instructions=chat.uses_instructions,
    )
    imported = ImportedChat(conversation, [], [], [])
    by_id: dict[str, Message] = {}
    batches: dict[str, UUID] = {}
    for position, node in enumerate(chat.nodes, start=1):
        at = node.at or created
        message = _message(conversation, node, by_id, position)
        message.created_at = at
        by_id[node.id] = message
        imported.messages.append(message)
        if node.reply:
            batch = batches.setdefault(node.reply.batch, uuid4()) if node.reply.batch else None
            imported.generations.append(_generation(message, node, batch))
            if node.rating:
                imported.feedback.append(_feedback(owner, message, node))
    return imported


def _choices(imported: ImportedChat, owner: User, chat: Chat) -> list[str]:
    """Sets the folder and the preset of the conversation. Returns what is not here."""
    missing: list[str] = []
    if clean_name(chat.folder):
        try:
            imported.conversation.folder = folder_with_name(owner, chat.folder)
        except ActionError as error:
            missing.append(TOO_MANY if isinstance(error, LimitReachedError) else EXTRAS)
    if chat.preset:
        imported.preset = use_exported_preset(owner, imported.conversation, chat.preset)
        if imported.preset.version is None:
            missing.append(PRESETS)
    return missing


def head_of(chat: Chat, imported: ImportedChat) -> UUID | None:
    """Returns the id of the chat's head among the rows."""
    numbers = {node.id: number for number, node in enumerate(chat.nodes)}
    return imported.messages[numbers[chat.head]].pk if chat.head in numbers else None


def _message(conversation: Conversation, node: Node, by_id: dict[str, Message], position: int) -> Message:
    parts = [storable_part(part) for part in _cut(node.parts)]
    return Message(
        conversation=conversation,
        parent=by_id[node.parent] if node.parent else None,
        position=position,
        shown=node.shown,
        role=Role.ASSISTANT if node.reply else Role.USER,
        text="".join(part.text for part in parts if isinstance(part, TextPart)),
        parts=stored(parts),
        added_revision=position,
        revision=position,
    )


def _cut(parts: Iterable[Part]) -> list[Part]:
    """Returns the parts up to the longest text that a page can show, and to the most searches and pages that
    a reply keeps."""
    left = MOST_MESSAGE_CHARACTERS
    room = Counter({WebSearch: MOST_KEPT, Citation: MOST_MARKS})
    too_many = False
    kept: list[Part] = []
    for part in parts:
        if isinstance(part, WebSearch | Citation):
            if isinstance(part, Citation) and not web_address(part.url):
                continue
            room[type(part)] -= 1
            if room[type(part)] < 0:
                too_many = True
                continue
            part = _short(part)
        text = getattr(part, "text", "")
        if len(text) > left:
            kept.append(NoticePart(_("The rest of this message was left out: it is too long.")))
            if isinstance(part, TextPart) and left:
                kept.insert(-1, TextPart(text[:left]))
            break
        left -= len(text)
        kept.append(part)
    if too_many:
        left_out = _("Some searches and pages of this message were left out: there are too many.")
        kept.append(NoticePart(left_out))
    return kept


def _short(part: WebSearch | Citation) -> Part:
    if isinstance(part, WebSearch):
        engine = "google" if part.engine == "google" else ""
        return replace(part, id=part.id[:ID_CHARS], query=part.query[:MOST_QUERY], engine=engine)
    return replace(part, title=part.title[:MOST_TITLE])


def _generation(message: Message, node: Node, batch: UUID | None) -> Generation:
    """It has no model, times or tokens of this server: usage and cost stay where they were spent."""
    assert node.reply
    return Generation(
        conversation=message.conversation,
        message=message,
        model_label=storable(" ".join(node.reply.model.split()))[:200] or "?",
        status=node.reply.status,
        batch=batch,
        queued_at=message.created_at,
        finished_at=message.created_at,
        error_message=storable(node.reply.error_message)[:500],
    )


def _feedback(owner: User, message: Message, node: Node) -> Feedback:
    assert node.rating
    rating = node.rating
    return Feedback(
        message=message,
        user=owner,
        is_good=rating.is_good,
        reason=rating.reason if rating.reason in Feedback.Reason and not rating.is_good else "",
        comment=storable(rating.comment)[:COMMENT_LENGTH],
    )
