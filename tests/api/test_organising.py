"""Programs order chats as the page does: tags, many chats at once, saved prompts, sharing, usage by month."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from chat.actions import knowledge
from chat.actions.api_token import make_token
from chat.actions.folder import make_folder
from chat.actions.send import send_message
from chat.api.json_api import api
from chat.models import ChatModel, Endpoint, Generation, Scope, Share, Status, User
from chat.urls import urlpatterns

pytestmark = pytest.mark.django_db(transaction=True)


class Program:
    def __init__(self, user: User) -> None:
        self.user = user
        secret = make_token(user, name="x", scopes=[Scope.CHAT])[1]
        self._client = Client(headers={"authorization": f"Bearer {secret}"})

    def call(self, method: str, path: str, body: object = None, status: int = 200) -> Any:
        sent = "" if body is None else json.dumps(body)
        answer = self._client.generic(method, f"/api/v1{path}", sent, content_type="application/json")
        assert answer.status_code == status, answer.content
        return answer.json() if answer.content else None

    def send_bytes(self, path: str, data: bytes) -> Any:
        answer = self._client.generic("POST", f"/api/v1{path}", data, content_type="application/octet-stream")
        assert answer.status_code == 201, answer.content
        return answer.json()

    def read(self, path: str) -> bytes:
        answer = self._client.get(f"/api/v1{path}")
        assert answer.status_code == 200, answer.content
        return b"".join(answer)

    def titles(self, query: str = "") -> list[str]:
        return [chat["title"] for chat in self.call("GET", f"/conversations{query}")["items"]]

    def asks(self, text: str) -> str:
        sent = send_message(self.user, uuid.uuid4(), client_id=uuid.uuid4(), text=text, model_ids=[1])
        Generation.objects.update(status=Status.COMPLETE)
        return str(sent.message.conversation_id)


@pytest.fixture(autouse=True)
def model(db: None) -> ChatModel:
    return ChatModel.objects.create(
        pk=1, endpoint=Endpoint.objects.create(slug="demo", name="Demo"), name="d"
    )


@pytest.fixture
def program(person: User) -> Program:
    return Program(person)


@pytest.fixture
def other(make_user: Callable[..., User]) -> Program:
    return Program(make_user("other@example.org"))


def test_chats_are_tagged_filtered_and_changed_together(program: Program, other: Program) -> None:
    chats = [program.asks(text) for text in ("One", "Two", "Three")]
    foreign = other.asks("Foreign")
    tags = f"/conversations/{chats[0]}/tags"
    assert program.call("PUT", tags, {"items": ["Physik", "physik", "Sea "]})["items"] == ["physik", "Sea"]
    assert program.call("PUT", tags, {"items": ["Sea"]}) == program.call("GET", tags) == {"items": ["Sea"]}
    program.call("PUT", tags, {"items": [f"t{number}" for number in range(21)]}, 413)
    program.call("PUT", tags, {"items": [" "]}, 400)
    assert program.call("GET", tags)["items"] == ["Sea"]

    def change(action: str, ids: list[str], status: int = 200, **more: object) -> Any:
        body = {"conversations": ids, "action": action, **more}
        return program.call("POST", "/conversations/changes", body, status)

    assert change("tag", [*chats[1:], foreign], tag="tide") == {"changed": 2}
    assert program.call("GET", "/tags")["items"] == ["tide", "Sea"]
    assert program.titles("?tag=TIDE") == ["Three", "Two"] and program.titles("?tag=x%00y") == []
    assert change("untag", chats, tag="tide")["changed"] == 3 and program.titles("?tag=tide") == []
    folder = str(make_folder(program.user, "Physics").pk)
    assert change("move", chats[:2], folder=folder)["changed"] == 2
    assert program.titles(f"?folder={folder}") == ["Two", "One"]
    change("move", chats[:1], 404, folder=str(make_folder(other.user, "Theirs").pk))
    assert change("archive", chats[:1])["changed"] == 1 and program.titles("?archived=true") == ["One"]
    assert change("unarchive", chats[:1])["changed"] == 1
    assert change("delete", [*chats, foreign])["changed"] == 3
    assert (program.titles(), other.titles()) == ([], ["Foreign"])
    assert change("restore", [*chats, chats[0]])["changed"] == 3
    assert sorted(program.titles()) == ["One", "Three", "Two"]
    change("delete", [foreign], 404)
    change("tag", chats, 400)


def test_saved_prompts_and_presets_are_shared_with_ones_own_groups(program: Program, other: Program) -> None:
    group, foreign = (Group.objects.create(name=name) for name in ("Physics", "Board"))
    program.user.groups.add(group)
    other.user.groups.add(group, foreign)
    shared = {"visibility": "groups", "groups": ["Physics"]}
    prompt = {"name": "translate", "text": "To {{language}}:"}
    made = program.call("POST", "/saved-prompts", prompt, 201)
    assert (made["variables"], made["shared"]) == (["language"], {"visibility": "own", "groups": []})
    program.call("POST", "/saved-prompts", prompt, 409)
    assert other.call("GET", "/saved-prompts")["items"] == []
    for groups in (["Board"], ["None"], ["\x00"]):
        wish = {**shared, "groups": groups}
        program.call("PUT", f"/saved-prompts/{made['id']}", {**prompt, "shared": wish}, 400)
    program.call("PUT", f"/saved-prompts/{made['id']}", {**prompt, "shared": shared})
    changed = program.call("PUT", f"/saved-prompts/{made['id']}", {**prompt, "text": "Hi"})
    assert (changed["text"], changed["shared"]) == ("Hi", shared)
    (seen,) = other.call("GET", "/saved-prompts")["items"]
    assert (seen["own"], seen["text"], seen["shared"]) == (False, "Hi", None)
    other.call("PUT", f"/saved-prompts/{made['id']}", prompt, 404)
    other.call("DELETE", f"/saved-prompts/{made['id']}", status=404)
    program.call("DELETE", f"/saved-prompts/{made['id']}", status=204)

    preset = program.call(
        "POST", "/presets", {"name": "Tutor", "instructions": "Ask.", "shared": shared}, 201
    )
    program.call("PUT", f"/presets/{preset['id']}", {"name": "Tutor", "instructions": "Explain."})
    (seen,) = other.call("GET", "/presets")["items"]
    assert (seen["instructions"], seen["shared"]) == ("Explain.", None)
    copy = other.call("POST", f"/presets/{preset['id']}/copies", status=201)
    assert copy["own"] and copy["shared"]["visibility"] == "own"
    other.call("POST", f"/presets/{preset['id']}/versions", {"version": 1}, 404)
    restored = program.call("POST", f"/presets/{preset['id']}/versions", {"version": 1}, 201)
    assert (restored["version"], restored["instructions"]) == (3, "Ask.")


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume asynchronous iterators")
def test_files_are_added_to_folders_and_presets_read_and_removed(program: Program, other: Program) -> None:
    def upload(text: str, by: Program = program) -> str:
        return str(by.send_bytes("/files?name=lease.txt", text.encode())["id"])

    folder = str(make_folder(program.user, "Contracts").pk)
    preset = program.call("POST", "/presets", {"name": "Tutor"}, 201)["id"]
    lease = upload("The notice period is four months.")
    for holder in (f"/folders/{folder}/files", f"/presets/{preset}/files"):
        assert program.call("GET", holder) == {"items": []}
        added = program.call("POST", holder, {"file": lease}, 201)
        assert (added["name"], added["state"], added["size"], added["note"]) == ("lease.txt", "ready", 33, "")
        assert added["tokens"] > 5 and program.call("GET", holder)["items"] == [added]
        one = f"/knowledge/{added['id']}"
        assert program.call("GET", one) == added
        assert program.read(f"{one}/content") == b"The notice period is four months."
        program.call("POST", holder, {"file": upload("The notice period is four months.")}, 409)
        for body in ({}, {"file": "x"}, {"file": lease, "more": 1}):
            program.call("POST", holder, body, 400)
        theirs = upload("Theirs", other)
        program.call("POST", holder, {"file": theirs}, 404)
        for method, path in (("GET", holder), ("GET", one), ("GET", f"{one}/content"), ("DELETE", one)):
            other.call(method, path, status=404)
        other.call("POST", holder, {"file": theirs}, 404)
    (file,) = program.call("GET", f"/folders/{folder}/files")["items"]
    assert program.call("POST", f"/folders/{folder}/files", {"file": lease}, 201) == file
    program.call("DELETE", f"/knowledge/{file['id']}", status=204)
    program.call("DELETE", f"/knowledge/{file['id']}", status=404)
    assert program.call("GET", f"/folders/{folder}/files")["items"] == []
    group = Group.objects.create(name="Physics")
    group.user_set.add(program.user, other.user)
    shared = {"name": "Tutor", "shared": {"visibility": "groups", "groups": ["Physics"]}}
    program.call("PUT", f"/presets/{preset}", shared)
    (file,) = other.call("GET", f"/presets/{preset}/files")["items"]
    assert other.read(f"/knowledge/{file['id']}/content") == b"The notice period is four months."
    other.call("DELETE", f"/knowledge/{file['id']}", status=404)
    other.call("POST", f"/presets/{preset}/files", {"file": upload("Mine", other)}, 404)
    program.call("DELETE", f"/knowledge/{file['id']}", status=204)
    program.call("DELETE", f"/presets/{preset}", status=204)


def test_a_folder_of_a_program_has_a_limit_of_files(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(knowledge, "MOST", 1)
    files = f"/folders/{make_folder(program.user, 'Contracts').pk}/files"
    for text, status in (("One", 201), ("Two", 429)):
        file = program.send_bytes("/files?name=a.txt", text.encode())["id"]
        answer = program.call("POST", files, {"file": file}, status)
    assert answer["code"] == "limit_reached"


def test_what_a_link_shows_is_continued_as_ones_own_chat(program: Program, other: Program) -> None:
    chat = program.asks("Tides")
    made = program.call("POST", f"/conversations/{chat}/shares", {"audience": "team"}, 201)
    copy = other.call("POST", "/shares/copies", {"path": made["path"]}, 201)
    assert other.titles() == [copy["title"]] and copy["id"] != chat
    Share.objects.all().delete()
    for path in (made["path"], "/shared/x\x00/", "\xe4", ""):
        other.call("POST", "/shares/copies", {"path": path}, 404)


def test_usage_is_summed_by_month(program: Program) -> None:
    for text, month in (("One", 1), ("Two", 2), ("Three", 2)):
        chat = program.asks(text)
        Generation.objects.filter(conversation=chat).update(
            queued_at=datetime(2026, month, 15, tzinfo=UTC), input_tokens=10, output_tokens=1
        )
    query = "/usage?since=2026-01-01T00:00:00Z&until=2026-03-01T00:00:00Z"
    months = program.call("GET", f"{query}&by=month")["items"]
    assert [(it["month"], it["replies"], it["input_tokens"]) for it in months] == [
        ("2026-01", 1, 10),
        ("2026-02", 2, 20),
    ]
    (whole,) = program.call("GET", query)["items"]
    assert (whole["month"], whole["replies"], whole["output_tokens"]) == (None, 3, 3)


# What a program uses in place of each address of the page: an operation, or the reason why there is none.
PAGE = "It shows or changes the page only."
SERVER = "Monitoring and the set-up of the server, which have addresses of their own."
CREDENTIALS = "A token must not make or change credentials."
OF_THE_PAGE = {
    "folder_files": "addFolderFile",
    "preset_files": "addPresetFile",
    "knowledge_file": "removeKnowledge",
    "source": "listMessages",  # a part of the message
    "home": "sendPrompt",
    "conversations": "listConversations",
    "conversation": "changeConversation",
    "events": "streamPrompt",
    "messages": "sendPrompt",
    "earlier": "listMessages",
    "restoration": "restoreConversation",
    "export_chat": "exportConversation",
    "shares": "shareConversation",
    "my_shares": "listShares",
    "share": "revokeShare",
    "shared": "continueShare",
    "shared_file": "continueShare",
    "continued_share": "continueShare",
    "conversation_tags": "setConversationTags",
    "selection": "changeConversations",
    "selection_restoration": "changeConversations",
    "export_chats": "exportConversations",
    "transfer": "startImport",
    "import_piece": "startImport",
    "imports": "listImports",
    "one_import": "getImport",
    "search": "search",
    "palette": PAGE,
    "theme": PAGE,
    "message": "deleteMessage",
    "message_restoration": "restoreMessage",
    "place": PAGE,
    "message_path": "showVariant",
    "variant": "listVariants",
    "branches": "branchConversation",
    "comparison": "compareReply",
    "kept": "keepReply",
    "feedback": "rateReply",
    "sent": "getSentRequest",
    "instructions": "setInstructions",
    "presets": "listPresets",
    "new_preset": "makePreset",
    "preset": "changePreset",
    "preset_copies": "copyPreset",
    "preset_versions": "restorePresetVersion",
    "preset_choice": "choosePreset",
    "folders": "makeFolder",
    "folder": "changeFolder",
    "folder_chats": "listConversations",
    "conversation_folder": "moveConversation",
    "saved_prompts": "listSavedPrompts",
    "new_saved_prompt": "makeSavedPrompt",
    "saved_prompt": "changeSavedPrompt",
    "prompt_choices": "listSavedPrompts",
    "summary": "getSummary",
    "attachment": "getFile",
    "favourite": "favourModel",
    "usage": "getUsage",
    "sessions": CREDENTIALS,
    "session": CREDENTIALS,
    "api_tokens": CREDENTIALS,
    "new_api_token": CREDENTIALS,
    "api_token": CREDENTIALS,
    "settings": PAGE,
    "generation": "stopReply",
    "generations": "replyAgain",
    "tool_call": "approveCall",
    "welcome": CREDENTIALS,
    "login_link": CREDENTIALS,
    "first_admin": CREDENTIALS,
    "connection_check": PAGE,
    "connection_check_events": PAGE,
    "healthz": SERVER,
    "readyz": SERVER,
    "metrics": SERVER,
}


def test_each_address_of_the_page_has_a_route_or_a_reason() -> None:
    operations = {
        operation["operationId"]
        for methods in api.get_openapi_schema()["paths"].values()
        for operation in methods.values()
    }
    names = {str(pattern.name) for pattern in urlpatterns}
    assert names <= OF_THE_PAGE.keys()
    reasons = {PAGE, SERVER, CREDENTIALS}
    assert {it for it in OF_THE_PAGE.values() if it not in reasons} <= operations, sorted(operations)
