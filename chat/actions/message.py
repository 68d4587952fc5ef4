"""Which messages the thread shows: deleting them, having them back, and going from one variant of a reply to
another."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from chat.access import message_for
from chat.actions.errors import ConflictError
from chat.live.pubsub import pubsub
from chat.models import Conversation, Generation, Message, Role, User


def delete_message(user: User, message_id: UUID) -> Message:
    """Takes the message and all that follows it from the thread, and stops replies among them: a thread
    has no holes. Raises `NotFoundError`, and `ConflictError` for a message that the thread shows no more:
    another may have its place."""
    with transaction.atomic():
        message = message_for(user, message_id, write=True)
        if not message.shown:
            raise ConflictError("This message is not in the chat any more. Reload the page.")
        conversation = message.conversation
        gone = conversation.messages.filter(shown=True, position__gte=message.position)
        live = Generation.objects.live().filter(message__in=gone)
        replies = list(live.values_list("pk", flat=True))
        live.update(stop_requested=True)
        gone.update(shown=False, deleted_at=timezone.now(), deletion=uuid4())
        conversation.head = conversation.messages.filter(shown=True).order_by("-position").first()
        _path_changed(conversation)
        for reply in replies:
            transaction.on_commit(partial(pubsub.stop_requested, reply))
    return message


def restore_message(user: User, message_id: UUID) -> Message:
    """Undoes the deletion. Raises `NotFoundError`, and `ConflictError` once the thread went on."""
    with transaction.atomic():
        message = message_for(user, message_id, write=True)
        conversation = message.conversation
        went_on = conversation.messages.filter(shown=True, position__gt=message.position).exists()
        if message.deleted_at is None or went_on or (message.parent and not message.parent.shown):
            raise ConflictError("The conversation went on since. What was deleted cannot come back.")
        together = Q(pk=message.pk) | Q(deletion=message.deletion, deletion__isnull=False)
        conversation.messages.filter(together).update(shown=True, deleted_at=None, deletion=None)
        conversation.head = conversation.messages.filter(shown=True).order_by("-position").first()
        _path_changed(conversation)
    return message


def show_variant(user: User, message_id: UUID, variant_id: UUID) -> Message:
    """Shows another reply to the same prompt in place of this one, with what was last said after it; what
    followed this one waits beside it. Raises `NotFoundError`, and `ConflictError` if the thread does not show
    this one or the other is no variant of it, and while a reply that would go out of sight is running."""
    with transaction.atomic():
        message = message_for(user, message_id, write=True)
        conversation = message.conversation
        kept = conversation.messages.filter(deleted_at=None)
        others = kept.filter(parent=message.parent, role=Role.ASSISTANT).exclude(pk=message.pk)
        is_beside = others.filter(shown=True).exists()
        is_variant = message.parent is not None and others.filter(pk=variant_id).exists()
        if not message.shown or is_beside or not is_variant:
            raise ConflictError("This message is not in the chat any more. Reload the page.")
        parents = dict(kept.order_by("position").values_list("pk", "parent_id"))
        hidden = kept.filter(pk__in=_with_what_follows(message_id, parents), shown=True)
        if Generation.objects.live().filter(message__in=hidden).exists():
            raise ConflictError("A reply from here on is still running. Stop it first.")
        hidden.update(shown=False)
        path = [_with_what_follows(variant_id, parents)[-1]]
        while path[-1] != variant_id:
            path.append(parents[path[-1]])
        # With those that were asked for side by side with what is on it.
        batches = Generation.objects.filter(message__in=path[:-1], batch__isnull=False).values("batch")
        beside = Q(parent__in=path, generation__batch__in=batches)
        kept.filter(Q(pk__in=path) | beside).update(shown=True)
        conversation.head = conversation.messages.filter(shown=True).order_by("-position").first()
        _path_changed(conversation)
    return message


def _with_what_follows(message_id: UUID, parents: Mapping[UUID, UUID | None]) -> list[UUID]:
    """The message and all below it in the tree; `parents` is in order of position, where a parent comes
    before its children."""
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
    transaction.on_commit(lambda: pubsub.conversation_changed(conversation.pk))
