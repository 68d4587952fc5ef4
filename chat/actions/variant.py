"""Shows another variant of a message, and undoes what replaced one."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from chat.access import message_for
from chat.actions.errors import ConflictError
from chat.actions.shown_path import (
    branch_of,
    hide,
    path_changed,
    path_to,
    show_branch,
    stop_and_hide,
)
from chat.models import Feedback, Message, Role, User
from chat.translatable import translatable as _


def show_variant(user: User, message_id: UUID, variant_id: UUID) -> Message:
    """Shows another variant of this prompt or reply instead of it, with the last messages below that one. The
    messages below this one are kept. Raises `NotFoundError`, and `ConflictError` if this one is not shown, if
    the other one is not its variant, or while a reply that would be hidden is running."""
    with transaction.atomic():
        message = message_for(user, message_id, write=True)
        conversation = message.conversation
        kept = conversation.messages.filter(deleted_at=None)
        others = kept.filter(parent=message.parent, role=message.role).exclude(pk=message.pk)
        is_beside = others.filter(shown=True).exists()
        if not message.shown or is_beside or not others.filter(pk=variant_id).exists():
            raise ConflictError(_("This message is not in the chat any more. Reload the chat."))
        hide(kept.filter(position__gte=message.position))
        show_branch(conversation, variant_id)
        path_changed(conversation)
    return message


def show_message(user: User, message_id: UUID) -> Message:
    """Shows the messages above this one, this one, and the last messages below it, in place of those that are
    shown. Does nothing if it is shown. Raises `NotFoundError`, and `ConflictError` if the message or one
    above it was deleted, or while a reply that would be hidden is running."""
    with transaction.atomic():
        message = message_for(user, message_id, write=True)
        if message.shown:
            return message
        conversation = message.conversation
        parents = dict(conversation.messages.filter(deleted_at=None).values_list("pk", "parent_id"))
        branch = branch_of(conversation, path_to(message, parents)[-1], through=message_id)
        hide(conversation.messages.exclude(pk__in=branch))
        conversation.messages.filter(pk__in=branch).update(shown=True)
        path_changed(conversation)
    return message


def undo_replacement(
    user: User,
    reply_id: UUID,
    message_id: UUID,
    *,
    beside: Collection[UUID] = (),
    is_rated: bool,
) -> Message:
    """Undoes a retry, a comparison or a choice that showed this reply: shows the other message again, with
    the messages above it and those `beside` (see `HiddenMessages`), and stops the replies that are hidden.
    What is above and beside the reply stays as it is. `is_rated`: the choice also rated the reply. Raises
    `NotFoundError`, and `ConflictError` if the message or one above it was deleted, or if the reply is not
    shown or a later message was added."""
    with transaction.atomic():
        message = message_for(user, message_id, write=True)
        conversation = message.conversation
        kept = conversation.messages.filter(deleted_at=None)
        path = path_to(message, dict(kept.values_list("pk", "parent_id")))
        replies = kept.filter(role=Role.ASSISTANT, parent__in=path)
        back = {*path, *replies.filter(pk__in=beside).values_list("pk", flat=True)}
        reply = replies.select_related("parent").filter(pk=reply_id, shown=True).first()
        last = kept.filter(pk__in={*back, reply_id}).order_by("position").last() or message
        has_gone_on = kept.filter(shown=True, position__gt=last.position).exists()
        if reply is None or reply.parent is None or has_gone_on:
            raise ConflictError(_("The chat has continued since then. This cannot be undone any more."))
        if is_rated:
            rated = Feedback.objects.filter(message=reply_id, message__conversation=conversation, user=user)
            rated.filter(is_good=True).delete()
        below = conversation.messages.filter(position__gt=reply.parent.position)
        stop_and_hide(below.exclude(Q(pk__in=back) | (Q(parent=reply.parent) & ~Q(pk=reply_id))))
        below.filter(pk__in=back).update(shown=True)
        path_changed(conversation)
    return message
