"""Actions on replies that are shown side by side: add one by another model, keep one."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet

from chat.access import message_for, model_for
from chat.actions.errors import ConflictError, InvalidInputError, LimitReachedError
from chat.actions.message import path_changed, show_branch, with_what_follows
from chat.actions.queue import check_running_limit, lock_user
from chat.actions.reply import queued_in_place
from chat.models import Feedback, Generation, Message, Role, User
from chat.runtime import current
from chat.translatable import translatable as _


def compare_reply(user: User, message_id: UUID, model_id: int | str) -> Message:
    """Queues a reply by another model to the same prompt, beside this finished reply and those beside it.
    Raises `NotFoundError`, `InvalidInputError`, `LimitReachedError`, and `ConflictError` if the chat went on
    after the reply, while it is running, or while the model is answering this prompt already."""
    with transaction.atomic():
        message = message_for(user, message_id, write=True)
        prompt = message.parent
        if message.role != Role.ASSISTANT or prompt is None:
            raise InvalidInputError(_("This is not a reply."))
        if message.is_live:
            raise ConflictError(_("This reply is still running. Stop it first."))
        later = message.conversation.messages.filter(
            shown=True, role=Role.USER, position__gt=message.position
        )
        if not message.shown or later.exists():
            raise ConflictError(_("The chat has gone on after this reply. Use the last reply."))
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
        return queued_in_place(prompt, message.conversation, model)


def keep_reply(user: User, message_id: UUID) -> Message:
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
            return message
        conversation = message.conversation
        parents = dict(conversation.messages.order_by("position").values_list("pk", "parent_id"))
        hidden = {found for other in others for found in with_what_follows(other, parents)}
        went_on_elsewhere = conversation.messages.filter(
            Q(pk__in=hidden) & ~Q(pk__in=others), shown=True
        ).exists()
        live = Generation.objects.live().filter(message__in=hidden, message__shown=True)
        stopped = list(live.values_list("pk", flat=True))
        live.update(stop_requested=True)
        conversation.messages.filter(pk__in=hidden).update(shown=False)
        if went_on_elsewhere:
            show_branch(conversation, message.pk)
        Feedback.objects.get_or_create(message=message, user=user, defaults={"is_good": True})
        path_changed(conversation)
        for generation_id in stopped:
            transaction.on_commit(partial(current().pubsub.stop_requested, generation_id))
    return message


def _beside(message: Message) -> QuerySet[Message]:
    """Returns the other replies to the same prompt that are shown."""
    siblings = message.conversation.messages.filter(parent=message.parent, role=message.role, shown=True)
    return siblings.exclude(pk=message.pk)
