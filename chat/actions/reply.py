"""Actions on a reply: stop, retry, continue."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction

from chat.access import NoSuchModelError, NotFoundError, message_for, model_for
from chat.actions.errors import ActionError, ConflictError, InvalidInputError
from chat.actions.queue import check_running_limit, lock_user, queue_replies
from chat.actions.send import checked_parameters, mismatch
from chat.actions.shown_path import HiddenMessages, head_of, hide_what_follows, path_changed
from chat.generation.lease import waiting_after
from chat.generation.orphans import end_from_journal
from chat.generation.output import MAX_REPLY_CHARS
from chat.models import ChatModel, Conversation, Generation, Message, Role, Status, User
from chat.runtime import current
from chat.translatable import translatable as _

CONTINUABLE = (Status.STOPPED, Status.INTERRUPTED, Status.LENGTH, Status.FAILED)


def stop_reply(user: User, message_id: UUID) -> Message:
    """Requests the end of the reply, in any process and also before its first token. Does nothing if the
    reply has ended already: the click came late. Raises `NotFoundError`, `InvalidInputError`."""
    with transaction.atomic():
        message = message_for(user, message_id, write=True)
        generation = _generation(message)
        if generation.is_live:
            Generation.objects.filter(pk=generation.pk).update(stop_requested=True)
            publish = current().pubsub.conversation_changed
            if not generation.owner and end_from_journal(Generation.objects.get(pk=generation.pk), publish):
                transaction.on_commit(lambda: _start_waiting(message))
            transaction.on_commit(lambda: current().pubsub.stop_requested(generation.pk))
    return message


class QueuedReply(NamedTuple):
    """The reply that an action queued. `is_new` is false if this client id was sent before. `hidden` has the
    later messages and the replaced reply, which the chat no longer shows; it is empty if nothing followed."""

    message: Message
    is_new: bool
    hidden: HiddenMessages = HiddenMessages()


class ReplyOptions(NamedTuple):
    """How a reply is made: by the model `model_id`, else by that of the last reply, or by `fallback_id` if
    that one cannot be used any more. `parameters` are what the chat's requests have from now on
    (`Parameters.checked`); None changes nothing."""

    model_id: int | str | None = None
    fallback_id: int | str | None = None
    parameters: object = None

    def model(self, user: User, last_id: int | None) -> ChatModel:
        """Raises `NoSuchModelError`."""
        try:
            return model_for(user, self.model_id or last_id or 0)
        except NoSuchModelError:
            if self.model_id or not self.fallback_id:
                raise
            return model_for(user, self.fallback_id)


def retry_reply(
    user: User,
    message_id: UUID,
    model_id: int | str | None = None,
    *,
    fallback_id: int | str | None = None,
    parameters: object = None,
) -> Message:
    """Queues another reply to the same prompt, by the same model or another (see `ReplyOptions`). The old
    reply is kept as a variant, with all that follow it. `message_id` may also be the prompt of a deleted
    reply. Raises `NotFoundError`, `InvalidInputError`, `ConflictError` while the reply or a later one
    runs."""
    return retry_or_continue(
        user, message_id, ReplyOptions(model_id, fallback_id, parameters), continues=False
    ).message


def continue_reply(
    user: User,
    message_id: UUID,
    model_id: int | str | None = None,
    *,
    fallback_id: int | str | None = None,
    parameters: object = None,
) -> Message:
    """Queues a new reply that begins with the text of this one. Raises the same errors as `retry_reply`, and
    `ConflictError` if the reply is complete, or if the chat went on after it: what follows answers the text
    as it is."""
    return retry_or_continue(
        user, message_id, ReplyOptions(model_id, fallback_id, parameters), continues=True
    ).message


def continue_interrupted_reply(generation_id: UUID) -> None:
    """Continues a reply that was interrupted when its process ended, if the settings say so. This happens
    once, never for a reply that is a continuation already, and only if the reply has text."""
    if not settings.CHAT_CONTINUE_INTERRUPTED:
        return
    generation = Generation.objects.select_related("message__conversation__owner").get(pk=generation_id)
    if generation.status != Status.INTERRUPTED or generation.continues_id or not generation.message.text:
        return
    with suppress(ActionError, NotFoundError):  # the user was faster
        continue_reply(generation.message.conversation.owner, generation.message_id)


def retry_or_continue(
    user: User, message_id: UUID, options: ReplyOptions, *, continues: bool, client_id: UUID | None = None
) -> QueuedReply:
    """Retries or continues a reply. Sending the same `client_id` again returns the same reply and costs
    nothing. Raises as `retry_reply` and `continue_reply`, and `MismatchError` if the id was sent before for
    something else."""
    wanted = None if options.parameters is None else checked_parameters(options.parameters)
    with transaction.atomic():
        message = message_for(user, message_id, write=True)
        if before := _sent_before(user, message, options, continues=continues, client_id=client_id):
            return QueuedReply(before, is_new=False)
        if wanted is not None:
            message.conversation.parameters = wanted.as_json()
        return _queue_in_place_of(user, message, options, continues=continues, client_id=client_id)


def _sent_before(
    user: User, message: Message, options: ReplyOptions, *, continues: bool, client_id: UUID | None
) -> Message | None:
    if client_id is None:
        return None
    lock_user(user)
    found = Message.objects.filter(client_id=client_id, conversation__owner=user)
    before = found.select_related("generation").first()
    if before is None:
        return None
    prompt_id = message.pk if message.role == Role.USER else message.parent_id
    is_same = before.role == Role.ASSISTANT and before.parent_id == prompt_id
    if not is_same or before.generation.continues_id != (message.pk if continues else None):
        raise mismatch()
    if options.model_id and before.generation.model_id not in {None, options.model_id}:
        raise mismatch()
    return before


def _queue_in_place_of(
    user: User, message: Message, options: ReplyOptions, *, continues: bool, client_id: UUID | None
) -> QueuedReply:
    conversation = message.conversation
    if message.role == Role.USER and conversation.head_id == message.pk and not continues:
        return QueuedReply(_reply_to_unanswered(user, message, options, client_id), is_new=True)
    generation = _generation(message)
    if generation.is_live:
        raise ConflictError(_("This reply is still running. Stop it first."))
    if continues and generation.status not in CONTINUABLE:
        raise ConflictError(_("This reply is complete. Ask a new question to continue."))
    if continues and len(message.text) >= MAX_REPLY_CHARS:
        raise ConflictError(_("This reply has reached the maximum length. Ask a new question."))
    if not message.shown:
        raise ConflictError(_("This message is not in the chat any more. Reload the chat."))
    later = conversation.messages.filter(shown=True, role=Role.USER, position__gt=message.position)
    if continues and later.exists():
        raise ConflictError(_("The chat continues after this reply. Retry it, or continue the last reply."))
    lock_user(user)
    check_running_limit(user, 1)
    if message.parent is None:
        raise InvalidInputError(_("This reply has no prompt to answer."))
    model = options.model(user, generation.model_id)
    hidden = hide_what_follows(message)
    message.shown = False
    message.save(update_fields=["shown"])
    before = message if continues else None
    reply = queue_reply(message.parent, conversation, model, continues=before, client_id=client_id)
    if hidden.last:
        hidden = HiddenMessages(hidden.last, (*hidden.beside, message.pk))
        path_changed(conversation)
    return QueuedReply(reply, is_new=True, hidden=hidden)


def _reply_to_unanswered(
    user: User, prompt: Message, options: ReplyOptions, client_id: UUID | None
) -> Message:
    """Queues a reply to a prompt without one, by the model that answered it last."""
    lock_user(user)
    check_running_limit(user, 1)
    last = Generation.objects.filter(message__parent=prompt).order_by("-message__position").first()
    model = options.model(user, last.model_id if last else None)
    return queue_reply(prompt, prompt.conversation, model, client_id=client_id)


def queue_reply(
    prompt: Message,
    conversation: Conversation,
    model: ChatModel,
    *,
    continues: Message | None = None,
    client_id: UUID | None = None,
) -> Message:
    """Queues a reply to `prompt`, beside those that are shown. All of them get one new batch id, since the
    reply in whose place this one comes is not beside them any more."""
    batch = uuid4()
    Generation.objects.filter(message__parent=prompt, message__shown=True).update(batch=batch)
    (reply,) = queue_replies(
        conversation, prompt, [model], continues=continues, client_id=client_id, batch=batch
    )
    conversation.head = head_of(conversation)  # another one may be beside it
    conversation.path_revision = conversation.revision
    conversation.save()
    transaction.on_commit(lambda: current().pubsub.conversation_changed(conversation.pk))
    return reply


def _generation(message: Message) -> Generation:
    if message.role != Role.ASSISTANT:
        raise InvalidInputError(_("This is not a reply."))
    return message.generation


def _start_waiting(message: Message) -> None:
    for generation_id in waiting_after(message.pk):
        current().runner.start_generation(generation_id)
