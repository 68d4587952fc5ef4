"""A user's rating of a reply."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from chat.access import message_for
from chat.actions.errors import InvalidInputError, TooLongError
from chat.models import Feedback, Message, Role, User
from chat.models.feedback import COMMENT_LENGTH
from chat.parts import storable
from chat.runtime import current
from chat.translatable import translatable as _


def rate_reply(
    user: User, message_id: UUID, *, is_good: bool, reason: str = "", comment: str = ""
) -> tuple[Message, Feedback]:
    """Stores the rating in place of an earlier one. Raises `NotFoundError`, `InvalidInputError`,
    `TooLongError`."""
    comment = storable(comment.replace("\x00", "")).strip()
    if reason and reason not in Feedback.Reason.values:
        raise InvalidInputError(_("This reason is not one of the list."))
    if len(comment) > COMMENT_LENGTH:
        raise TooLongError(_("The comment may have at most {limit} characters."), limit=COMMENT_LENGTH)
    with transaction.atomic():
        message = message_for(user, message_id, write=True)
        if message.role != Role.ASSISTANT:
            raise InvalidInputError(_("This is not a reply."))
        feedback, _created = Feedback.objects.update_or_create(
            message=message,
            user=user,
            defaults={"is_good": is_good, "reason": reason, "comment": comment},
        )
        _changed(message)
    return message, feedback


def remove_rating(user: User, message_id: UUID) -> Message:
    """Raises `NotFoundError`."""
    with transaction.atomic():
        message = message_for(user, message_id, write=True)
        message.feedback.filter(user=user).delete()
        _changed(message)
    return message


def _changed(message: Message) -> None:
    """Shows the rating on the user's other pages. It counts neither as activity nor as an unread change."""
    conversation = message.conversation
    is_seen = conversation.seen_revision == conversation.revision
    conversation.revision += 1
    if is_seen:
        conversation.seen_revision = conversation.revision
    conversation.save(update_fields=["revision", "seen_revision"])
    message.revision = conversation.revision
    message.save(update_fields=["revision"])
    transaction.on_commit(lambda: current().pubsub.conversation_changed(conversation.pk))
