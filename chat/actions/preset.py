"""Makes, changes, shares and deletes presets, and chooses one for a chat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F

from chat.access import NotFoundError, conversation_to_write, model_for, preset_for
from chat.actions.errors import InvalidInputError, LimitReachedError, TooLongError
from chat.actions.knowledge import delete_knowledge
from chat.actions.queue import lock_user
from chat.actions.sharing import Sharing, share
from chat.actions.tools import choose_tools
from chat.models import ChatModel, ChatStart, Conversation, Preset, PresetUse, PresetVersion, Tool, User
from chat.models.parameters import Parameters
from chat.models.preferences import INSTRUCTIONS_LENGTH
from chat.models.prepared import Prepared
from chat.models.preset import MOST_PROMPTS, NAME_LENGTH, PROMPT_LENGTH, VALUE_LENGTH
from chat.models.variables import filled
from chat.parts import storable
from chat.runtime import current
from chat.translatable import translatable as _

MOST = 200  # presets of one user
MOST_VERSIONS = 100  # of one preset
MOST_STARTS = 100  # choices of one user for chats that no prompt has created yet
_start = Prepared(
    lambda user, pk: ChatStart.objects.filter(owner=user, conversation_id=pk).select_related(
        "folder", "version__preset", "version__model"
    ),
    int,
    UUID,
)


@dataclass(frozen=True, slots=True)
class PresetContent:
    """What a version of a preset has. `model_id` is a model that the user may use."""

    name: str
    instructions: str = ""
    model_id: int | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    tools: Sequence[str] = ()
    prompts: Sequence[str] = ()

    @classmethod
    def of(cls, version: PresetVersion) -> PresetContent:
        return cls(
            version.name,
            version.instructions,
            version.model_id,
            version.parameters,
            tuple(version.tools),
            tuple(version.prompts),
        )


def make_preset(user: User, content: PresetContent, sharing: Sharing | None = None) -> Preset:
    """Raises `InvalidInputError`, `TooLongError`, `LimitReachedError`, and `NoSuchModelError` for a model
    that the user may not use."""
    content = _checked(user, content)
    with transaction.atomic():
        lock_user(user)
        if Preset.objects.filter(owner=user).count() >= MOST:
            raise LimitReachedError(_("You have {limit} presets. Delete one that is not used."), limit=MOST)
        preset = Preset.objects.create(owner=user, name=content.name)
        _add_version(preset, content)
        share(user, preset, sharing or Sharing())
    return preset


def change_preset(
    user: User, preset_id: UUID, content: PresetContent, sharing: Sharing | None = None
) -> Preset:
    """Adds a version if the content differs from the newest one. Chats keep the version that they have.
    Without `sharing` it stays shared as it is, also with a group that the user has left.
    Raises as `make_preset`, and `NotFoundError` for a preset of another user."""
    with transaction.atomic():
        preset = preset_for(user, preset_id, write=True)
        before = PresetContent.of(preset.newest)
        content = _checked(user, content, before=before)
        if content != before:
            _begin_version(preset, content)
        if sharing is not None:
            share(user, preset, sharing)
    return preset


def restore_version(user: User, preset_id: UUID, number: int) -> Preset:
    """Adds a version with the content of an older one. Raises `NotFoundError`."""
    with transaction.atomic():
        preset = preset_for(user, preset_id, write=True)
        older = preset.versions.filter(number=number).first()
        if older is None:
            raise NotFoundError(_("There is no such version."))
        if number != preset.number:
            _begin_version(preset, PresetContent.of(older))
    return preset


def copy_preset(user: User, preset_id: UUID) -> Preset:
    """Makes a preset of the user's own from the newest version of one that the user may use, without a model
    that the user may not use. Raises `NotFoundError`, `LimitReachedError`."""
    version = preset_for(user, preset_id).newest
    content = PresetContent.of(version)
    if not ChatModel.objects.usable_by(user).filter(pk=version.model_id or 0).exists():
        content = replace(content, model_id=None)
    return make_preset(user, content)


def store_preset(user: User, preset_id: UUID, contents: Sequence[tuple[int, PresetContent]]) -> bool:
    """Stores a preset of an export with its newest versions: numbers and contents, in order. Returns False if
    the user has a preset whose newest version has the same content. Raises as `make_preset`."""
    checked = [(number, _checked(user, content)) for number, content in contents[-MOST_VERSIONS:]]
    newest_number, newest = checked[-1]
    with transaction.atomic():
        lock_user(user)
        own = Preset.objects.filter(owner=user)
        same = PresetVersion.objects.filter(preset__in=own, number=F("preset__number"), name=newest.name)
        if any(PresetContent.of(version) == newest for version in same):
            return False
        if own.count() >= MOST:
            raise LimitReachedError(_("You have {limit} presets. Delete one that is not used."), limit=MOST)
        preset = Preset.objects.create(pk=preset_id, owner=user, name=newest.name)
        for preset.number, content in checked:
            _add_version(preset, content)
        preset.number = newest_number
        preset.save(update_fields=["number"])
    return True


def delete_preset(user: User, preset_id: UUID) -> None:
    """Deletes the preset with its versions and files. Chats go on with their copies. Raises
    `NotFoundError`."""
    with transaction.atomic():
        preset = preset_for(user, preset_id, write=True)
        delete_knowledge(preset=preset)
        preset.delete()


def choose_preset(
    user: User, conversation_id: UUID, preset_id: UUID | None, values: Mapping[str, str]
) -> None:
    """Uses the newest version of the preset in the chat from the next prompt on, or none: its instructions,
    parameters and tools, as far as the user may use them, beside the tools that are on. The page then offers
    its model. What the preset before brought is taken back: the chat has the default parameters, and its
    tools are off. For an unused id the choice is remembered until the first prompt creates the chat. `values`
    are those of its variables. Raises `NotFoundError`, `InvalidInputError`, `TooLongError`."""
    with transaction.atomic():
        conversation = conversation_to_write(user, conversation_id)
        version = preset_for(user, preset_id).newest if preset_id else None
        given = _values(version, values) if version else {}
        if conversation is None:
            remember_start(user, conversation_id, version=version, values=given)
            return
        conversation.revision += 1
        _end_use(conversation)
        if version is not None:
            # In addition to those that the user switched on, which a reply may be using.
            choose_tools(user, conversation, [*(conversation.tools or ()), *version.tools])
            _use(conversation, version, given).save()
        conversation.save()
        transaction.on_commit(lambda: current().pubsub.conversation_changed(conversation_id))


def remember_start(user: User, conversation_id: UUID, **chosen: Any) -> None:
    """Stores what a new chat of the user begins with, beside what is stored already. Deletes the oldest
    choices, so that nobody can store any number of them."""
    ChatStart.objects.update_or_create(owner=user, conversation_id=conversation_id, defaults=chosen)
    newest_first = ChatStart.objects.filter(owner=user).order_by("-pk").values_list("pk", flat=True)
    if older := list(newest_first[MOST_STARTS:]):
        ChatStart.objects.filter(pk__in=older).delete()


def start_of(user: User, conversation_id: UUID) -> ChatStart | None:
    """Returns what was chosen for a new chat of the user."""
    return _start.first(user.pk, conversation_id)


def apply_chat_start(conversation: Conversation) -> PresetUse | None:
    """Gives the new chat, which is not stored yet, what its owner chose for it. Returns what the caller
    stores after the chat."""
    start = start_of(conversation.owner, conversation.pk)
    if start is None:
        return None
    start.delete()
    conversation.folder = start.folder
    conversation.uses_instructions = start.uses_instructions
    if start.version is None:
        return None
    choose_tools(conversation.owner, conversation, start.version.tools)
    return _use(conversation, start.version, start.values)


def _use(conversation: Conversation, version: PresetVersion, values: Mapping[str, str]) -> PresetUse:
    conversation.preset_name, conversation.preset_number = version.name, version.number
    conversation.parameters = version.parameters or None
    return PresetUse(
        conversation=conversation,
        version=version,
        values=dict(values),
        instructions=filled(version.instructions, values),
        after_position=conversation.last_position,
    )


def _end_use(conversation: Conversation) -> None:
    """Takes back what the preset of the chat brought. The tools of a deleted preset are not known."""
    if not conversation.preset_name:
        return
    conversation.preset_name, conversation.preset_number = "", 0
    conversation.parameters = None
    use = PresetUse.objects.filter(conversation=conversation).select_related("version").first()
    if use is not None and use.version is not None:
        conversation.tools = [name for name in conversation.tools or () if name not in use.version.tools]
    PresetUse.objects.filter(conversation=conversation).delete()


def _begin_version(preset: Preset, content: PresetContent) -> None:
    """Adds the next version to the locked preset. Deletes the oldest versions that no chat uses, so that
    their number is limited. Raises `LimitReachedError` if chats use all of them."""
    if (surplus := preset.versions.count() - MOST_VERSIONS + 1) > 0:
        used = PresetUse.objects.filter(version__preset=preset).values("version")
        begun = ChatStart.objects.filter(version__preset=preset).values("version")
        unused = preset.versions.exclude(number=preset.number).exclude(pk__in=used).exclude(pk__in=begun)
        oldest = list(unused.order_by("number").values_list("pk", flat=True)[:surplus])
        if len(oldest) < surplus:
            raise LimitReachedError(
                _("Chats use {limit} versions of this preset. Copy it, and change the copy."),
                limit=MOST_VERSIONS,
            )
        PresetVersion.objects.filter(pk__in=oldest).delete()
    preset.number += 1
    preset.name = content.name
    preset.save(update_fields=["number", "name"])
    _add_version(preset, content)


def _add_version(preset: Preset, content: PresetContent) -> None:
    PresetVersion.objects.create(
        preset=preset,
        number=preset.number,
        name=content.name,
        instructions=content.instructions,
        model_id=content.model_id,
        parameters=dict(content.parameters),
        tools=list(content.tools),
        prompts=list(content.prompts),
    )


def _checked(user: User, content: PresetContent, before: PresetContent | None = None) -> PresetContent:
    """Returns the content as it is stored. A model or tool of the version `before` may stay."""
    name = " ".join(storable(content.name.replace("\x00", "")).split())
    if not name:
        raise InvalidInputError(_("Enter a name for the preset."))
    if len(name) > NAME_LENGTH:
        raise TooLongError(_("The name may have at most {limit} characters."), limit=NAME_LENGTH)
    instructions = _text(content.instructions)
    if len(instructions) > INSTRUCTIONS_LENGTH:
        raise TooLongError(
            _("The instructions may have at most {limit} characters."), limit=INSTRUCTIONS_LENGTH
        )
    prompts = [prompt for prompt in map(_text, content.prompts) if prompt]
    if len(prompts) > MOST_PROMPTS or any(len(prompt) > PROMPT_LENGTH for prompt in prompts):
        raise TooLongError(
            _("A preset may have {count} first prompts of at most {limit} characters."),
            count=MOST_PROMPTS,
            limit=PROMPT_LENGTH,
        )
    model_id = content.model_id
    if model_id is not None and (before is None or model_id != before.model_id):
        model_id = model_for(user, model_id).pk
    usable = set(Tool.objects.usable_by(user).values_list("name", flat=True)) if content.tools else set()
    usable |= set(before.tools) if before else set()
    tools = sorted(usable & set(content.tools))
    parameters = Parameters.of(content.parameters).as_json() or {}
    return PresetContent(name, instructions, model_id, parameters, tuple(tools), tuple(prompts))


def _values(version: PresetVersion, values: Mapping[str, str]) -> dict[str, str]:
    given = {name: _text(values.get(name, "")) for name in version.variables}
    if missing := next((name for name, value in given.items() if not value), None):
        raise InvalidInputError(_("Fill in “{name}”."), name=missing)
    if any(len(value) > VALUE_LENGTH for value in given.values()):
        raise TooLongError(_("A value may have at most {limit} characters."), limit=VALUE_LENGTH)
    return given


def _text(text: str) -> str:
    return storable(text.replace("\r\n", "\n").replace("\x00", "")).strip()
