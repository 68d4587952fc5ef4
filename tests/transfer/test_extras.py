"""Folders, presets and saved prompts are part of an export of all chats, and are imported once."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from chat.actions import extras, import_chat, import_summary, import_task
from chat.actions.chat_export import export_many
from chat.actions.extras import FOLDERS, MODELS, PROMPTS, TOO_MANY
from chat.actions.folder import change_folder, make_folder, move_conversation
from chat.actions.preset import PresetContent, change_preset, choose_preset, delete_preset, make_preset
from chat.actions.saved_prompt import make_saved_prompt
from chat.actions.sharing import Sharing
from chat.models import (
    ChatImport,
    ChatModel,
    Conversation,
    Endpoint,
    Folder,
    Message,
    Preset,
    PresetUse,
    SavedPrompt,
    User,
)
from chat.transfer import reader
from chat.transfer.chats import EXTRAS, PRESETS
from chat.transfer.extras import DOCUMENT

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def owner(make_user: Callable[..., User]) -> User:
    return make_user("owner@example.org")


@pytest.fixture
def other(make_user: Callable[..., User]) -> User:
    return make_user("other@example.org")


def fill(user: User) -> Conversation:
    """A chat in a folder with a preset in its second version, and a saved prompt."""
    model = ChatModel.objects.create(name="demo", endpoint=Endpoint.objects.create(slug="demo", name="Demo"))
    content = PresetContent("Translator", "To {{language}}.", model.pk, {"temperature": 0.5}, (), ("Hello",))
    preset = make_preset(user, content)
    change_preset(user, preset.pk, PresetContent("Translator", "Into {{language}}.", model.pk), Sharing())
    folder = make_folder(user, "Work")
    change_folder(user, folder.pk, name="Work", instructions="Be brief.", preset_id=preset.pk)
    make_saved_prompt(user, "sum", "Sum up {{text}}.")
    chat = Conversation.objects.create(owner=user, title="Trip", revision=1, last_position=1)
    message = Message.objects.create(
        conversation=chat,
        position=1,
        role="user",
        shown=True,
        text="Hi",
        parts=[{"type": "text", "text": "Hi"}],
        added_revision=1,
        revision=1,
    )
    Conversation.objects.filter(pk=chat.pk).update(head=message)
    move_conversation(user, chat.pk, folder.pk)
    choose_preset(user, chat.pk, preset.pk, {"language": "German"})
    chat.refresh_from_db()
    return chat


def exported(user: User, ids: Any = None) -> bytes:
    pieces = export_many(user, ids, "json")[1]

    async def joined() -> bytes:
        return b"".join([piece async for piece in pieces])

    return asyncio.run(joined())


def whole(**more: Any) -> bytes:
    return json.dumps({"format": "steady-chats", "version": 1, "minor": 1, **more}).encode()


def take(user: User, data: bytes, tmp_path: Path) -> ChatImport:
    """Imports the file as the task does."""
    path, out = tmp_path / "file", io.BytesIO()
    path.write_bytes(data)
    reader.write(path, out)
    job = ChatImport.objects.create(owner=user, format="steady", state="running")
    assert import_task.claim_import() == job
    for number, line in enumerate(json.loads(line) for line in out.getvalue().splitlines()):
        if "chat" in line:
            chat = reader.steady.load(line["chat"])
            imported = import_chat.begin_chat(job, number, chat, line["left_out"])
            if imported:
                head = import_chat.head_of(chat, imported)
                import_chat.add_messages(job, imported)
                import_chat.show_chat(job, number, imported, head)
        elif "extra" in line:
            import_task.add_extra(job, number, line["extra"])
        elif "left_out" in line:
            import_task.leave_out(job, number, line["left_out"])
        assert "error" not in line, line
    import_task.end_import(job.pk)
    job.refresh_from_db()
    return job


def counts(user: User) -> tuple[int, ...]:
    models: tuple[Any, ...] = (Conversation, Folder, Preset, SavedPrompt)
    return tuple(model.objects.filter(owner=user).count() for model in models)


def test_a_user_exports_and_imports_everything(owner: User, other: User, tmp_path: Path) -> None:
    chat = fill(owner)
    data = exported(owner)
    assert list(json.loads(data))[:3] == ["format", "version", "minor"]
    job = take(other, data, tmp_path)
    assert (job.taken, job.extras, job.left_out) == (1, {"folder": 1, "preset": 1, "prompt": 1}, {})
    mine = Conversation.objects.get(owner=other)
    assert (mine.preset_name, mine.preset_number, mine.parameters) == (
        chat.preset_name,
        chat.preset_number,
        chat.parameters,
    )
    assert mine.preset_number == 2
    folder = Folder.objects.get(owner=other)
    preset = Preset.objects.get(owner=other)
    assert (mine.folder, folder.name, folder.instructions) == (folder, "Work", "Be brief.")
    assert folder.preset == preset
    versions = {it.number: PresetContent.of(it) for it in preset.versions.all()}
    theirs = Preset.objects.get(owner=owner).versions.all()
    assert versions == {it.number: PresetContent.of(it) for it in theirs} and len(versions) == 2
    use = PresetUse.objects.select_related("version").get(pk=mine.pk)
    assert use.version and (use.version.preset, use.version.number) == (preset, 2)
    assert (use.instructions, use.values) == ("Into German.", {"language": "German"})
    assert SavedPrompt.objects.get(owner=other).text == "Sum up {{text}}."

    again = take(other, data, tmp_path)
    assert (again.taken, again.known, again.extras, again.left_out) == (0, 1, {}, {})
    at_home = take(owner, data, tmp_path)
    assert (at_home.taken, at_home.extras, at_home.left_out) == (0, {}, {})
    back = take(owner, exported(other), tmp_path)
    assert (back.extras, back.left_out) == ({}, {}), "what came back from another server is here already"
    assert counts(other) == (1, 1, 1, 1)


def test_one_chat_keeps_the_name_of_a_missing_preset(owner: User, other: User, tmp_path: Path) -> None:
    chat = fill(owner)
    data = exported(owner, [chat.pk])
    assert "extras" not in json.loads(data), "only all chats take everything along"
    job = take(other, data, tmp_path)
    assert job.left_out == {PRESETS: 1}
    mine = Conversation.objects.get(owner=other)
    assert (mine.preset_name, mine.preset_number) == ("Translator", 2)
    use = PresetUse.objects.get(pk=mine.pk)
    assert (use.version, use.instructions) == (None, "Into German.")
    assert (mine.folder and mine.folder.name, mine.folder and mine.folder.instructions) == ("Work", "")


def test_a_chat_is_linked_to_a_visible_preset_of_the_same_name(
    owner: User, other: User, tmp_path: Path
) -> None:
    chat = fill(owner)
    data = exported(owner, [chat.pk])
    delete_preset(owner, Preset.objects.get().pk)
    shared = make_preset(owner, PresetContent("Translator", "Other."))
    assert take(other, data, tmp_path).left_out == {PRESETS: 1}, "it is not shared"
    Conversation.objects.filter(owner=other).delete()
    Preset.objects.update(visibility="all")
    assert take(other, data, tmp_path).left_out == {}
    use = PresetUse.objects.select_related("version").get(conversation__owner=other)
    assert use.version and use.version.preset == shared
    assert use.instructions == "Into German.", "the chat goes on as before"
    own = make_preset(other, PresetContent("Translator", "Mine."))
    Conversation.objects.filter(owner=other).delete()
    take(other, data, tmp_path)
    use = PresetUse.objects.select_related("version").get(conversation__owner=other)
    assert use.version and use.version.preset == own, "one's own first"


def test_existing_objects_are_not_changed(owner: User, tmp_path: Path) -> None:
    make_folder(owner, "Work")
    make_saved_prompt(owner, "sum", "Mine.")
    version = {"number": 1, "name": "P", "instructions": "x", "model": "openai/none", "parameters": {}}
    data = whole(
        extras=[
            {"type": "preset", "id": "p", "versions": [version]},
            {"type": "preset", "id": "q", "versions": []},
            {"type": "preset", "id": "r", "versions": [{**version, "name": "x" * 101}]},
            {"type": "folder", "name": "Work", "instructions": "Theirs.", "preset": "P"},
            {"type": "prompt", "name": "Sum", "text": "Theirs."},
            {"type": "prompt", "name": "no name", "text": "x"},
            {"type": "theme", "name": "dark"},
            7,
        ],
        chats=[],
    )
    for new in ({"preset": 1}, {}):
        job = take(owner, data, tmp_path)
        assert job.extras == new
        assert job.left_out == {FOLDERS: 1, PROMPTS: 1, EXTRAS: 5} | ({MODELS: 1} if new else {})
    assert Folder.objects.get().instructions == "" and SavedPrompt.objects.get().text == "Mine."
    assert Preset.objects.get().newest.model is None


def test_too_many_objects_are_reported(owner: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.actions.folder.MOST", 1)
    node = {"id": "a", "parent": None, "role": "user", "parts": [{"type": "text", "text": "x"}]}
    chats = [{"id": str(uuid4()), "folder": name, "messages": [node]} for name in ("A", "B", "\x00 ")]
    job = take(owner, whole(chats=chats, extras=[{"type": "folder", "name": "C"}]), tmp_path)
    assert job.taken == 3 and job.left_out[TOO_MANY] == 2
    assert [folder.name for folder in Folder.objects.all()] == ["C"]


def test_a_file_of_the_first_minor_version_still_imports(owner: User, tmp_path: Path) -> None:
    node = {"id": "a", "parent": None, "role": "user", "parts": [{"type": "text", "text": "x"}]}
    old = {"format": "steady-chats", "version": 1, "chats": [{"id": "c", "tags": ["a"], "messages": [node]}]}
    job = take(owner, json.dumps(old).encode(), tmp_path)
    chat = Conversation.objects.get()
    assert (job.taken, chat.folder, chat.preset_name, chat.uses_instructions) == (1, None, "", True)


def test_only_own_objects_are_exported(owner: User, other: User) -> None:
    fill(owner)
    Preset.objects.update(visibility="all")
    SavedPrompt.objects.update(visibility="all")
    assert json.loads(exported(other))["extras"] == []


def test_the_page_says_what_else_is_in_the_file(owner: User, client: Client) -> None:
    client.force_login(owner)
    job = ChatImport.objects.create(
        owner=owner, name="x.json", state="ready", format="steady", extras={"folder": 2, "prompt": 3}
    )
    html = client.get(reverse("transfer")).content.decode()
    assert "Also in the file" in html and re.search(r"Folders: 2,\s*</span>\s*<span>Saved prompts: 3", html)
    assert ">Import<" in re.sub(r"\s+", "", html)
    job.state, job.extras = "done", {"folder": 1}
    job.save()
    assert "Also new:" in client.get(reverse("transfer")).content.decode()


def test_the_dry_run_counts_chats_whose_preset_is_missing(owner: User) -> None:
    make_preset(owner, PresetContent("Here", "x"))
    job = ChatImport.objects.create(owner=owner, format="steady")
    found = import_summary.FileSummary(presets=Counter({"Here": 2, "In the file": 3, "Missing": 4}))
    found.own_presets = {"In the file"}
    assert import_summary.count_presets(job, found) == 4


def test_names_of_extras_have_words() -> None:
    from chat.views.transfer import EXTRAS as WORDS

    assert set(WORDS) == {extras.FOLDER, extras.PRESET, extras.PROMPT, DOCUMENT}
