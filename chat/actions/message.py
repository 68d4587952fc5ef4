"""Actions that change which messages are shown: delete, restore, switch between variants, and undo such a
switch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from functools import partial
from typing import NamedTuple
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from chat.access import NotFoundError, message_for
from chat.actions.errors import ConflictError, InvalidInputError
from chat.models import Conversation, Feedback, Generation, Message, Role, User
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
            _hide(_below(conversation, parent))
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
    _hide(conversation.messages.filter(position__gte=prompt.position))
    return prompt


class HiddenMessages(NamedTuple):
    """Messages that an action hid, so that it can be taken back: the last one, and those that are not above
    it, such as the replies beside one of those."""

    last: UUID | None = None
    beside: tuple[UUID, ...] = ()

    @classmethod
    def of(cls, messages: QuerySet[Message]) -> HiddenMessages:
        """Returns the shown ones of these messages."""
        parents = dict(messages.filter(shown=True).order_by("position").values_list("pk", "parent_id"))
        last = step = next(reversed(parents), None)
        while step is not None and step in parents:
            step = parents.pop(step)
        return cls(last, tuple(parents))


def hide_what_follows(reply: Message) -> HiddenMessages:
    """Hides all that is shown below this reply and those beside it, so that another one can be added there.
    The caller has a transaction, holds the conversation's lock, and calls `path_changed`. Raises
    `ConflictError` while a reply that would be hidden is running."""
    following = _below(reply.conversation, reply)
    hidden = HiddenMessages.of(following)
    _hide(following)
    return hidden


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
        _hide(kept.filter(position__gte=message.position))
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
        branch = _branch(conversation, _above(message, parents)[-1], through=message_id)
        _hide(conversation.messages.exclude(pk__in=branch))
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
        path = _above(message, dict(kept.values_list("pk", "parent_id")))
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


def _above(message: Message, parents: Mapping[UUID, UUID | None]) -> list[UUID]:
    """Returns this message and those above it, the first one last. `parents` has the messages that are not
    deleted. Raises `ConflictError` if one of them was deleted."""
    path: list[UUID] = []
    step: UUID | None = message.pk
    while step is not None:
        if step not in parents:
            raise ConflictError(_("This message is not in the chat any more. Reload the chat."))
        path.append(step)
        step = parents[step]
    return path


def _below(conversation: Conversation, parent: Message | None) -> QuerySet[Message]:
    """Returns the messages that are shown below `parent`; all without one."""
    if parent is None:
        return conversation.messages.all()
    return conversation.messages.filter(position__gt=parent.position).exclude(
        parent=parent.parent_id, role=parent.role
    )


def head_of(conversation: Conversation) -> Message | None:
    """Returns the message that the next prompt follows: the last one that is shown, or of replies side by
    side the first one."""
    shown = conversation.messages.filter(shown=True)
    last = shown.order_by("-position").first()
    if last is None or last.role != Role.ASSISTANT:
        return last
    return shown.filter(parent=last.parent_id, role=last.role).order_by("position").first()


def _hide(messages: QuerySet[Message]) -> None:
    """Hides the shown ones of these messages. Raises `ConflictError` while one of them is running."""
    shown = messages.filter(shown=True)
    if Generation.objects.live().filter(message__in=shown).exists():
        raise ConflictError(_("A reply from here on is still running. Stop it first."))
    shown.update(shown=False)


def stop_and_hide(messages: QuerySet[Message]) -> int:
    """Hides the shown ones of these messages, and stops those that run. Returns how many were stopped."""
    live = Generation.objects.live().filter(message__in=messages.filter(shown=True))
    stopped = list(live.values_list("pk", flat=True))
    live.update(stop_requested=True)
    messages.filter(shown=True).update(shown=False)
    for generation_id in stopped:
        transaction.on_commit(partial(current().pubsub.stop_requested, generation_id))
    return len(stopped)


def _nearest_variant(prompt: Message) -> UUID | None:
    """Returns the variant before this deleted prompt, else the one after it."""
    others = prompt.conversation.messages.filter(parent=prompt.parent, role=prompt.role, deleted_at=None)
    before = others.filter(position__lt=prompt.position).order_by("-position")
    after = others.filter(position__gt=prompt.position).order_by("position")
    nearest = [*before.values_list("pk", flat=True)[:1], *after.values_list("pk", flat=True)[:1]]
    return next(iter(nearest), None)


def show_branch(conversation: Conversation, message_id: UUID) -> None:
    """Shows this message, and below it the path to the newest message, with its side-by-side replies, unless
    one of them was kept or rated as good."""
    conversation.messages.filter(pk__in=_branch(conversation, message_id)).update(shown=True)


def _branch(conversation: Conversation, message_id: UUID, *, through: UUID | None = None) -> list[UUID]:
    """Returns what `show_branch` shows. `through`: the path goes to the newest message below that one."""
    kept = conversation.messages.filter(deleted_at=None)
    parents = dict(kept.order_by("position").values_list("pk", "parent_id"))
    path = [with_what_follows(through or message_id, parents)[-1]]
    while path[-1] != message_id:
        path.append(parents[path[-1]])
    # Includes the replies that were asked for side by side with those on the path, before the chat went on.
    chosen = Generation.objects.filter(conversation=conversation, message__feedback__is_good=True)
    asked = Generation.objects.filter(message__in=path[:-1], batch__isnull=False)
    batches = asked.exclude(batch__in=chosen.filter(batch__isnull=False).values("batch")).values("batch")
    rows = kept.filter(parent__in=path, generation__batch__in=batches).values_list("pk", "parent")
    order = {found: number for number, found in enumerate(parents)}
    until: dict[UUID | None, int] = {
        parent: order[later] for later, parent in zip(path, path[2:], strict=False)
    }
    beside = [found for found, parent in rows if order[found] < until.get(parent, len(order))]
    return [*path, *beside]


def with_what_follows(message_id: UUID, parents: Mapping[UUID, UUID | None]) -> list[UUID]:
    """Returns the message and all messages below it. `parents` is ordered by position, so a parent precedes
    its children."""
    found = {message_id: None}
    for child, parent in parents.items():
        if parent in found:
            found[child] = None
    return list(found)


def path_changed(conversation: Conversation) -> None:
    """Saves a conversation whose shown path has changed, and publishes the change after the commit."""
    conversation.head = head_of(conversation)
    conversation.path_revision = conversation.next_revision()
    sent = Generation.objects.filter(conversation=conversation, message__shown=True, sent_from__isnull=False)
    columns = sent.order_by("-message__position").values_list("sent_from", "summary")
    conversation.sent_from, conversation.summary_id = columns.first() or (0, None)  # type: ignore[assignment]
    conversation.save()
    transaction.on_commit(lambda: current().pubsub.conversation_changed(conversation.pk))
