"""Files by the API, and what else a person does with chats: export, import, comparison, instructions."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from chat.actions.api_token import make_token
from chat.actions.preset import PresetContent, make_preset
from chat.actions.send import send_message
from chat.actions.sharing import Sharing
from chat.files import store
from chat.models import (
    Attachment,
    ChatModel,
    Endpoint,
    Generation,
    Preferences,
    Scope,
    ServerSettings,
    Status,
    User,
)

pytestmark = pytest.mark.django_db(transaction=True)


class Caller:
    """A client with a token of one user."""

    def __init__(self, user: User) -> None:
        secret = make_token(user, name="x", scopes=[Scope.CHAT])[1]
        self.client = Client(headers={"authorization": f"Bearer {secret}"})

    def call(self, method: str, address: str, status: int, body: object = None) -> Any:
        """Sends bytes as they are, everything else as JSON. Returns the JSON or the bytes of the response."""
        is_raw = isinstance(body, bytes)
        kind = "application/octet-stream" if is_raw else "application/json"
        data = body if is_raw else json.dumps({} if body is None else body)
        answer = self.client.generic(method, f"/api/v1{address}", data, content_type=kind)
        assert answer.status_code == status, answer.content
        if answer.streaming:
            return b"".join(answer)
        return answer.json() if answer.content else None


@pytest.fixture
def caller(person: User) -> Caller:
    return Caller(person)


@pytest.fixture
def model(db: None) -> ChatModel:
    provider = Endpoint.objects.create(slug="demo", name="Demo")
    return ChatModel.objects.create(endpoint=provider, name="demo")


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume asynchronous iterators")
def test_a_file_is_uploaded_described_sent_edited_and_downloaded(
    caller: Caller, person: User, model: ChatModel, make_user: Callable[..., User]
) -> None:
    file = caller.call("POST", "/files?name=notes.txt", 201, b"The moon pulls.")
    assert (file["name"], file["size"], file["media_type"]) == ("notes.txt", 15, "text/plain")
    assert caller.call("GET", f"/files/{file['id']}", 200) == file
    assert caller.call("GET", f"/files/{file['id']}/content", 200) == b"The moon pulls."
    sent = caller.call(
        "POST", "/prompts", 201, {"text": "", "models": [model.pk], "attachments": [file["id"]]}
    )
    Generation.objects.update(status=Status.COMPLETE)
    prompt = caller.call("GET", f"/messages/{sent['prompt']}", 200)
    assert [(part["type"], part["id"]) for part in prompt["parts"]] == [("file", file["id"])]
    assert caller.call("GET", "/files?sent=true", 200)["items"][0]["message"] == sent["prompt"]
    assert caller.call("GET", "/files?sent=false", 200)["items"] == []
    caller.call("DELETE", f"/files/{file['id']}", 404)
    # An edited prompt keeps its files, and gets more.
    more = caller.call("POST", "/files?name=more.txt", 201, b"Ebb and flow.")
    edited = {
        "text": "And these?",
        "models": [model.pk],
        "edits": sent["prompt"],
        "attachments": [more["id"]],
    }
    edit = caller.call("POST", "/prompts", 201, edited)
    parts = caller.call("GET", f"/messages/{edit['prompt']}", 200)["parts"]
    assert [part.get("name") for part in parts] == [None, "notes.txt", "more.txt"]
    # It goes without those that are removed.
    Generation.objects.update(status=Status.COMPLETE)
    removed = {
        "text": "",
        "models": [model.pk],
        "edits": edit["prompt"],
        "removed_attachments": [parts[1]["id"]],
    }
    edit = caller.call("POST", "/prompts", 201, removed)
    parts = caller.call("GET", f"/messages/{edit['prompt']}", 200)["parts"]
    assert [part.get("name") for part in parts] == ["more.txt"]
    other = caller.call("POST", "/files?name=other.txt", 201, b"Unsent")
    caller.call("DELETE", f"/files/{other['id']}", 204)
    stranger = Caller(make_user("stranger@example.org"))
    for method in ("GET", "DELETE"):
        stranger.call(method, f"/files/{file['id']}", 404)
    body = {"text": "Mine", "models": [model.pk], "attachments": [file["id"]]}
    stranger.call("POST", "/prompts", 404, body)
    assert stranger.call("GET", "/files", 200)["items"] == []


def test_a_file_arrives_in_pieces_and_the_limits_of_the_page_hold(caller: Caller) -> None:
    at = f"/files/{uuid.uuid4()}?name=a.txt&size=11"
    for _ in range(2):
        assert caller.call("PATCH", f"{at}&offset=0", 200, b"Hello ") == {"received": 6, "file": None}
    done = caller.call("PATCH", f"{at}&offset=6", 200, b"world")
    assert (done["received"], done["file"]["size"]) == (11, 11)
    assert caller.call("PATCH", f"{at}&offset=12", 400, b"")["code"] == "invalid_input"
    assert caller.call("PATCH", f"{at}&offset=0", 413, b"x" * (1024 * 1024 + 1))["code"] == "too_long"
    assert caller.call("POST", "/files?name=a.txt", 400, b"")["code"] == "invalid_input"
    ServerSettings.objects.update_or_create(defaults={"file_mb": 1, "person_files_mb": 1})
    assert caller.call("POST", "/files?name=a", 413, b"x" * (1024 * 1024 + 1))["code"] == "too_long"
    assert caller.call("POST", "/files?name=a", 429, b"x" * (1024 * 1024))["code"] == "limit_reached"
    assert Attachment.objects.count() == 1


def test_no_write_waits_while_a_file_is_deleted_from_the_storage(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = caller.call("POST", "/files?name=notes.txt", 201, b"Rain falls.")
    used: list[str] = []
    monkeypatch.setattr(store, "delete", lambda names: used.append(threading.current_thread().name))
    caller.call("DELETE", f"/files/{file['id']}", 204)
    assert used and not any(name.startswith(("writer", "unit")) for name in used)


def test_files_are_listed_page_by_page(caller: Caller) -> None:
    names = [f"{number}.txt" for number in range(3)]
    for name in names:
        caller.call("POST", f"/files?name={name}", 201, name.encode())
    first = caller.call("GET", "/files?limit=2", 200)
    second = caller.call("GET", f"/files?limit=2&cursor={first['next']}", 200)
    assert [it["name"] for it in first["items"] + second["items"]] == names[::-1]
    assert second["next"] is None


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume asynchronous iterators")
def test_chats_are_exported_deleted_listed_and_imported(
    caller: Caller, person: User, model: ChatModel
) -> None:
    sent = caller.call("POST", "/prompts", 201, {"text": "Tides?", "models": [model.pk]})
    Generation.objects.update(status=Status.COMPLETE)
    chat = sent["conversation"]
    whole = caller.call("GET", f"/conversations/{chat}/export", 200)
    assert json.loads(whole)["chats"][0]["title"] == "Tides?"
    assert caller.call("GET", f"/conversations/{chat}/export?format=markdown", 200).startswith(b"# Tides?")
    caller.call("GET", f"/conversations/{chat}/export?format=pdf", 400)
    assert json.loads(caller.call("POST", "/exports", 200, {"conversations": [chat]}))["chats"]
    caller.call("POST", "/exports", 400, {"format": "pdf"})
    caller.call("DELETE", f"/conversations/{chat}", 204)
    (deleted,) = caller.call("GET", "/deleted-conversations", 200)["items"]
    assert (deleted["id"], deleted["title"]) == (chat, "Tides?") and deleted["deleted_at"]
    started = caller.call("POST", "/imports?name=steady.json", 201, whole)
    assert started["state"] == "reading"
    caller.call("POST", "/imports?name=steady.json", 409, whole)
    caller.call("POST", f"/imports/{started['id']}/agreement", 409)
    assert caller.call("GET", f"/imports/{started['id']}", 200) == started
    caller.call("DELETE", f"/imports/{started['id']}", 204)
    assert caller.call("GET", "/imports", 200)["items"] == []


def test_replies_are_compared_and_one_is_kept(caller: Caller, person: User, model: ChatModel) -> None:
    other = ChatModel.objects.create(endpoint=model.endpoint, name="other")
    sent = send_message(person, uuid.uuid4(), client_id=uuid.uuid4(), text="Why?", model_ids=[model.pk])
    Generation.objects.update(status=Status.COMPLETE)
    first = sent.message.children.get()
    second = caller.call("POST", f"/replies/{first.pk}/comparisons", 201, {"model": other.pk})["replies"][0]
    caller.call("POST", f"/replies/{first.pk}/comparisons", 409, {"model": other.pk})
    Generation.objects.update(status=Status.COMPLETE)
    kept = caller.call("PUT", f"/replies/{second}/kept", 200)
    assert kept["shown"] and kept["feedback"]["good"]
    assert not caller.call("GET", f"/messages/{first.pk}", 200)["shown"]


def test_instructions_and_favourites_are_those_of_the_page(
    caller: Caller, person: User, model: ChatModel
) -> None:
    assert caller.call("GET", "/instructions", 200) == {"text": ""}
    assert caller.call("PUT", "/instructions", 200, {"text": " Be brief. "}) == {"text": "Be brief."}
    caller.call("PUT", "/instructions", 400, {"text": "x" * 8_001})
    caller.call("PUT", f"/models/{model.pk}/favourite", 204)
    preferences = Preferences.of(person)
    assert (preferences.instructions, [*preferences.favourites.all()]) == ("Be brief.", [model])
    caller.call("DELETE", f"/models/{model.pk}/favourite", 204)
    assert not preferences.favourites.exists()
    caller.call("PUT", "/models/999999/favourite", 404)


def test_chats_are_put_in_folders_begin_with_presets_and_are_shared(
    caller: Caller, person: User, model: ChatModel, client: Client
) -> None:
    folder = caller.call("POST", "/folders", 201, {"name": "Physics"})
    preset = {"name": "Tides", "instructions": "Speak of {{place}}.", "prompts": ["When?"]}
    preset = caller.call("POST", "/presets", 201, preset)
    assert (preset["own"], preset["version"], preset["variables"]) == (True, 1, ["place"])
    changed = caller.call("PATCH", f"/folders/{folder['id']}", 200, {"preset": preset["id"]})
    assert changed == {**folder, "preset": preset["id"]}
    assert caller.call("PATCH", f"/folders/{folder['id']}", 200, {"preset": None}) == folder
    chat = uuid.uuid4()
    caller.call("PUT", f"/conversations/{chat}/preset", 400, {"preset": preset["id"]})
    values = {"preset": preset["id"], "values": {"place": "Brest"}}
    caller.call("PUT", f"/conversations/{chat}/preset", 204, values)
    sent = caller.call(
        "POST", "/prompts", 201, {"text": "Hi", "models": [model.pk], "conversation": str(chat)}
    )
    caller.call("PUT", f"/conversations/{chat}/folder", 204, {"folder": folder["id"]})
    found = caller.call("GET", f"/conversations/{chat}", 200)
    assert (found["folder"], found["preset"]) == (folder["id"], "Tides")
    assert caller.call("POST", f"/conversations/{chat}/shares", 409, {"audience": "team"})
    Generation.objects.update(status=Status.COMPLETE)
    body = {"audience": "team", "last": sent["prompt"]}
    share = caller.call("POST", f"/conversations/{chat}/shares", 201, body)
    assert caller.call("GET", "/shares", 200)["items"] == [share]
    client.force_login(person)
    assert b"Hi" in client.get(share["path"]).content
    caller.call("DELETE", f"/shares/{share['id']}", 204)
    assert client.get(share["path"]).status_code == 404
    newer = caller.call("PUT", f"/presets/{preset['id']}", 200, {"name": "Ebb"})
    assert (newer["version"], newer["name"]) == (2, "Ebb")
    caller.call("DELETE", f"/presets/{preset['id']}", 204)
    caller.call("DELETE", f"/folders/{folder['id']}?with_chats=true", 204)
    caller.call("GET", f"/conversations/{chat}", 404)


def test_a_shared_preset_does_not_name_a_model_that_is_not_open(
    caller: Caller, person: User, model: ChatModel, make_user: Callable[..., User]
) -> None:
    teammate, group = make_user("teammate@example.org"), Group.objects.create(name="Editors")
    person.groups.add(group)
    teammate.groups.add(group)
    make_preset(teammate, PresetContent("Poet", model_id=model.pk), Sharing("groups", [group.pk]))
    for is_open, named in ((True, model.pk), (False, None)):
        ChatModel.objects.update(for_everyone=is_open)
        (found,) = caller.call("GET", "/presets", 200)["items"]
        assert (found["name"], found["own"], found["model"]) == ("Poet", False, named)
