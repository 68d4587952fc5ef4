"""Actions that change which messages are shown: delete, restore, and switch between variants of a reply."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from chat.access import message_for
from chat.actions.errors import ConflictError
from chat.models import Conversation, Generation, Message, Role, User
from chat.runtime import current
from chat.translatable import translatable as _


def delete_message(user: User, message_id: UUID) -> Message:
    """Deletes the message and all that follow it, and stops the running replies among them. The shown path
    has no gaps. Raises `NotFoundError`, and `ConflictError` for a message that is not shown: another one may
    be in its place."""
    with transaction.atomic():
        message = message_for(user, message_id, write=True)
        if not message.shown:
            raise ConflictError(_("This message is not in the chat any more. Reload the chat."))
        conversation = message.conversation
        gone = conversation.messages.filter(shown=True, position__gte=message.position)
        live = Generation.objects.live().filter(message__in=gone)
        replies = list(live.values_list("pk", flat=True))
        live.update(stop_requested=True)
        gone.update(shown=False, deleted_at=timezone.now(), deletion=uuid4())
        conversation.head = conversation.messages.filter(shown=True).order_by("-position").first()
        _path_changed(conversation)
        for reply in replies:
            transaction.on_commit(partial(current().pubsub.stop_requested, reply))
    return message


def restore_message(user: User, message_id: UUID) -> Message:
    """Undoes the deletion. Raises `NotFoundError`, and `ConflictError` after the conversation went on."""
    with transaction.atomic():
        message = message_for(user, message_id, write=True)
        conversation = message.conversation
        went_on = conversation.messages.filter(shown=True, position__gt=message.position).exists()
        if message.deleted_at is None or went_on or (message.parent and not message.parent.shown):
            raise ConflictError(_("The chat has gone on since. The deleted message cannot be restored."))
        together = Q(pk=message.pk) | Q(deletion=message.deletion, deletion__isnull=False)
        conversation.messages.filter(together).update(shown=True, deleted_at=None, deletion=None)
        conversation.head = conversation.messages.filter(shown=True).order_by("-position").first()
        _path_changed(conversation)
    return message


def show_variant(user: User, message_id: UUID, variant_id: UUID) -> Message:
    """Shows another reply to the same prompt instead of this one, with the last messages below it. The
    messages below this one are kept. Raises `NotFoundError`, and `ConflictError` if this one is not shown, if
    the other one is not its variant, or while a reply that would be hidden is running."""
    with transaction.atomic():
        message = message_for(user, message_id, write=True)
        conversation = message.conversation
        kept = conversation.messages.filter(deleted_at=None)
        others = kept.filter(parent=message.parent, role=Role.ASSISTANT).exclude(pk=message.pk)
        is_beside = others.filter(shown=True).exists()
        is_variant = message.parent is not None and others.filter(pk=variant_id).exists()
        if not message.shown or is_beside or not is_variant:
            raise ConflictError(_("This message is not in the chat any more. Reload the chat."))
        parents = dict(kept.order_by("position").values_list("pk", "parent_id"))
        hidden = kept.filter(pk__in=_with_what_follows(message_id, parents), shown=True)
        if Generation.objects.live().filter(message__in=hidden).exists():
            raise ConflictError(_("A reply from here on is still running. Stop it first."))
        hidden.update(shown=False)
        path = [_with_what_follows(variant_id, parents)[-1]]
        while path[-1] != variant_id:
            path.append(parents[path[-1]])
        # Includes the replies that were asked for side by side with those on the path.
        batches = Generation.objects.filter(message__in=path[:-1], batch__isnull=False).values("batch")
        beside = Q(parent__in=path, generation__batch__in=batches)
        kept.filter(Q(pk__in=path) | beside).update(shown=True)
        conversation.head = conversation.messages.filter(shown=True).order_by("-position").first()
        _path_changed(conversation)
    return message


def _with_what_follows(message_id: UUID, parents: Mapping[UUID, UUID | None]) -> list[UUID]:
    """Returns the message and all messages below it. `parents` is ordered by position, so a parent precedes
    its children."""
    found = {message_id: None}
    for child, parent in parents.items():
        if parent in found:
            found[child] = None
    return list(found)


def _path_changed(conversation: Conversation) -> None:
    conversation.path_revision = conversation.next_revision()
    sent = Generation.objects.filter(conversation=conversation, message__shown=True, sent_from__isnull=False)
    sent_from = sent.order_by("-message__position").values_list("sent_from", flat=True).first()
    conversation.sent_from = sent_from or 0
    conversation.save()
    transaction.on_commit(lambda: current().pubsub.conversation_changed(conversation.pk))
