"""Branches a chat: a copy of the messages up to one of them, as a new chat."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from chat.access import message_for
from chat.actions.attachment import copies_of_files
from chat.actions.errors import ConflictError
from chat.models import Attachment, Conversation, Generation, Message, PresetUse, Tag, User
from chat.parts import NoticePart, stored
from chat.search.index import index_message, index_title
from chat.translatable import translatable as _

BATCH = 200  # rows in one query

# What a copied reply keeps of its generation. Usage, cost and times are not copied: they were booked once.
KEPT = ("model_id", "model_label", "status", "finish_reason", "error_code", "error_message")
KEPT_OF_CHAT = (
    "title",
    "folder_id",
    "preset_name",
    "preset_number",
    "parameters",
    "tools",
    "uses_instructions",
    "imported_from",
)
ORIGIN = _("The messages up to here were copied from another chat:")


def branch_conversation(user: User, message_id: UUID) -> Conversation:
    """Copies the path from the first message to this one, with all parts, into a new chat of the user. Files
    are attached again, and their content is not copied. The last copy says which chat it comes from. Raises
    `NotFoundError`, and `ConflictError` for a deleted message or while a reply on the path is running."""
    with transaction.atomic():
        last = message_for(user, message_id, write=True)
        if last.deleted_at is not None:
            raise ConflictError(_("This message is not in the chat any more. Reload the chat."))
        path = _path_to(last)
        if any(message.is_live for message in path):
            raise ConflictError(_("This reply is still running. Stop it first."))
        branch = Conversation(owner=user, **{name: getattr(last.conversation, name) for name in KEPT_OF_CHAT})
        copies: list[Message] = []
        files: list[Attachment] = []
        for message in path:
            revision = branch.next_revision()
            copy = Message(
                conversation=branch,
                parent=copies[-1] if copies else None,
                position=branch.next_position(),
                role=message.role,
                text=message.text,
                parts=message.parts,
                added_revision=revision,
                revision=revision,
            )
            index_message(copy, user.pk, message.reply.model_label if message.reply else "")
            files += copies_of_files(message, copy)
            copies.append(copy)
        origin = NoticePart(f"{ORIGIN}\n{last.conversation}")
        copies[-1].parts = [*copies[-1].parts, *stored([origin])]
        branch.seen_revision = branch.revision
        index_title(branch, is_new=True)
        branch.save(force_insert=True)
        if use := PresetUse.objects.filter(conversation=last.conversation).first():
            use.conversation = branch
            use.save(force_insert=True)
        Message.objects.bulk_create(copies, batch_size=BATCH)
        Attachment.objects.bulk_create(files, batch_size=BATCH)
        generations = []
        for old, copy in zip(path, copies, strict=True):
            if old.reply:
                kept = {name: getattr(old.reply, name) for name in KEPT}
                generations.append(Generation(conversation=branch, message=copy, **kept))
        Generation.objects.bulk_create(generations, batch_size=BATCH)
        tags = last.conversation.tags.all()
        Tag.objects.bulk_create(Tag(conversation=branch, name=tag.name, key=tag.key) for tag in tags)
        branch.head = copies[-1]
        branch.save(update_fields=["head"])
    return branch


def _path_to(last: Message) -> list[Message]:
    """Returns the messages from the first one to this one."""
    messages = last.conversation.messages
    parents = dict(messages.values_list("pk", "parent_id"))
    wanted: list[UUID] = [last.pk]
    while parent := parents[wanted[-1]]:
        wanted.append(parent)
    found: dict[UUID, Message] = {}
    for start in range(0, len(wanted), BATCH):
        rows = messages.select_related("generation").filter(pk__in=wanted[start : start + BATCH])
        found |= {message.pk: message for message in rows}
    return [found[message_id] for message_id in reversed(wanted)]
