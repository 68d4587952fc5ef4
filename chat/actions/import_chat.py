"""Stores one chat of an import, a long one in several transactions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from chat.actions.errors import ActionError, LimitReachedError
from chat.actions.extras import TOO_MANY, folder_with_name, use_exported_preset
from chat.actions.folder import clean_name
from chat.actions.import_summary import as_uuid, count_grown, find_place
from chat.actions.import_task import delete_incomplete, locked
from chat.actions.tag import add_tags, readable_tags
from chat.live.search_lines import ID_CHARS, MOST_KEPT, MOST_QUERY
from chat.models import (
    Attachment,
    ChatImport,
    Conversation,
    Feedback,
    Generation,
    Message,
    PresetUse,
    Role,
    User,
)
from chat.models.conversation import TITLE_LENGTH, shortened
from chat.models.feedback import COMMENT_LENGTH
from chat.models.parameters import Parameters
from chat.parts import Citation, NoticePart, Part, TextPart, WebSearch, storable, storable_part, stored
from chat.search.index import index_message, index_title
from chat.sources import MOST_MARKS, MOST_TITLE, web_address
from chat.transfer.chats import EXTRAS, PRESETS, Chat, Node
from chat.translatable import translatable as _

BATCH = 200  # messages in one transaction, so that no other write waits long
MOST_MESSAGE_CHARACTERS = 1_000_000


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
    return find_place(job.owner, job.format, chat.id)[1]


def begin_chat(job: ChatImport, line: int, chat: Chat, left_out: dict[str, int]) -> ImportedChat | None:
    """Creates the hidden conversation of the chat. Returns None if the chat is here already. Raises
    `ClaimLostError`."""
    with transaction.atomic():
        found = locked(job)
        delete_incomplete(found)
        conversation_id, is_known = find_place(job.owner, found.format, chat.id)
        if is_known:
            found.next_line, found.known, found.current = line + 1, found.known + 1, None
            if conversation_id != as_uuid(chat.id):
                replies = sum(node.reply is not None for node in chat.nodes)
                found.left_out = dict(Counter(found.left_out) + count_grown({conversation_id: replies}))
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
        locked(job)
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
        found = locked(job)
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
