"""Folders, presets and saved prompts in exports and imports, and what a chat keeps of its preset."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from typing import Any
from uuid import UUID, uuid5

from django.db import transaction
from django.db.models import QuerySet

from chat.access import NoSuchModelError, NotFoundError, model_named, newest_versions
from chat.actions.errors import ActionError, LimitReachedError
from chat.actions.folder import change_folder, clean_name, make_folder
from chat.actions.knowledge import add_unread
from chat.actions.preset import MOST_VERSIONS, PresetContent, store_preset
from chat.actions.saved_prompt import make_saved_prompt
from chat.models import Conversation, Folder, Knowledge, Preset, PresetUse, PresetVersion, SavedPrompt, User
from chat.models.preset import NAME_LENGTH
from chat.models.variables import filled
from chat.parts import storable
from chat.transfer.chats import DOCUMENTS, EXTRAS, UsedPreset
from chat.transfer.extras import FOLDER, PRESET, PROMPT
from chat.translatable import translatable as _

_IDS = UUID("4a8f7d2e-91c3-5b64-9c0e-6f2d3b1a7e58")  # the namespace of the ids of imported presets
_MOST_VALUES = 20
_LIKELY = 50  # versions of the same name and number that are compared

FOLDERS = _("settings of folders whose name you have already")
KNOWN_DOCUMENTS = _("documents of projects whose folder you have already")
PROMPTS = _("saved prompts whose name you have already")
MODELS = _("models of presets that you cannot use here")
TOO_MANY = _("folders, presets or saved prompts above the limit")


def extras_of(user: User) -> Iterator[dict[str, Any]]:
    """Yields what `chat.transfer.extras` describes: all that is the user's own. A folder comes after its
    preset."""
    own = PresetVersion.objects.filter(preset__owner=user).select_related("model")
    for preset_id, versions in groupby(own.order_by("preset_id", "number"), lambda each: each.preset_id):
        yield {"type": PRESET, "id": str(preset_id), "versions": [_version(each) for each in versions]}
    seen = {version.preset_id: version.name for version in newest_versions(user)}
    for folder in Folder.objects.filter(owner=user):
        preset_name = seen.get(folder.preset_id, "") if folder.preset_id else ""
        instructions = folder.instructions
        yield {"type": FOLDER, "name": folder.name, "instructions": instructions, "preset": preset_name}
    prompts: QuerySet[Any] = SavedPrompt.objects.filter(owner=user)
    for prompt in prompts:
        yield {"type": PROMPT, "name": prompt.name, "text": prompt.text}


def _version(version: PresetVersion) -> dict[str, Any]:
    model = version.model
    return {
        "number": version.number,
        "name": version.name,
        "instructions": version.instructions,
        "model": f"{model.endpoint_id}/{model.name}" if model else "",
        "parameters": version.parameters,
        "tools": version.tools,
        "prompts": version.prompts,
    }


def used_preset(conversation: Conversation) -> UsedPreset | None:
    """Returns the preset of the chat as it is exported."""
    if not conversation.preset_name:
        return None
    use = PresetUse.objects.filter(pk=conversation.pk).first()
    used = UsedPreset(conversation.preset_name, conversation.preset_number)
    if use is not None:
        used.instructions, used.values = use.instructions, use.values
    return used


@dataclass(frozen=True, slots=True)
class ImportedExtra:
    """Whether an extra is new here, how many files came with it, and what was left out of it."""

    is_new: bool = False
    left_out: Collection[str] = ()
    files: int = 0


def import_extra(user: User, item: Mapping[str, Any], files: Sequence[UUID] = ()) -> ImportedExtra:
    """Stores an entry of `extras` unless it is here already. What is here is never changed. `files` are the
    attachments for a new folder; those that it does not get belong to nothing."""
    takers: dict[str, Callable[[User, Mapping[str, Any]], ImportedExtra]] = {
        FOLDER: lambda user, item: _take_folder(user, item, files),
        PRESET: _take_preset,
        PROMPT: _take_prompt,
    }
    try:
        return takers[item["type"]](user, item)
    except LimitReachedError:
        reason = TOO_MANY
    except ActionError:
        reason = EXTRAS
    return ImportedExtra(left_out=[reason, *[DOCUMENTS] * len(files)])


def folder_with_name(user: User, name: str) -> Folder:
    """Returns the user's folder with this name; makes it if it is missing. Raises as `make_folder`."""
    name = clean_name(name)
    return Folder.objects.filter(owner=user, name=name).first() or make_folder(user, name)


def use_exported_preset(user: User, conversation: Conversation, used: UsedPreset) -> PresetUse:
    """Gives the chat, which is not stored yet, the preset of an export. Returns what the caller stores after
    the chat: it has a version if the user may use a preset of this name."""
    name = conversation.preset_name = clean_name(used.name)[:NAME_LENGTH].strip() or "?"
    conversation.preset_number = used.number
    values = {storable(key): storable(value) for key, value in list(used.values.items())[:_MOST_VALUES]}
    instructions = storable(used.instructions)
    named = PresetVersion.objects.filter(preset__in=Preset.objects.seen_by(user), name=name)
    found = list(named.filter(number=used.number).select_related("preset")[:_LIKELY])
    found = found or list(named.select_related("preset")[:_LIKELY])
    found.sort(
        key=lambda it: (
            filled(it.instructions, values) == instructions,
            it.preset.owner_id == user.pk,
            it.number,
        )
    )
    version = found[-1] if found else None
    return PresetUse(conversation=conversation, version=version, values=values, instructions=instructions)


def is_here(user: User, folder: Mapping[str, Any]) -> bool:
    """Returns whether the user has a folder with the name of this one."""
    return Folder.objects.filter(owner=user, name=clean_name(folder["name"])).exists()


def _take_folder(user: User, item: Mapping[str, Any], files: Sequence[UUID]) -> ImportedExtra:
    name, instructions = clean_name(item["name"]), item["instructions"].strip()
    preset_id = _preset_named(user, clean_name(item["preset"]))
    if found := Folder.objects.filter(owner=user, name=name).first():
        is_same = (found.instructions, found.preset_id) == (instructions, preset_id)
        return ImportedExtra(left_out=[*([] if is_same else [FOLDERS]), *_documents_elsewhere(found, item)])
    folder = make_folder(user, name)
    change_folder(user, folder.pk, name=name, instructions=instructions, preset_id=preset_id)
    left_out = []
    for attachment_id in files:
        try:
            with transaction.atomic():
                add_unread(user, folder.pk, attachment_id)
        except (ActionError, NotFoundError):
            left_out.append(DOCUMENTS)
    return ImportedExtra(is_new=True, left_out=left_out, files=len(files) - len(left_out))


def _documents_elsewhere(folder: Folder, item: Mapping[str, Any]) -> list[str]:
    """Returns a word for each document of the project that is not a file of this folder."""
    texts = [document["text"].encode("utf-8", "replace") for document in item.get("documents", ())]
    theirs = Knowledge.objects.filter(folder=folder).values_list("attachment__stored__sha256", flat=True)
    known = set(theirs)
    return [KNOWN_DOCUMENTS for text in texts if sha256(text).hexdigest() not in known]


def _preset_named(user: User, name: str) -> UUID | None:
    found = list(newest_versions(user).filter(preset__name=name)[:_LIKELY]) if name else []
    found.sort(key=lambda version: version.preset.owner_id != user.pk)
    return found[0].preset_id if found else None


def _take_preset(user: User, item: Mapping[str, Any]) -> ImportedExtra:
    newest = item["versions"][-1]
    place = uuid5(_IDS, f"{user.pk} {item['id']}".encode("utf-8", "replace").hex())
    own = Preset.objects.filter(owner=user)
    if own.filter(pk__in=[place, *_as_uuid(item["id"])]).exists():
        return ImportedExtra()
    contents: list[tuple[int, PresetContent]] = []
    left_out: set[str] = set()
    models: dict[str, int | None] = {"": None}
    for version in item["versions"][-MOST_VERSIONS:]:  # a hostile file may have any number
        if (name := version["model"]) not in models:
            models[name] = _model_named(user, name)
        if models[name] is None and name and version is newest:
            left_out.add(MODELS)
        parameters, tools, prompts = version["parameters"], version["tools"], version["prompts"]
        words = version["name"], version["instructions"]
        contents.append((version["number"], PresetContent(*words, models[name], parameters, tools, prompts)))
    return ImportedExtra(store_preset(user, place, contents), left_out)


def _model_named(user: User, name: str) -> int | None:
    try:
        return model_named(user, name).pk
    except NoSuchModelError:
        return None


def _take_prompt(user: User, item: Mapping[str, Any]) -> ImportedExtra:
    name, text = item["name"].strip().removeprefix("/"), storable(item["text"]).strip()
    named: QuerySet[Any] = SavedPrompt.objects.filter(owner=user, name__iexact=storable(name))
    if found := named.first():
        return ImportedExtra(left_out=() if found.text == text else [PROMPTS])
    make_saved_prompt(user, name, text)
    return ImportedExtra(is_new=True)


def _as_uuid(text: str) -> list[UUID]:
    try:
        return [UUID(text)]
    except ValueError:
        return []
