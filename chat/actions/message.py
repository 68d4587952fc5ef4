"""Deletes messages and restores them."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from chat.access import NotFoundError, message_for
from chat.actions.errors import ConflictError, InvalidInputError
from chat.actions.shown_path import hide, path_changed, show_branch, shown_below
from chat.models import Conversation, Generation, Message, Role, User
from chat.runtime import current
from chat.translatable import translatable as _


def delete_message(user: User, message_id: UUID) -> Message:
    """Deletes the message and all that follow it, and stops the running replies among them. The shown path
    has no gaps; in place of a prompt with variants the nearest one is shown, with what follows it. Raises
    `NotFoundError`, and `ConflictError` for a message that is not shown: another one may be in its place."""
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
        if message.role == Role.USER and (other := _nearest_variant(message)):
            show_branch(conversation, other)
        path_changed(conversation)
        for reply in replies:
            transaction.on_commit(partial(current().pubsub.stop_requested, reply))
    return message


def restore_message(user: User, message_id: UUID) -> Message:
    """Undoes the deletion. A prompt that was sent in place of a deleted one is kept as a variant. Raises
    `NotFoundError`, and `ConflictError` if there is no place for the message any more."""
    with transaction.atomic():
        message = message_for(user, message_id, write=True)
        conversation = message.conversation
        parent = message.parent
        later = conversation.messages.filter(shown=True, position__gt=message.position)
        if message.role == Role.USER:
            # Other prompts give way, as variants; a later reply beside the parent, or to it, does not.
            places = (parent.pk, parent.parent_id) if parent else ()
            later = later.filter(role=Role.ASSISTANT, parent__in=places)
        kept = timedelta(days=settings.CHAT_KEEP_DELETED_DAYS)
        if message.deleted_at and message.deleted_at < timezone.now() - kept:
            raise ConflictError(_("This message was deleted too long ago. It cannot be restored any more."))
        if message.deleted_at is None or later.exists() or (parent and not parent.shown):
            raise ConflictError(
                _("The chat has continued since then. The deleted message cannot be restored.")
            )
        if message.role == Role.USER:
            hide(shown_below(conversation, parent))
        together = Q(pk=message.pk) | Q(deletion=message.deletion, deletion__isnull=False)
        conversation.messages.filter(together).update(shown=True, deleted_at=None, deletion=None)
        path_changed(conversation)
    return message


def hide_for_edit(conversation: Conversation, message_id: UUID) -> Message:
    """Hides a shown prompt and all that follow it, so that an edited one can take their place. They are kept
    as a variant. Returns the prompt. The caller has a transaction, holds the conversation's lock, and calls
    `path_changed`. Raises `NotFoundError`, `InvalidInputError`, and `ConflictError` if the prompt is not
    shown or while a reply that would be hidden is running."""
    prompt = conversation.messages.filter(pk=message_id).first()
    if prompt is None:
        raise NotFoundError(_("There is no such message."))
    if prompt.role != Role.USER:
        raise InvalidInputError(_("Only a message of yours can be edited."))
    if not prompt.shown:
        raise ConflictError(_("This message is not in the chat any more. Reload the chat."))
    hide(conversation.messages.filter(position__gte=prompt.position))
    return prompt


def _nearest_variant(prompt: Message) -> UUID | None:
    """Returns the variant before this deleted prompt, else the one after it."""
    others = prompt.conversation.messages.filter(parent=prompt.parent, role=prompt.role, deleted_at=None)
    before = others.filter(position__lt=prompt.position).order_by("-position")
    after = others.filter(position__gt=prompt.position).order_by("position")
    nearest = [*before.values_list("pk", flat=True)[:1], *after.values_list("pk", flat=True)[:1]]
    return next(iter(nearest), None)
