"""Makes, changes and deletes folders, and moves chats to them."""

from __future__ import annotations

from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from chat.access import conversation_for, folder_for, preset_for
from chat.actions.errors import ConflictError, InvalidInputError, LimitReachedError, TooLongError
from chat.actions.knowledge import delete_knowledge
from chat.actions.preset import remember_start
from chat.actions.queue import lock_user
from chat.models import Conversation, Folder, Generation, Preset, User
from chat.models.folder import NAME_LENGTH
from chat.models.preferences import INSTRUCTIONS_LENGTH
from chat.parts import storable
from chat.runtime import current
from chat.translatable import translatable as _

MOST = 200  # folders of one user


def may_make_folder(user: User) -> bool:
    """Returns whether the user has fewer folders than the limit."""
    return Folder.objects.filter(owner=user).count() < MOST


def make_folder(user: User, name: str) -> Folder:
    """Raises `InvalidInputError`, `TooLongError`, `LimitReachedError`, and `ConflictError` for a name that
    the user has already."""
    with transaction.atomic():
        lock_user(user)
        if not may_make_folder(user):
            raise LimitReachedError(_("You have {limit} folders. Delete one first."), limit=MOST)
        folder = Folder(owner=user)
        folder.name = _checked_name(user, folder, name)
        folder.save(force_insert=True)
    return folder


def change_folder(
    user: User, folder_id: UUID, *, name: str, instructions: str, preset_id: UUID | None
) -> Folder:
    """Raises as `make_folder`, and `NotFoundError` for a preset that the user may not use."""
    instructions = storable(instructions.replace("\r\n", "\n").replace("\x00", "")).strip()
    if len(instructions) > INSTRUCTIONS_LENGTH:
        raise TooLongError(
            _("The instructions may have at most {limit} characters."), limit=INSTRUCTIONS_LENGTH
        )
    with transaction.atomic():
        lock_user(user)
        folder = folder_for(user, folder_id, write=True)
        folder.name = _checked_name(user, folder, name)
        folder.instructions = instructions
        if preset_id != folder.preset_id:
            folder.preset = preset_for(user, preset_id) if preset_id else None
        folder.save(update_fields=["name", "instructions", "preset"])
    return folder


def open_folder(user: User, folder_id: UUID, *, is_open: bool) -> None:
    """Opens or closes the folder in the list of chats. Raises `NotFoundError`."""
    with transaction.atomic():
        folder = folder_for(user, folder_id, write=True)
        folder.is_open = is_open
        folder.save(update_fields=["is_open"])


def delete_folder(user: User, folder_id: UUID, *, with_chats: bool) -> None:
    """Deletes the folder. Its chats stay in the list, or are deleted with it; then they can be restored as
    others can. Raises `NotFoundError`."""
    with transaction.atomic():
        folder = folder_for(user, folder_id, write=True)
        if with_chats:
            chats = Conversation.objects.kept().filter(folder=folder)
            # A prompt that is being sent holds the row of its chat: its reply is stopped too.
            list(chats.select_for_update().order_by("pk").values_list("pk"))
            live = Generation.objects.live().filter(conversation__in=chats)
            replies = list(live.values_list("pk", "conversation_id"))
            Generation.objects.filter(pk__in=[pk for pk, _chat in replies]).update(stop_requested=True)
            chats.update(deleted_at=timezone.now(), revision=F("revision") + 1)
            transaction.on_commit(lambda: _tell(replies))
        delete_knowledge(folder=folder)
        folder.delete()


def move_conversation(user: User, conversation_id: UUID, folder_id: UUID | None) -> None:
    """Moves the chat to the folder, or out of its folder. Raises `NotFoundError`."""
    with transaction.atomic():
        folder = folder_for(user, folder_id, write=True) if folder_id else None
        conversation = conversation_for(user, conversation_id, write=True)
        conversation.folder = folder
        conversation.save(update_fields=["folder"])


def begin_in_folder(user: User, folder_id: UUID) -> tuple[UUID, Preset | None]:
    """Returns the id of a new chat that will be in the folder and use its preset. A preset with variables is
    returned too: the chat uses it once they are given. A preset that is not shared with the user any more is
    not used; the page of the new chat says so. Raises `NotFoundError`."""
    with transaction.atomic():
        folder = folder_for(user, folder_id)
        preset = folder.preset if folder.preset and _may_use(user, folder.preset) else None
        version = preset.newest if preset else None
        asks = version is not None and bool(version.variables)
        conversation_id = uuid4()
        remember_start(user, conversation_id, folder=folder, version=None if asks else version)
    return conversation_id, preset if asks else None


def clean_name(name: str) -> str:
    return " ".join(storable(name.replace("\x00", "")).split())


def _checked_name(user: User, folder: Folder, name: str) -> str:
    name = clean_name(name)
    if not name:
        raise InvalidInputError(_("Enter a name for the folder."))
    if len(name) > NAME_LENGTH:
        raise TooLongError(_("The name may have at most {limit} characters."), limit=NAME_LENGTH)
    if Folder.objects.filter(owner=user, name=name).exclude(pk=folder.pk).exists():
        raise ConflictError(_("You have a folder with this name already. Choose another name."))
    return name


def _may_use(user: User, preset: Preset) -> bool:
    return Preset.objects.seen_by(user).filter(pk=preset.pk).exists()


def _tell(replies: list[tuple[UUID, UUID]]) -> None:
    """The open pages of the other deleted chats are closed by the session monitor."""
    for reply_id, conversation_id in replies:
        current().pubsub.stop_requested(reply_id)
        current().pubsub.conversation_changed(conversation_id)
