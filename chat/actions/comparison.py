"""Actions on replies that are shown side by side: add one by another model, keep one."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet

from chat.access import message_for, model_for
from chat.actions.errors import ConflictError, InvalidInputError, LimitReachedError
from chat.actions.queue import check_running_limit, lock_user
from chat.actions.reply import QueuedReply, queue_reply
from chat.actions.shown_path import (
    HiddenMessages,
    hide_what_follows,
    path_changed,
    show_branch,
    stop_and_hide,
    with_what_follows,
)
from chat.models import Feedback, Generation, Message, Role, User
from chat.translatable import translatable as _


def compare_reply(user: User, message_id: UUID, model_id: int | str) -> QueuedReply:
    """Queues a reply by another model to the same prompt, beside this finished reply and those beside it.
    What follows them is not shown any more, and comes back with the reply that is kept. Raises
    `NotFoundError`, `InvalidInputError`, `LimitReachedError`, and `ConflictError` while the reply or a later
    one is running, or while the model is answering this prompt already."""
    with transaction.atomic():
        message = message_for(user, message_id, write=True)
        prompt = message.parent
        if message.role != Role.ASSISTANT or prompt is None:
            raise InvalidInputError(_("This is not a reply."))
        if message.is_live:
            raise ConflictError(_("This reply is still running. Stop it first."))
        if not message.shown:
            raise ConflictError(_("This message is not in the chat any more. Reload the chat."))
        lock_user(user)
        model = model_for(user, model_id)
        live = Generation.objects.live().filter(message__parent=prompt, message__shown=True, model=model)
        if live.exists():
            raise ConflictError(_("This model is answering the message already."))
        if _beside(message).count() + 1 >= settings.CHAT_MODELS_AT_ONCE:
            raise LimitReachedError(
                _("At most {limit} models can answer at once."), limit=settings.CHAT_MODELS_AT_ONCE
            )
        check_running_limit(user, 1)
        hidden = hide_what_follows(message)
        reply = queue_reply(prompt, message.conversation, model)
        if hidden.last:
            path_changed(message.conversation)
        return QueuedReply(reply, is_new=True, hidden=hidden)


class KeptReply(NamedTuple):
    """The reply that the chat continues from. `hidden` has the messages that followed another reply and are
    not shown any more, and the replies side by side; it is empty if nothing followed them and none of them
    was running and `stopped`. `is_rated`: this choice rated the reply."""

    message: Message
    hidden: HiddenMessages = HiddenMessages()
    stopped: int = 0
    is_rated: bool = False


def keep_reply(user: User, message_id: UUID) -> KeptReply:
    """Shows this reply alone, with what follows it: the chat goes on from it. The replies beside it are kept
    as variants, with what follows them; those that are running are stopped. Counts as a good rating, unless
    the user has rated the reply. Does nothing if no other reply is shown beside it. Raises `NotFoundError`,
    `InvalidInputError`, and `ConflictError` for a reply that is not shown or has not ended."""
    with transaction.atomic():
        message = message_for(user, message_id, write=True)
        if message.role != Role.ASSISTANT:
            raise InvalidInputError(_("This is not a reply."))
        if message.is_live:
            raise ConflictError(_("This reply is still running. Stop it first."))
        if not message.shown:
            raise ConflictError(_("This message is not in the chat any more. Reload the chat."))
        others = list(_beside(message).values_list("pk", flat=True))
        if not others:
            return KeptReply(message)
        conversation = message.conversation
        parents = dict(conversation.messages.order_by("position").values_list("pk", "parent_id"))
        hidden = {found for other in others for found in with_what_follows(other, parents)}
        following = HiddenMessages.of(conversation.messages.filter(Q(pk__in=hidden) & ~Q(pk__in=others)))
        stopped = stop_and_hide(conversation.messages.filter(pk__in=hidden))
        if not conversation.messages.filter(parent=message, shown=True).exists():
            show_branch(conversation, message.pk)
        _rating, is_rated = Feedback.objects.get_or_create(
            message=message, user=user, defaults={"is_good": True}
        )
        path_changed(conversation)
    last = following.last or (others[-1] if stopped else None)
    beside = (*following.beside, *others, message.pk) if last else ()
    return KeptReply(message, HiddenMessages(last, beside), stopped, is_rated)


def _beside(message: Message) -> QuerySet[Message]:
    """Returns the other replies to the same prompt that are shown."""
    siblings = message.conversation.messages.filter(parent=message.parent, role=message.role, shown=True)
    return siblings.exclude(pk=message.pk)
