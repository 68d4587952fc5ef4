"""The only way to a user's objects. An object of another user does not exist: "no such object" and "not
yours" get the same answer, so that guessing ids reveals nothing."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.contrib.sessions.models import Session
from django.db import connection
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from chat.models import (
    Attachment,
    Audience,
    ChatModel,
    Conversation,
    Folder,
    Generation,
    Knowledge,
    Message,
    Preferences,
    Preset,
    PresetUse,
    PresetVersion,
    SavedPrompt,
    ServerSettings,
    Share,
    Summary,
    ToolRun,
    User,
)
from chat.models.catalog import usable_model
from chat.models.message import MessageQuerySet
from chat.models.prepared import Prepared
from chat.models.user import user_by_id
from chat.translatable import translatable as _

_conversation = Prepared(lambda user, pk: Conversation.objects.kept().filter(owner=user, pk=pk), int, UUID)
_conversation_with_head = Prepared(
    lambda user, pk: (
        Conversation.objects.kept()
        .filter(owner=user, pk=pk)
        .select_related("head__generation")
        .defer("head__text", "head__parts")
    ),
    int,
    UUID,
)
_conversation_seen = Prepared(
    lambda user, pk: Conversation.objects.kept().filter(owner=user, owner__is_active=True, pk=pk), int, UUID
)
_owner = Prepared(lambda pk: Conversation.objects.filter(pk=pk).values_list("owner_id", "deleted_at"), UUID)


_opened = Prepared(
    lambda key, now, pk: (
        Conversation.objects.kept()
        .filter(pk=pk)
        .annotate(
            session_data=Session.objects.filter(session_key=key, expire_date__gt=now).values("session_data"),
            password=F("owner__password"),
            is_active=F("owner__is_active"),
            streaming=Preferences.objects.filter(user=OuterRef("owner")).values("streaming"),
            is_live=Exists(Generation.objects.live().filter(conversation=OuterRef("pk"))),
        )
    ),
    str,
    datetime,
    UUID,
)


class Opened(NamedTuple):
    """A conversation, and what its owner's page needs, as of one moment. `session_data` is that of any
    session, whose user may be another one."""

    conversation: Conversation
    session_data: str
    password: str
    is_active: bool
    streaming: str | None
    is_live: bool


class NotFoundError(Exception):
    """The object does not exist for this user."""


class NoSuchModelError(NotFoundError):
    """This user may not use the model, or nobody may."""


class InactiveError(NotFoundError):
    """This user is not active any more."""


def conversation_for(user: User, conversation_id: UUID, *, write: bool = False) -> Conversation:
    """Returns the conversation if this user may see it. With `write` the user may change it, and its row is
    locked until the transaction ends. Raises `NotFoundError`."""
    if not user.is_active:
        conversation = None
    elif write:
        conversation = conversations_of(user).select_for_update().filter(pk=conversation_id).first()
    else:
        conversation = _conversation.first(user.pk, conversation_id)
    if conversation is None:
        raise NotFoundError(_("There is no such chat."))
    return conversation


def conversation_to_write(user: User, conversation_id: UUID) -> Conversation | None:
    """Returns the conversation for this user's prompt, with its row locked until the transaction ends; None
    for an unused id, which is a new chat. Raises `NotFoundError`."""
    if not user.is_active:
        conversation = None
    elif connection.features.has_select_for_update:
        conversation = conversations_of(user).select_for_update().filter(pk=conversation_id).first()
    else:  # the transaction is alone: what is read along with the row is as new as the row
        conversation = _conversation_with_head.first(user.pk, conversation_id)
    if conversation is None and not may_open(user, conversation_id):
        raise NotFoundError(_("There is no such chat."))
    return conversation


def opened_conversation(session_key: str, now: datetime, conversation_id: UUID) -> Opened | None:
    """Returns the conversation with this session's data in one query. None if one of them is not there. The
    caller compares the session's user with the owner."""
    conversation = _opened.first(session_key, now, conversation_id)
    if conversation is None:
        return None
    # The object lives as long as the page: it keeps no password.
    fields = {name: vars(conversation).pop(name) for name in Opened._fields[1:]}
    return Opened(conversation, **fields) if fields["session_data"] is not None else None


def messages_seen_by(user_id: int, conversation_id: UUID) -> MessageQuerySet:
    """Returns the messages shown to this user. Returns none if the conversation belongs to another user, is
    deleted or does not exist yet; `conversation_seen_by` distinguishes these cases."""
    theirs = Q(conversation__owner_id=user_id, conversation__owner__is_active=True)
    return Message.objects.shown().filter(
        theirs, conversation_id=conversation_id, conversation__deleted_at=None
    )


def conversation_seen_by(user_id: int, conversation_id: UUID) -> Conversation | None:
    """Returns the user's own conversation in one query; None for an unused id. Raises `NotFoundError` for a
    conversation of another user or a deleted one, `InactiveError` if the user is not active."""
    conversation = _conversation_seen.first(user_id, conversation_id)
    if conversation is None:
        user = user_by_id.first(user_id)
        if user is None or not user.is_active:
            raise InactiveError(_("There is no such chat."))
        if not may_open(user, conversation_id):
            raise NotFoundError(_("There is no such chat."))
    return conversation


def conversations_of(user: User) -> QuerySet[Conversation]:
    """Returns the conversations in this user's list, the newest first."""
    return Conversation.objects.kept().filter(owner=user)


def lock_conversations(user: User, ids: Collection[UUID]) -> list[UUID]:
    """Returns the ids of those that this user may change, with their rows locked until the transaction ends.
    The order of the locks is the same for all, so that two such requests do not wait for each other."""
    theirs = conversations_of(user).select_for_update().filter(pk__in=ids).order_by("pk")
    return list(theirs.values_list("pk", flat=True)) if user.is_active else []


def deleted_conversations_of(user: User, since: datetime) -> QuerySet[Conversation]:
    """Returns the conversations that this user deleted since then and can restore, the last deleted first. An
    erased conversation has no position."""
    theirs = Conversation.objects.filter(owner=user, deleted_at__gte=since, last_position__gt=0)
    return theirs.order_by("-deleted_at", "-id")


def may_open(user: User, conversation_id: UUID) -> bool:
    """Returns whether this user may open the page of this id: their own conversation, or an unused id, which
    is a new chat."""
    if not user.is_active:
        return False
    owner = _owner.first(conversation_id)
    return owner is None or owner == (user.pk, None)


def message_for(user: User, message_id: UUID, *, write: bool = False) -> Message:
    """Returns the message if it belongs to a conversation that this user may see. With `write` the
    conversation's row is locked before the message is read, so a second click sees the result of the first.
    Raises `NotFoundError`."""
    found = Message.objects.filter(pk=message_id)
    conversation_id = found.values_list("conversation_id", flat=True).first()
    if conversation_id is None:
        raise NotFoundError(_("There is no such message."))
    conversation = conversation_for(user, conversation_id, write=write)
    message = found.select_related("generation", "parent").first()
    if message is None:
        raise NotFoundError(_("There is no such message."))
    message.conversation = conversation
    return message


def tool_run_for(user: User, call_id: int, *, write: bool = False) -> tuple[ToolRun, Message]:
    """Returns a call of a tool with the reply that made it, as `message_for` does. Raises `NotFoundError`."""
    owner = ToolRun.objects.filter(pk=call_id).values_list("generation__message_id", flat=True).first()
    if owner is None:
        raise NotFoundError(_("There is no such tool call."))
    message = message_for(user, owner, write=write)
    call = ToolRun.objects.filter(pk=call_id).first()
    if call is None:
        raise NotFoundError(_("There is no such tool call."))
    return call, message


def summary_for(user: User, summary_id: UUID) -> Summary:
    """Returns the summary if it belongs to a conversation that this user may see. Raises `NotFoundError`."""
    found = Summary.objects.filter(pk=summary_id, conversation__in=conversations_of(user)).first()
    if found is None or not user.is_active:
        raise NotFoundError(_("There is no such chat."))
    return found


def replies_for(user: User, message_ids: Collection[UUID]) -> list[Message]:
    """Returns these replies of this user's conversations, with their generations, in the order of their
    positions. Raises `NotFoundError` if one of them is missing."""
    theirs = Q(conversation__owner=user, conversation__deleted_at=None, generation__isnull=False)
    found = Message.objects.filter(theirs, pk__in=message_ids).select_related("generation", "conversation")
    replies = list(found.order_by("position"))
    if not replies or len(replies) != len(set(message_ids)):
        raise NotFoundError(_("There is no such message."))
    return replies


def attachment_for(user: User, attachment_id: UUID) -> Attachment:
    """Returns the complete attachment if it is this user's, unsent or in a chat that is not deleted. Raises
    `NotFoundError`."""
    found = attachments_of(user).filter(pk=attachment_id).first() if user.is_active else None
    if found is None:
        raise NotFoundError(_("There is no such file."))
    return found


def upload_of(user: User, attachment_id: UUID) -> Attachment | None:
    """Returns the upload of this user, complete or not; None for an unused id, which is a new one. Raises
    `NotFoundError`."""
    found = Attachment.objects.select_related("stored").filter(pk=attachment_id).first()
    if not user.is_active or (found is not None and found.owner_id != user.pk):
        raise NotFoundError(_("There is no such file."))
    return found


def attachments_for(user: User, attachment_ids: Collection[UUID]) -> list[Attachment]:
    """Returns the complete attachments of this user in the order of the ids, with their rows locked until the
    transaction ends. Raises `NotFoundError` if one of them is missing."""
    theirs = attachments_of(user).select_related("stored", "knowledge")
    locked = theirs.select_for_update(of=("self",)).in_bulk(list(attachment_ids))
    if not user.is_active or len(locked) != len(set(attachment_ids)):
        raise NotFoundError(_("A file is not on the server any more. Remove it, and attach it again."))
    return [locked[attachment_id] for attachment_id in dict.fromkeys(attachment_ids)]


def attachment_in(conversation_id: UUID, attachment_id: UUID) -> Attachment:
    """Returns the attachment in this conversation, of any owner: for reviewers, after the audit entry.
    Raises `NotFoundError`."""
    complete = Attachment.objects.filter(stored__isnull=False).select_related("stored")
    found = complete.filter(pk=attachment_id, message__conversation=conversation_id).first()
    if found is None:
        raise NotFoundError(_("There is no such file."))
    return found


def attachments_of(user: User) -> QuerySet[Attachment]:
    """Returns this user's complete attachments, unsent or in chats that are not deleted."""
    is_kept = Q(message=None) | Q(message__conversation__deleted_at=None)
    return Attachment.objects.filter(is_kept, owner=user, stored__isnull=False).select_related("stored")


def share_for(user: User | None, secret: str) -> Share:
    """Returns the share with this secret if this user may open it, or with None a visitor who is not logged
    in. A link that never existed, was revoked or has expired, and one that its owner or an administrator has
    ended in another way, get the same answer. Raises `NotFoundError`."""
    found = Share.objects.open().filter(secret=secret).select_related("conversation").first()
    allowed = ServerSettings.current().share_links
    is_public = found is not None and found.audience == allowed == Audience.ANYONE
    is_theirs = user is not None and user.is_active and allowed in Audience.values
    if found is None or not (is_public or is_theirs):
        raise NotFoundError(_("There is no such link."))
    return found


def shared_attachment(user: User | None, secret: str, attachment_id: UUID) -> Attachment:
    """Returns the attachment if this share shows it, as `share_for` does. Raises `NotFoundError`."""
    share = share_for(user, secret)
    complete = Attachment.objects.filter(stored__isnull=False).select_related("stored")
    found = complete.filter(pk=attachment_id, message__in=share.shown_messages.values("pk")).first()
    if found is None or not share.shows_files:
        raise NotFoundError(_("There is no such file."))
    return found


def model_for(user: User, model_id: int | str) -> ChatModel:
    """Returns the model of the catalog if this user may use it now. Raises `NoSuchModelError`."""
    # Without the groups in the query: it has a quarter of the cost, and few models have groups.
    model = usable_model(_integer(model_id))
    if model is None or not model.is_open_to(user):
        raise NoSuchModelError(_("This model cannot be used. Choose another one from the list."))
    return model


def model_named(user: User, name: str) -> ChatModel:
    """Returns the model with this name at its provider, or `provider/name`, if this user may use it now.
    Raises `NoSuchModelError`, also if several providers have it."""
    endpoint, _slash, rest = name.partition("/")
    named = Q(name=name) | Q(endpoint=endpoint, name=rest)
    # The groups as in `model_for`.
    rows = ChatModel.objects.usable().filter(named) if "\x00" not in name else []
    found = [model for model in rows if model.is_open_to(user)]
    if len(whole := [model for model in found if model.name == name]) == 1:
        return whole[0]
    if len(found) != 1 or whole:
        raise NoSuchModelError(_("This model cannot be used. Choose another one from the list."))
    return found[0]


def folder_for(user: User, folder_id: UUID, *, write: bool = False) -> Folder:
    """Returns the user's own folder, with `write` with its row locked until the transaction ends. Raises
    `NotFoundError`."""
    folders = Folder.objects.filter(owner=user, pk=folder_id)
    folder = (folders.select_for_update() if write else folders).first() if user.is_active else None
    if folder is None:
        raise NotFoundError(_("There is no such folder."))
    return folder


def preset_for(user: User, preset_id: UUID, *, write: bool = False) -> Preset:
    """Returns the preset if this user may use it; with `write` only the user's own one, with its row locked
    until the transaction ends. Raises `NotFoundError`."""
    presets = Preset.objects.filter(owner=user).select_for_update() if write else Preset.objects.seen_by(user)
    preset = presets.filter(pk=preset_id).first() if user.is_active else None
    if not isinstance(preset, Preset):
        raise NotFoundError(_("There is no such preset. Perhaps it is not shared with you any more."))
    return preset


def knowledge_for(user: User, knowledge_id: UUID, *, write: bool = False) -> Knowledge:
    """Returns the file of a folder or preset if this user may use it; with `write` only of the user's own
    ones. Raises `NotFoundError`."""
    of_presets = Preset.objects.filter(owner=user) if write else Preset.objects.seen_by(user)
    theirs = Q(folder__owner=user) | Q(preset__in=of_presets.values("pk"))
    files = Knowledge.objects.filter(theirs, pk=knowledge_id).select_related("attachment__stored")
    found = files.first() if user.is_active else None
    if found is None:
        raise NotFoundError(_("There is no such file."))
    return found


def knowledge_of_chat(conversation: Conversation) -> tuple[list[Knowledge], bool]:
    """Returns the files of the folder and of the preset of this chat, and whether its preset has files that
    are not shared with the owner of the chat any more."""
    preset_ids = PresetUse.objects.filter(pk=conversation.pk, version__isnull=False).values("version__preset")
    theirs = Q(folder=conversation.folder_id, folder__owner=conversation.owner_id)
    if conversation.preset_name:
        theirs |= Q(preset__in=preset_ids)
    found = list(Knowledge.objects.filter(theirs).select_related("attachment__stored"))
    seen: set[UUID | None] = {None}
    if any(each.preset_id for each in found):
        seen |= set(Preset.objects.seen_by(conversation.owner).values_list("pk", flat=True))
    allowed = [each for each in found if each.preset_id in seen]
    return allowed, len(allowed) < len(found)


def newest_versions(user: User) -> QuerySet[PresetVersion]:
    """Returns the newest version of each preset that the user may use, with the preset, by name."""
    newest = PresetVersion.objects.filter(preset__in=Preset.objects.seen_by(user), number=F("preset__number"))
    return newest.select_related("preset", "model").order_by("name", "preset_id")


def saved_prompt_for(user: User, prompt_id: UUID, *, write: bool = False) -> SavedPrompt:
    """As `preset_for`, for a saved prompt."""
    own = SavedPrompt.objects.filter(owner=user).select_for_update()
    prompts = own if write else SavedPrompt.objects.seen_by(user)
    prompt = prompts.filter(pk=prompt_id).first() if user.is_active else None
    if not isinstance(prompt, SavedPrompt):
        raise NotFoundError(_("There is no such saved prompt. Perhaps it is not shared with you any more."))
    return prompt


def _integer(value: int | str) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        return 0
    return number if 0 < number < 2**63 else 0
