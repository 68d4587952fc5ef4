"""Which messages of a conversation are shown. The callers hold its lock, in a transaction."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from chat.actions.errors import ConflictError
from chat.models import Conversation, Generation, Message, Role
from chat.runtime import current
from chat.translatable import translatable as _


class HiddenMessages(NamedTuple):
    """Messages that an action hid, so that it can be undone: the last one, and those that are not above
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
    following = shown_below(reply.conversation, reply)
    hidden = HiddenMessages.of(following)
    hide(following)
    return hidden


def path_to(message: Message, parents: Mapping[UUID, UUID | None]) -> list[UUID]:
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


def shown_below(conversation: Conversation, parent: Message | None) -> QuerySet[Message]:
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


def hide(messages: QuerySet[Message]) -> None:
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


def show_branch(conversation: Conversation, message_id: UUID) -> None:
    """Shows this message, and below it the path to the newest message, with its side-by-side replies, unless
    one of them was kept or rated as good."""
    conversation.messages.filter(pk__in=branch_of(conversation, message_id)).update(shown=True)


def branch_of(conversation: Conversation, message_id: UUID, *, through: UUID | None = None) -> list[UUID]:
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
