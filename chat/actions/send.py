"""Sends a prompt."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, connection, transaction

from chat.access import NotFoundError, conversation_to_write, model_for
from chat.actions.attachment import files_for_prompt
from chat.actions.errors import InvalidInputError, MismatchError, TooLongError
from chat.actions.message import hide_for_edit
from chat.actions.preset import apply_chat_start
from chat.actions.queue import check_running_limit, lock_user, queue_replies
from chat.actions.shown_path import path_changed
from chat.actions.tools import choose_tools
from chat.live.changes import CommittedChange
from chat.models import ChatModel, Conversation, Message, Role, Status, User
from chat.models.conversation import shortened
from chat.models.message import Sibling
from chat.models.parameters import InvalidParameterError, Parameters
from chat.models.prepared import Prepared
from chat.models.prepared_writes import columns_of, insert, save_changes
from chat.parts import FilePart, TextPart, stored
from chat.runtime import current
from chat.search.index import index_message, index_title
from chat.translatable import translatable as _

EMPTY = _("The message is empty. Write something first.")
FAILED = (Status.FAILED, Status.REFUSED)


@dataclass(frozen=True, slots=True)
class Sent:
    """The stored prompt. `is_new` is false if this client id was sent before."""

    message: Message
    is_new: bool


@dataclass(frozen=True, slots=True)
class Edit:
    """The prompt that is edited, and the attachments of it that its edited form goes without."""

    prompt: UUID
    removed_attachments: Collection[UUID] = ()


def send_message(
    user: User,
    conversation_id: UUID,
    *,
    client_id: UUID,
    text: str,
    model_ids: list[int | str],
    attachments: Collection[UUID] = (),
    edits: UUID | None = None,
    removed_attachments: Collection[UUID] = (),
    tools: Sequence[str] | None = None,
    parameters: object = None,
) -> Sent:
    """Stores the prompt and queues one reply for each model. The first prompt of an unused id creates the
    conversation. Sending the same `client_id` again returns the same message and costs nothing. `attachments`
    are files of the user; with one, the text may be empty. `edits` is the shown prompt that this one is an
    edited form of: it takes its place with its files except `removed_attachments`, and the other one is kept
    as a variant, with all its files and all that follow it. `tools` are the names of the tools that the chat
    has on from now on, and `parameters` what its requests have (`Parameters.checked`); None changes nothing.

    Raises `NotFoundError`, `InvalidInputError`, `TooLongError`, `LimitReachedError`, `MismatchError` if the
    id was sent before in another conversation, with another text or other files, and `ConflictError` if the
    edited prompt is not shown or a reply after it is running; then nothing is written. Everything is
    committed when the function returns.
    """
    text = _checked_text(text, may_be_empty=bool(attachments or edits))
    if removed_attachments and edits is None:
        raise InvalidInputError(_("Only a message that is edited has files to remove."))
    wanted = None if parameters is None else checked_parameters(parameters)
    edit = None if edits is None else Edit(edits, removed_attachments)
    try:
        return _send(user, conversation_id, client_id, text, model_ids, attachments, edit, tools, wanted)
    except IntegrityError:
        # Two processes created the same conversation at the same time, and the other one succeeded.
        return _send(user, conversation_id, client_id, text, model_ids, attachments, edit, tools, wanted)


def _send(
    user: User,
    conversation_id: UUID,
    client_id: UUID,
    text: str,
    model_ids: list[int | str],
    attachments: Collection[UUID],
    edit: Edit | None,
    tools: Sequence[str] | None,
    parameters: Parameters | None,
) -> Sent:
    with transaction.atomic():
        conversation = conversation_to_write(user, conversation_id)
        before = columns_of(conversation) if conversation else {}
        lock_user(user)
        count = None if edit else len(set(attachments))  # an edited form has the files of the prompt too
        if sent_before := _sent_before(user, conversation_id, client_id, text, count):
            return Sent(sent_before, is_new=False)
        models = _checked_models(user, model_ids)
        check_running_limit(user, len(models))
        is_new = conversation is None
        if conversation is None and edit is not None:
            raise NotFoundError(_("There is no such message."))
        edited = None if conversation is None or edit is None else hide_for_edit(conversation, edit.prompt)
        kept = [] if edited is None or edit is None else _kept_files(edited, edit.removed_attachments)
        files = files_for_prompt(user, attachments, kept=kept)
        if not (text or files.attachments):
            raise InvalidInputError(EMPTY)
        title = shortened(text or files.attachments[0].name)
        start = None
        if conversation is None:
            conversation = Conversation(id=conversation_id, owner=user, title=title)
            start = apply_chat_start(conversation)
        if tools is not None:
            choose_tools(user, conversation, tools)
        if parameters is not None:
            conversation.parameters = parameters.as_json()
        since, pubsub, head = conversation.revision, current().pubsub, conversation.head
        parent = _parent_of_next(conversation) if edited is None else edited.parent
        prompt = _prompt(conversation, parent, client_id, text, files.parts)
        index_message(prompt, user.pk)
        if is_new:
            index_title(conversation, is_new=True)
        replies = queue_replies(conversation, prompt, models, new=[prompt])
        files.attach_to(prompt)
        if edited is not None:
            _title_again(conversation, edited, title)
            path_changed(conversation)
            return Sent(prompt, is_new=True)
        if is_new:
            insert([conversation])
        else:
            save_changes(conversation, before)
        if start is not None:
            start.save()
        if prompt.parent and prompt.parent.role == Role.USER:
            # Its reply was deleted: Retry is not offered any more.
            conversation.messages.filter(pk=prompt.parent.pk).update(revision=prompt.revision)
            transaction.on_commit(lambda: pubsub.conversation_changed(conversation_id))
        elif connection.features.has_select_for_update or parent != head:
            # The times of the rows are the database's, or a variant of the prompt is kept there.
            transaction.on_commit(lambda: pubsub.conversation_changed(conversation_id))
        else:
            change = CommittedChange(since, conversation, [prompt, *replies])
            transaction.on_commit(lambda: pubsub.committed(change))
    return Sent(prompt, is_new=True)


def _kept_files(edited: Message, removed: Collection[UUID]) -> list[UUID]:
    """Returns the ids of the attachments that the edited form of a prompt keeps, in the order of its files.
    Raises `NotFoundError` if a removed one is not of this prompt."""
    order = {part.id: at for at, part in enumerate(edited.files)}
    ids = edited.attachments.values_list("pk", flat=True)
    theirs = sorted(ids, key=lambda pk: (order.get(str(pk), len(order)), pk))
    if not set(removed).issubset(theirs):
        raise NotFoundError(_("There is no such file."))
    return [pk for pk in theirs if pk not in removed]


def _title_again(conversation: Conversation, edited: Message, title: str) -> None:
    """Titles the chat by its edited first prompt, unless a person wrote the title. A model is asked for a
    title again."""
    if edited.parent_id is not None or conversation.titled == Conversation.Titled.PERSON:
        return
    # An older process renames without `titled`.
    roots = conversation.messages.filter(parent=None, role=Role.USER)
    if (
        conversation.titled == Conversation.Titled.MODEL
        or conversation.title == edited.first_words
        or any(conversation.title == root.first_words for root in roots)
    ):
        conversation.title, conversation.titled = title, Conversation.Titled.WORDS
        index_title(conversation)


def _parent_of_next(conversation: Conversation) -> Message | None:
    """Returns what the next prompt follows: the head, or the first reply beside it that has not failed."""
    head = conversation.head
    if head is None or not _has_failed(head):
        return head
    beside = conversation.messages.filter(parent=head.parent_id, role=head.role).shown()
    return next((reply for reply in beside if not _has_failed(reply)), head)


def _has_failed(message: Message) -> bool:
    return message.reply is not None and message.reply.status in FAILED


_sent = Prepared(
    lambda client_id, user: Message.objects.filter(client_id=client_id, conversation__owner=user), UUID, int
)


def _sent_before(
    user: User, conversation_id: UUID, client_id: UUID, text: str, files: int | None
) -> Message | None:
    """Looks in all conversations of the user, also in deleted ones."""
    message = _sent.first(client_id, user.pk)
    if message is None:
        return None
    is_same = (message.conversation_id, message.text) == (conversation_id, text)
    if not is_same or files not in (None, len(message.files)):
        raise mismatch()
    return message


def mismatch() -> MismatchError:
    """Returns the error for a client id that was used for another prompt."""
    return MismatchError(
        _("This was sent before in another chat, with another content or to other models. Send it as new.")
    )


def _checked_text(text: str, *, may_be_empty: bool) -> str:
    text = text.replace("\r\n", "\n").replace("\x00", "").strip()
    text = text.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate cannot be stored
    if not text and not may_be_empty:
        raise InvalidInputError(EMPTY)
    if len(text) > settings.CHAT_MAX_PROMPT_CHARS:
        raise TooLongError(
            _(
                "The message has {length:,} characters; the limit is {limit:,}. "
                "Shorten it or send it in parts."
            ),
            length=len(text),
            limit=settings.CHAT_MAX_PROMPT_CHARS,
        )
    return text


def checked_parameters(values: object) -> Parameters:
    """Returns the parameters that a page or a program sent. Raises `InvalidInputError`."""
    try:
        return Parameters.checked(values)
    except InvalidParameterError as error:
        raise InvalidInputError(error.words, **error.values) from None


def _checked_models(user: User, model_ids: list[int | str]) -> list[ChatModel]:
    if not model_ids:
        raise InvalidInputError(_("No model is chosen. Choose one from the list."))
    if len(model_ids) > settings.CHAT_MODELS_AT_ONCE:
        raise InvalidInputError(
            _("At most {limit} models can answer at once."), limit=settings.CHAT_MODELS_AT_ONCE
        )
    return [model_for(user, model_id) for model_id in dict.fromkeys(model_ids)]


def _prompt(
    conversation: Conversation, parent: Message | None, client_id: UUID, text: str, files: Iterable[FilePart]
) -> Message:
    """Returns an unsaved message."""
    revision = conversation.next_revision()
    prompt = Message(
        conversation=conversation,
        parent=parent,
        position=conversation.next_position(),
        role=Role.USER,
        client_id=client_id,
        text=text,
        parts=stored([*([TextPart(text)] if text else []), *files]),
        added_revision=revision,
        revision=revision,
    )
    # What is shown last has no other prompts below it that are kept.
    prompt.siblings = [Sibling(prompt.pk, shown=True)]
    return prompt
