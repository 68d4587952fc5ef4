"""Each route of the API with each kind of token, and the lists."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from chat.actions.api_token import make_token, revoke_tokens
from chat.actions.conversation import delete_conversation
from chat.actions.feedback import rate_reply
from chat.actions.folder import make_folder
from chat.actions.message import delete_message
from chat.actions.preset import PresetContent, make_preset
from chat.actions.saved_prompt import make_saved_prompt
from chat.actions.send import send_message
from chat.actions.tag import tag_conversation
from chat.api import account, administration
from chat.api.json_api import api
from chat.api.pages import encoded
from chat.api.routing import Token
from chat.models import (
    ApiToken,
    Attachment,
    ChatImport,
    ChatModel,
    Conversation,
    Endpoint,
    Generation,
    Knowledge,
    Message,
    Scope,
    Share,
    Status,
    StoredFile,
    Summary,
    ToolCallState,
    ToolRun,
    TranscriptRead,
    User,
)
from chat.rate_limit import RateLimits
from chat.runtime import Runtime

pytestmark = pytest.mark.django_db(transaction=True)


def operations() -> list[tuple[str, str, Scope]]:
    """Returns path, method and required scope of each operation."""
    found = []
    for router in api._get_bound_routers():
        for path, view in router.path_operations.items():
            for operation in view.operations:
                (auth,) = operation.auth_callbacks
                if not isinstance(auth, Token):  # a ticket: see test_tickets.py
                    continue
                # ninja's own name of the converter
                path_ = path.replace("{uuidstr:", "{uuid:")
                found += [(path_, method, auth.scope) for method in operation.methods]
    return sorted(found)


OPERATIONS = operations()
BODIES: dict[str, dict[str, Any]] = {
    "/prompts": {"text": "More", "models": [1]},
    "/replies/{uuid:reply_id}/generations": {},
    "/replies/{uuid:reply_id}/feedback": {"good": True},
    "/conversations/{uuid:conversation_id}": {"title": "New"},
    "/conversations/{uuid:conversation_id}/restoration": {},
    "/messages/{uuid:message_id}/shown": {},
    "/messages/{uuid:message_id}/branches": {},
    "/messages/{uuid:message_id}/restoration": {},
    "/replies/{uuid:reply_id}/comparisons": {"model": 2},
    "/replies/{uuid:reply_id}/kept": {},
    "/tool-calls/{int:call_id}/approve": {},
    "/tool-calls/{int:call_id}/decline": {},
    "/files": {},
    "/files/{uuid:file_id}": {},
    "/imports": {},
    "/imports/{uuid:import_id}/agreement": {},
    "/exports": {},
    "/prompts/{uuid:prompt_id}/tickets": {},
    "/replies/{uuid:reply_id}/tickets": {},
    "/instructions": {"text": "Be brief."},
    "/folders": {"name": "New"},
    "/folders/{uuid:folder_id}": {"name": "New"},
    "/conversations/{uuid:conversation_id}/folder": {"folder": None},
    "/presets": {"name": "New"},
    "/presets/{uuid:preset_id}": {"name": "New"},
    "/conversations/{uuid:conversation_id}/preset": {"preset": None},
    "/conversations/{uuid:conversation_id}/shares": {"audience": "team"},
    "/models/{int:model_id}/favourite": {},
    "/conversations/changes": {"conversations": ["{uuid:conversation_id}"], "action": "archive"},
    "/conversations/{uuid:conversation_id}/tags": {"items": ["New"]},
    "/saved-prompts": {"name": "new", "text": "New"},
    "/saved-prompts/{uuid:saved_prompt_id}": {"name": "new", "text": "New"},
    "/presets/{uuid:preset_id}/copies": {},
    "/presets/{uuid:preset_id}/versions": {"version": 1},
    "/folders/{uuid:folder_id}/files": {"file": "{uuid:file_id}"},
    "/presets/{uuid:preset_id}/files": {"file": "{uuid:file_id}"},
    "/shares/copies": {"path": "/shared/of-the-team/"},
}
QUERIES = {
    "/search": "?q=secret",
    "/files": "?name=a.txt",
    "/files/{uuid:file_id}": "?name=a.txt&size=12",
    "/imports": "?name=a.json",
}
# What everyone with the scope gets, with their own data. All other routes name an object.
PERSONAL = {
    *("/prompts", "/conversations", "/deleted-conversations", "/search", "/models", "/usage", "/tools"),
    *("/folders", "/presets", "/saved-prompts", "/shares", "/tags"),
    *("/files", "/imports", "/exports", "/instructions", "/models/{int:model_id}/favourite"),
}
OPEN_TO_ALL = {"/shares/copies"}  # who has the address of a share may copy what it shows


class World:
    def __init__(self, make_user: Callable[..., User]) -> None:
        provider = Endpoint.objects.create(slug="demo", name="Demo")
        self.model = ChatModel.objects.create(pk=1, endpoint=provider, name="demo")
        self.owner = make_user("owner@example.org")
        self.other = make_user("other@example.org")
        self.administrator = make_user("admin@example.org", is_staff=True, is_superuser=True)
        sent = send_message(
            self.owner,
            uuid.uuid4(),
            client_id=uuid.uuid4(),
            text="Secret words",
            model_ids=[self.model.pk],
        )
        self.prompt = sent.message
        self.reply = self.prompt.children.get()
        Generation.objects.update(status=Status.COMPLETE)
        Message.objects.filter(pk=self.reply.pk).update(
            text="Secret words", parts=[{"type": "text", "text": "Secret words"}]
        )
        ChatModel.objects.create(pk=2, endpoint=provider, name="other")
        path = default_storage.save("ab/secret", ContentFile(b"Secret words"))
        stored = StoredFile.objects.create(sha256="ab", size=12, media_type="text/plain", path=path)
        self.file = Attachment.objects.create(owner=self.owner, stored=stored, name="a.txt", size=12)
        generation = self.reply.generation
        self.tool_call = ToolRun.objects.create(
            generation=generation, step=1, number=0, name="calculator", state=ToolCallState.ASKED
        )
        self.folder = make_folder(self.owner, "Secret words")
        self.saved_prompt = make_saved_prompt(self.owner, "secret", "Secret words")
        tag_conversation(self.owner, self.prompt.conversation_id, "Secret words")
        self.preset = make_preset(self.owner, PresetContent("Secret words"))
        other = StoredFile.objects.create(sha256="cd", size=12, media_type="text/plain", path=path)
        file = Attachment.objects.create(owner=self.owner, stored=other, name="b.txt", size=12)
        self.knowledge = Knowledge.objects.create(attachment=file, folder=self.folder)
        self.share = Share.objects.create(
            conversation=self.prompt.conversation,
            title="Secret words",
            audience="team",
            secret="of-the-team",
            expires_at=timezone.now() + timedelta(days=1),
        )
        self.share.messages.set([self.prompt, self.reply])
        covered = {"conversation": self.prompt.conversation, "covers": self.prompt}
        self.summary = Summary.objects.create(**covered, text="Secret words", model_label="demo")
        self.job = ChatImport.objects.create(owner=self.owner, state="done", titles=["Secret words"])

    def token(self, user: User, *scopes: str) -> str:
        return make_token(user, name="x", scopes=scopes)[1]

    def address(self, path: str) -> str:
        path = self.named(path)
        assert "{" not in path
        return f"/api/v1{path}"

    def named(self, path: str) -> str:
        """Returns the text with the ids of the owner's objects."""
        ids = {
            "{uuid:conversation_id}": self.prompt.conversation_id,
            "{uuid:prompt_id}": self.prompt.pk,
            "{uuid:reply_id}": self.reply.pk,
            "{uuid:message_id}": self.reply.pk,
            "{int:person_id}": self.owner.pk,
            "{int:model_id}": self.model.pk,
            "{uuid:file_id}": self.file.pk,
            "{int:call_id}": self.tool_call.pk,
            "{uuid:summary_id}": self.summary.pk,
            "{uuid:import_id}": self.job.pk,
            "{uuid:folder_id}": self.folder.pk,
            "{uuid:preset_id}": self.preset.pk,
            "{uuid:knowledge_id}": self.knowledge.pk,
            "{uuid:saved_prompt_id}": self.saved_prompt.pk,
            "{uuid:share_id}": self.share.pk,
        }
        for name, value in ids.items():
            path = path.replace(name, str(value))
        return path

    def call(self, path: str, method: str, secret: str = "", client: Client | None = None) -> Any:
        headers = {"authorization": f"Bearer {secret}"} if secret else {}
        body = self.named(json.dumps(BODIES[path])) if method in {"POST", "PUT", "PATCH"} else ""
        address = self.address(path) + QUERIES.get(path, "")
        return (client or Client()).generic(
            method, address, body, content_type="application/json", headers=headers
        )


@pytest.fixture
def world(make_user: Callable[..., User]) -> World:
    return World(make_user)


def snapshot() -> list[object]:
    kinds = (Conversation, Message, Generation, ToolRun, ChatImport, Attachment, Knowledge)
    return [list(kind.objects.order_by("pk").values_list()) for kind in kinds]


def refused(answer: Any, status: int, code: str) -> None:
    assert answer.status_code == status, (answer.request["PATH_INFO"], answer.content)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == code


@pytest.mark.parametrize("scope", Scope)
def test_no_route_opens_without_a_valid_token_of_its_scope(
    scope: Scope, world: World, runtime: Runtime
) -> None:
    person = world.administrator if scope == Scope.ADMIN else world.owner
    ended = {name: world.token(person, scope) for name in ("revoked", "expired")}
    tokens = ApiToken.objects.order_by("pk")
    revoke_tokens(ApiToken.objects.filter(pk=tokens[0].pk), by=None)
    ApiToken.objects.filter(pk=tokens[1].pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    gone = world.token(world.other, Scope.CHAT)
    User.objects.filter(pk=world.other.pk).update(is_active=False)
    cookie = Client()
    cookie.force_login(person)
    sufficient = {Scope.READ: {Scope.READ, Scope.CHAT}}.get(scope, {scope})
    insufficient = [world.token(world.administrator, other) for other in set(Scope) - sufficient]
    before = snapshot()
    for path, method, required in OPERATIONS:
        if required == scope:
            limits = (RateLimits(burst=100, per_second=1) for _ in range(2))
            runtime.token_failures, runtime.token_requests = limits
            for secret in ("", "sty_" + "x" * 43, ended["revoked"], ended["expired"], gone):
                refused(world.call(path, method, secret), 401, "unauthenticated")
            refused(world.call(path, method, client=cookie), 401, "unauthenticated")
            for secret in insufficient:
                refused(world.call(path, method, secret), 403, "missing_scope")
    assert snapshot() == before


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume asynchronous iterators")
@pytest.mark.parametrize(
    ("path", "method", "scope"),
    [it for it in OPERATIONS if it[2] != Scope.ADMIN and it[0] not in OPEN_TO_ALL],
)
def test_an_object_of_another_user_is_not_found(path: str, method: str, scope: Scope, world: World) -> None:
    before = snapshot()
    for stranger in (world.other, world.administrator):
        answer = world.call(path, method, world.token(stranger, scope))
        if path in PERSONAL:
            assert answer.status_code in (200, 201, 204)
            assert b"Secret words" not in b"".join(answer)
        else:
            refused(answer, 404, "not_found")
    if path not in ("/prompts", "/files", "/imports"):
        assert snapshot() == before


def test_the_administration_needs_an_administrator(world: World) -> None:
    secret = world.token(world.administrator, Scope.ADMIN)
    User.objects.filter(pk=world.administrator.pk).update(is_superuser=False)
    for path, method, scope in OPERATIONS:
        if scope == Scope.ADMIN:
            refused(world.call(path, method, secret), 403, "missing_scope")


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume asynchronous iterators")
@pytest.mark.parametrize(("path", "method", "scope"), OPERATIONS)
def test_the_owner_gets_an_answer(path: str, method: str, scope: Scope, world: World) -> None:
    person = world.administrator if scope == Scope.ADMIN else world.owner
    if path == "/messages/{uuid:message_id}/restoration":
        delete_message(world.owner, world.reply.pk)
    elif path == "/conversations/{uuid:conversation_id}/restoration":
        delete_conversation(world.owner, world.prompt.conversation_id)
    elif path.startswith("/tool-calls/"):
        Generation.objects.filter(message=world.reply).update(status=Status.WAITING, owner="")
    answer = world.call(path, method, world.token(person, scope))
    assert answer.status_code in (200, 201, 204), getattr(answer, "content", "")
    assert answer.headers["RateLimit"].startswith('"token";r=')


def test_a_prompt_is_edited_its_variants_are_shown_and_a_branch_is_copied(world: World) -> None:
    client = Client(headers={"authorization": f"Bearer {world.token(world.owner, Scope.CHAT)}"})

    def call(method: str, address: str, status: int, body: object = "") -> Any:
        answer = client.generic(
            method, f"/api/v1{address}", json.dumps(body), content_type="application/json"
        )
        assert answer.status_code == status, answer.content
        return answer.json() if answer.content else None

    edited = call("POST", "/prompts", 201, {"text": "Other", "models": [1], "edits": str(world.prompt.pk)})
    assert edited["conversation"] == str(world.prompt.conversation_id)
    Generation.objects.update(status=Status.COMPLETE)
    variants = call("GET", f"/messages/{world.prompt.pk}/variants", 200)["items"]
    assert [(it["text"], it["shown"]) for it in variants] == [("Secret words", False), ("Other", True)]
    assert variants == call("GET", f"/messages/{edited['prompt']}/variants", 200)["items"]
    for _ in range(2):  # the second time it is shown already
        assert call("PUT", f"/messages/{world.prompt.pk}/shown", 200)["shown"]
    shown = call("GET", f"/conversations/{world.prompt.conversation_id}/messages?shown=true", 200)["items"]
    assert [it["id"] for it in shown] == [str(world.prompt.pk), str(world.reply.pk)]
    branch = call("POST", f"/messages/{world.reply.pk}/branches", 201)
    copies = call("GET", f"/conversations/{branch['id']}/messages", 200)["items"]
    assert [it["text"] for it in copies] == ["Secret words"] * 2
    call("DELETE", f"/messages/{world.prompt.pk}", 204)
    call("PUT", f"/messages/{world.reply.pk}/shown", 409)
    call("POST", f"/messages/{world.prompt.pk}/restoration", 204)
    call("DELETE", f"/conversations/{branch['id']}", 204)
    call("POST", f"/conversations/{branch['id']}/restoration", 204)
    assert call("GET", f"/conversations/{branch['id']}", 200)["title"] == branch["title"]


def test_search_finds_own_chats_page_by_page(world: World) -> None:
    for number in range(3):
        send_message(
            world.owner,
            uuid.uuid4(),
            client_id=uuid.uuid4(),
            text=f"Secret number {number}",
            model_ids=[world.model.pk],
        )
        Generation.objects.update(status=Status.COMPLETE)
    headers = {"authorization": f"Bearer {world.token(world.owner, Scope.READ)}"}
    found = Client().get("/api/v1/search", {"q": "number"}, headers=headers).json()
    assert len(found["items"]) == 3 and found["next"] is None
    assert "Secret number 2" in found["items"][0]["hits"][0]["excerpt"]
    refused(
        Client().get("/api/v1/search", {"q": "x", "cursor": "WyJ4Il0"}, headers=headers), 400, "invalid_input"
    )
    refused(Client().get("/api/v1/search", headers=headers), 400, "invalid_input")


def test_a_token_opens_no_page(world: World) -> None:
    secret = world.token(world.administrator, *Scope)
    client = Client(headers={"authorization": f"Bearer {secret}"})
    for pattern in get_resolver().url_patterns:
        if isinstance(pattern, URLResolver) and str(pattern.pattern).startswith(("admin", "accounts")):
            names = [it for it in pattern.url_patterns if isinstance(it, URLPattern)]
            for name in names:
                if "<" not in str(name.pattern) and "^" not in str(name.pattern):
                    answer = client.get(f"/{pattern.pattern}{name.pattern}")
                    assert not answer.wsgi_request.user.is_authenticated
    for address in ("/admin/", "/settings/", "/conversations/", f"/messages/{world.reply.pk}/"):
        answer = client.get(address)
        assert answer.status_code == 302
        assert "/login/" in answer["Location"]
    assert not Session.objects.exists()


def test_chats_are_listed_in_pages_and_filtered(world: World) -> None:
    secret = world.token(world.owner, "chat")
    for number in range(4):
        send_message(world.owner, uuid.uuid4(), client_id=uuid.uuid4(), text=f"Chat {number}", model_ids=[1])
        Generation.objects.update(status=Status.COMPLETE)

    def listed(**query: str) -> list[str]:
        client, titles, cursor = Client(headers={"authorization": f"Bearer {secret}"}), [], ""
        while True:
            page = client.get("/api/v1/conversations", {"limit": "2", "cursor": cursor, **query}).json()
            assert len(page["items"]) <= 2
            titles += [item["title"] for item in page["items"]]
            if not page["next"]:
                return titles
            cursor = page["next"]

    everything = ["Chat 3", "Chat 2", "Chat 1", "Chat 0", "Secret words"]
    assert listed() == everything
    assert listed(title="chat") == everything[:-1]
    Conversation.objects.filter(title="Chat 1").update(archived_at=timezone.now())
    assert listed(archived="true") == ["Chat 1"]
    assert "Chat 1" not in listed()
    Generation.objects.filter(conversation__title="Chat 2").update(status=Status.RUNNING)
    assert listed(running="true") == ["Chat 2"]
    assert listed(updated_since=(timezone.now() + timedelta(hours=1)).isoformat()) == []
    client = Client(headers={"authorization": f"Bearer {secret}"})
    refused(client.get("/api/v1/conversations", {"cursor": "x"}), 400, "invalid_input")


def test_a_chat_is_read_as_a_tree_and_changed(world: World) -> None:
    client = Client(headers={"authorization": f"Bearer {world.token(world.owner, 'chat')}"})
    rate_reply(world.owner, world.reply.pk, is_good=True)
    address = world.address("/conversations/{uuid:conversation_id}")
    prompt, reply = client.get(f"{address}/messages").json()["items"]
    assert (prompt["role"], prompt["reply"], prompt["parent"]) == ("user", None, None)
    assert reply["parent"] == prompt["id"]
    assert reply["reply"]["status"] == "complete"
    assert reply["reply"]["model"]["name"] == "demo"
    assert reply["feedback"]["good"] is True
    first = client.get(f"{address}/messages", {"limit": 1}).json()
    second = client.get(f"{address}/messages", {"limit": 1, "cursor": first["next"]}).json()
    assert [first["items"][0]["id"], second["items"][0]["id"]] == [prompt["id"], reply["id"]]
    changed = client.patch(address, {"title": "Tides", "pinned": True}, content_type="application/json")
    assert (changed.json()["title"], changed.json()["pinned"]) == ("Tides", True)
    refused(client.patch(address, {"owner": 2}, content_type="application/json"), 400, "invalid_input")
    assert client.delete(address).status_code == 204
    refused(client.get(address), 404, "not_found")


@pytest.mark.parametrize("path", ["", "/{uuid:conversation_id}/messages"])
def test_texts_are_not_read_before_the_audit_entry(
    path: str, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(administration, "recorded", lambda: None)
    answer = world.call(f"/admin/conversations{path}", "GET", world.token(world.administrator, "admin"))
    refused(answer, 500, "internal")
    assert "without an audit entry" in caplog.text
    assert "Secret words" not in answer.content.decode()


def test_a_defect_is_logged_and_is_a_problem(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(user: User) -> None:
        raise RuntimeError

    monkeypatch.setattr(account, "_models", fail)
    client = Client(headers={"authorization": f"Bearer {world.token(world.owner, 'read')}"})
    refused(client.get("/api/v1/models"), 500, "internal")
    assert "RuntimeError" in caplog.text


def test_the_usage_of_a_user_is_summed_by_model(world: World) -> None:
    Generation.objects.update(input_tokens=10, output_tokens=5, cost="0.001")
    client = Client(headers={"authorization": f"Bearer {world.token(world.owner, 'read')}"})
    (used,) = client.get("/api/v1/usage").json()["items"]
    assert (used["replies"], used["input_tokens"], used["output_tokens"]) == (1, 10, 5)
    assert float(used["cost"]) == 0.001
    other = Client(headers={"authorization": f"Bearer {world.token(world.other, 'read')}"})
    assert other.get("/api/v1/usage").json()["items"] == []


@pytest.mark.parametrize(
    "at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0001-01-02T00:00:00Z"]
)
def test_a_time_near_the_ends_of_the_calendar_is_refused(at: str, world: World) -> None:
    headers = {"authorization": f"Bearer {world.token(world.owner, 'read')}"}
    administrator = {"authorization": f"Bearer {world.token(world.administrator, 'admin')}"}
    cursor = encoded(at, uuid.uuid4())
    for path, query, sent in (
        ("/usage", {"until": at}, headers),
        ("/usage", {"since": at}, headers),
        ("/usage", {"since": at, "until": at}, headers),
        ("/conversations", {"updated_since": at}, headers),
        ("/conversations", {"cursor": cursor}, headers),
        ("/admin/conversations", {"cursor": cursor}, administrator),
    ):
        refused(Client(headers=sent).get(f"/api/v1{path}", query), 400, "invalid_input")


def test_half_a_character_is_replaced_before_it_is_stored(world: World) -> None:
    client = Client(headers={"authorization": f"Bearer {world.token(world.owner, 'chat')}"})
    feedback = '{"good": true, "reason": "", "comment": "a\\ud800"}'
    path = f"/api/v1/replies/{world.reply.pk}/feedback"
    assert client.put(path, feedback, "application/json").json()["comment"] == "a\ufffd"
    path = f"/api/v1/conversations/{world.prompt.conversation_id}"
    assert client.patch(path, '{"title": "a\\ud800"}', "application/json").json()["title"] == "a\ufffd"


def test_an_unknown_method_and_an_unreadable_body_are_refused_in_words(world: World) -> None:
    client = Client(headers={"authorization": f"Bearer {world.token(world.owner, 'chat')}"})
    answer = client.put("/api/v1/prompts")
    refused(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == "POST"
    for address in ("/nothing", "/conversations/", "/conversations/xyz", f"/messages/{world.reply.pk}/"):
        for method in ("GET", "POST"):
            refused(client.generic(method, f"/api/v1{address}"), 404, "not_found")
    large = json.dumps({"text": "x" * 3_000_000, "models": [1]})
    refused(client.post("/api/v1/prompts", large, content_type="application/json"), 413, "too_long")
    for body in ("{", "[]", '{"text": "x"}', '{"text": 1, "models": [1]}', '{"text": "x", "models": [0]}'):
        refused(client.post("/api/v1/prompts", body, content_type="application/json"), 400, "invalid_input")
    unknown = {"text": "x", "models": [99]}
    refused(client.post("/api/v1/prompts", unknown, content_type="application/json"), 404, "not_found")


def test_an_administrator_reads_users_catalog_and_transcripts_and_each_read_is_recorded(
    world: World,
) -> None:
    client = Client(headers={"authorization": f"Bearer {world.token(world.administrator, 'admin')}"})
    people = client.get("/api/v1/admin/people", {"limit": 1}).json()
    assert people["items"][0]["email"] == "owner@example.org"
    rest = client.get("/api/v1/admin/people", {"cursor": people["next"]}).json()
    assert [it["administrator"] for it in rest["items"]] == [False, True]
    ChatModel.objects.update(enabled=False)
    assert client.get("/api/v1/admin/models").json()["items"][0]["enabled"] is False
    assert not TranscriptRead.objects.filter(how__in=["read", "titles"]).exists()
    (chat,) = client.get("/api/v1/admin/conversations", {"person": world.owner.pk}).json()["items"]
    assert (chat["title"], chat["owner"]["email"]) == ("Secret words", "owner@example.org")
    entry = TranscriptRead.objects.get(how="titles")
    assert entry.reader == world.administrator
    assert entry.changes[0][2].startswith("sty_")
    page = client.get(f"/api/v1/admin/conversations/{chat['id']}/messages", {"limit": 1}).json()
    assert page["items"][0]["text"] == "Secret words"
    entry = TranscriptRead.objects.get(how="read")
    assert (entry.reader, entry.owner) == (world.administrator, world.owner)
    assert entry.conversation_id == world.prompt.conversation_id
    refused(client.get(f"/api/v1/admin/conversations/{uuid.uuid4()}/messages"), 404, "not_found")
    assert client.get("/api/v1/admin/conversations", {"person": 0}).status_code == 400
