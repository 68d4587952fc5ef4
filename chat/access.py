"""The only door to a person's objects. Whatever is not theirs does not exist: one answer for "no such
thing" and "not yours", so that nothing can be learned by asking."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Q, QuerySet

from chat.models import ChatModel, Conversation, Message, User
from chat.models.message import MessageQuerySet


class NotFoundError(Exception):
    """There is nothing here for this person."""


class NoSuchModelError(NotFoundError):
    """This person may not use that model, or nobody may."""


class InactiveError(NotFoundError):
    """This person may not look at anything any more."""


def conversation_for(user: User, conversation_id: UUID, *, write: bool = False) -> Conversation:
    """The conversation if this person may see it (`write`: change it, with its row locked until the
    transaction ends). Raises `NotFoundError`."""
    conversations = conversations_of(user)
    if write:
        conversations = conversations.select_for_update()
    conversation = conversations.filter(pk=conversation_id).first() if user.is_active else None
    if conversation is None:
        raise NotFoundError("There is no such conversation.")
    return conversation


def conversation_to_write(user: User, conversation_id: UUID) -> Conversation | None:
    """The conversation that this person's prompt goes to, with its row locked until the transaction ends;
    None for an id that nobody has used yet, which is a new chat. Raises `NotFoundError`."""
    theirs = Conversation.objects.kept().filter(owner=user).select_for_update()
    conversation = theirs.filter(pk=conversation_id).first() if user.is_active else None
    if conversation is None and not may_open(user, conversation_id):
        raise NotFoundError("There is no such conversation.")
    return conversation


def messages_seen_by(user_id: int, conversation_id: UUID) -> MessageQuerySet:
    """What the thread shows to this person while they may see it: nothing of what is not theirs, no longer,
    or not there yet; `conversation_seen_by` tells which."""
    theirs = Q(conversation__owner_id=user_id, conversation__owner__is_active=True)
    return Message.objects.shown().filter(
        theirs, conversation_id=conversation_id, conversation__deleted_at=None
    )


def conversation_seen_by(user_id: int, conversation_id: UUID) -> Conversation | None:
    """What a viewer follows, in one query: their own conversation; None for an id that nobody has used yet.
    Raises `NotFoundError` for what is not theirs, or no longer, `InactiveError` for who is not active."""
    theirs = Conversation.objects.kept().filter(owner_id=user_id, owner__is_active=True)
    conversation = theirs.filter(pk=conversation_id).first()
    if conversation is None:
        user = User.objects.filter(pk=user_id, is_active=True).first()
        if user is None:
            raise InactiveError("There is no such conversation.")
        if not may_open(user, conversation_id):
            raise NotFoundError("There is no such conversation.")
    return conversation


def conversations_of(user: User) -> QuerySet[Conversation]:
    """All conversations that this person sees in the list, the newest first."""
    return Conversation.objects.kept().filter(owner=user)


def may_open(user: User, conversation_id: UUID) -> bool:
    """Whether this person may open the page of this id: their own conversation, or an id that nobody has
    used yet, which is a new chat."""
    if not user.is_active:
        return False
    owner = Conversation.objects.filter(pk=conversation_id).values_list("owner_id", "deleted_at").first()
    return owner is None or owner == (user.pk, None)


def message_for(user: User, message_id: UUID, *, write: bool = False) -> Message:
    """The message if it belongs to a conversation this person may see; with `write` the conversation's
    row is locked, and the message is read only then: what a second click decides on is what the first one
    left. Raises `NotFoundError`."""
    found = Message.objects.filter(pk=message_id)
    conversation_id = found.values_list("conversation_id", flat=True).first()
    if conversation_id is None:
        raise NotFoundError("There is no such message.")
    conversation = conversation_for(user, conversation_id, write=write)
    message = found.select_related("generation", "parent").first()
    if message is None:
        raise NotFoundError("There is no such message.")
    message.conversation = conversation
    return message


def model_for(user: User, model_id: int | str) -> ChatModel:
    """The model of the catalog if this person may use it now. Raises `NoSuchModelError`."""
    model = ChatModel.objects.usable_by(user).filter(pk=_integer(model_id)).first()
    if model is None:
        raise NoSuchModelError("This model cannot be used. Choose another one from the list.")
    return model


def _integer(value: int | str) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        return 0
    return number if 0 < number < 2**63 else 0
