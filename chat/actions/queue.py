"""Queueing a reply, the common part of send, retry and continue."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from uuid import UUID, uuid4

from django.conf import settings
from django.db import connection, transaction

from chat.actions.errors import LimitReachedError
from chat.generation.endpoint_queue import has_queue
from chat.generation.lease import claim_fields, database_time, running_of
from chat.models import ChatModel, Conversation, Generation, Message, Role, User
from chat.models.prepared_writes import insert
from chat.runtime import current
from chat.translatable import translatable as _


def queue_replies(
    conversation: Conversation,
    prompt: Message,
    models: Iterable[ChatModel],
    *,
    new: Iterable[Message] = (),
    continues: Message | None = None,
    client_id: UUID | None = None,
    batch: UUID | None = None,
) -> list[Message]:
    """Adds an empty reply to `prompt` with its generation for each model, after the messages that are `new`
    too. Only a single reply may have a `client_id`. They get the `batch` of the replies beside them, or one
    of their own. The first reply becomes the conversation's head. The
    replies start after the commit: in this process at once if it serves requests and no earlier reply runs.
    The caller holds the conversation's lock and saves it."""
    runner = current().runner
    lease = claim_fields() if runner.accepting and not _waits(prompt) else {}
    replies, generations, begun, batch = [], [], set(), batch or uuid4()
    for model in models:
        revision = conversation.next_revision()
        reply = Message(
            conversation=conversation,
            parent=prompt,
            position=conversation.next_position(),
            role=Role.ASSISTANT,
            client_id=client_id,
            added_revision=revision,
            revision=revision,
        )
        generation = Generation(
            conversation=conversation,
            message=reply,
            model=model,
            model_label=model.label,
            continues=continues,
            batch=batch,
            queued_at=database_time(),
            queued_by_endpoint=has_queue(model),
            parameters=conversation.parameters,
        )
        if lease and not generation.queued_by_endpoint:
            begun.add(generation.pk)
            for name, value in lease.items():
                setattr(generation, name, value)
        replies.append(reply)
        generations.append(generation)
        conversation.head = replies[0]
    runner.remember_claims(begun)
    insert([*new, *replies])
    insert(generations)
    for generation in generations:
        claimed = generation if generation.pk in begun else None
        transaction.on_commit(partial(runner.start_generation, generation.pk, claimed))
    return replies


def _waits(prompt: Message) -> bool:
    """Returns whether the reply before this prompt still runs."""
    return prompt.parent is not None and prompt.parent.is_live


def lock_user(user: User) -> None:
    """Locks the user's row until the transaction ends, so that each of many simultaneous prompts sees the
    others. (NO KEY: rows that refer to the user do not wait.)"""
    if connection.features.has_select_for_update:
        User.objects.select_for_update(no_key=True).filter(pk=user.pk).values_list("pk").first()


def check_running_limit(user: User, more: int) -> None:
    """Raises `LimitReachedError` if the user may not have `more` additional running replies beside those
    that run and the calls of programs. The caller is in the transaction that adds them, and has called
    `lock_user`."""
    calls = current().calls
    if settings.SQLITE:
        transaction.on_commit(calls.permits.clear)  # each has the number of running replies
    running = running_of(user.pk) + calls.running_everywhere_of(user.pk)
    if running + more > settings.CHAT_RUNNING_PER_PERSON:
        raise too_many_running()


def too_many_running() -> LimitReachedError:
    return LimitReachedError(
        _("You have as many replies running as one person may have. Wait for one, or stop one.")
    )
