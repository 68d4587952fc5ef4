"""Every address with every method for every kind of user.

The table names each route once, and the test fails for a missing route. An object of another user is a 404
for everyone, including administrators: transcripts are read in the admin, where reading adds an audit entry.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from allauth.usersessions.models import UserSession
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client
from django.urls import URLPattern, reverse
from django.utils.timezone import now

from chat.access import conversation_for
from chat.actions.api_token import make_token
from chat.actions.folder import make_folder
from chat.actions.preset import PresetContent, make_preset
from chat.actions.saved_prompt import make_saved_prompt
from chat.actions.send import send_message
from chat.models import (
    ApiToken,
    Attachment,
    ChatImport,
    ChatModel,
    Conversation,
    Endpoint,
    Folder,
    Generation,
    Knowledge,
    Message,
    Preset,
    PresetVersion,
    SavedPrompt,
    Share,
    Status,
    StoredFile,
    Summary,
    Tag,
    ToolRun,
    User,
)
from chat.parts import SourcePart, stored
from chat.urls import urlpatterns

pytestmark = pytest.mark.django_db(transaction=True)

METHODS = ("get", "head", "post", "put", "patch", "delete", "options")

# Route -> the owner's response by method; 405 for the rest. "public" routes give everybody the same response.
OWNER = {
    "home": {"get": 302, "head": 302},
    "conversation": {"get": 200, "head": 200, "post": 302, "delete": 302},
    "events": {"get": 200},
    "messages": {"post": 302},
    "earlier": {"get": 302, "head": 302},
    "generation": {"post": 302, "delete": 302},
    "generations": {"get": 200, "head": 200, "post": 302},
    "restoration": {"post": 404},  # only a deleted message can be restored
    "message": {"get": 200, "head": 200, "delete": 302},
    "message_restoration": {"post": 409},
    "message_path": {"post": 302},
    "search": {"get": 200, "head": 200},
    "palette": {"get": 302, "head": 302},
    "conversation_tags": {"get": 302, "head": 302, "post": 302, "delete": 302},
    "selection": {"post": 400},  # without chats
    "selection_restoration": {"post": 400},
    "theme": {"post": 302},
    "variant": {"post": 409},  # there is no other variant
    "branches": {"post": 302},
    "place": {"get": 200, "head": 200},
    "comparison": {"get": 200, "head": 200, "post": 302},
    "kept": {"post": 302},
    "feedback": {"post": 302, "delete": 302},
    "summary": {"get": 200, "head": 200},
    "tool_call": {"post": 302},
    "sent": {"get": 200, "head": 200},
    "instructions": {"get": 200, "head": 200, "post": 302},
    "folders": {"get": 200, "head": 200, "post": 302},
    "folder": {"get": 200, "head": 200, "post": 302, "delete": 302},
    "folder_files": {"get": 302, "head": 302, "post": 400},  # without a file
    "preset_files": {"get": 302, "head": 302, "post": 400},
    "knowledge_file": {"get": 200, "head": 200, "delete": 302},
    "source": {"get": 200, "head": 200},
    "folder_chats": {"post": 302},
    "conversation_folder": {"get": 200, "head": 200, "post": 302},
    "saved_prompts": {"get": 200, "head": 200},
    "new_saved_prompt": {"get": 200, "head": 200, "post": 302},
    "saved_prompt": {"get": 200, "head": 200, "post": 302, "delete": 302},
    "prompt_choices": {"get": 200, "head": 200},
    "presets": {"get": 200, "head": 200},
    "new_preset": {"get": 200, "head": 200, "post": 302},
    "preset": {"get": 200, "head": 200, "post": 302, "delete": 302},
    "preset_copies": {"post": 302},
    "preset_versions": {"post": 302},
    "preset_choice": {"get": 200, "head": 200, "post": 302},
    "conversations": {"get": 200, "head": 200, "post": 200},
    "settings": {"get": 200, "head": 200, "post": 302},
    "sessions": {"get": 200, "head": 200, "delete": 302},
    "session": {"post": 302, "delete": 302},
    "api_tokens": {"get": 200, "head": 200},
    "new_api_token": {"get": 302, "head": 302, "post": 302},  # the password first
    "api_token": {"post": 302, "delete": 302},
    "favourite": {"post": 302, "delete": 302},
    "export_chat": {"get": 200, "head": 200},
    "shares": {"get": 200, "head": 200, "post": 200},
    "my_shares": {"get": 200, "head": 200},
    "usage": {"get": 200, "head": 200},
    "share": {"post": 302, "delete": 302},
    "export_chats": {"post": 200},
    "transfer": {"get": 200, "head": 200, "post": 400},  # without a file
    "imports": {"get": 302, "head": 302},
    "import_piece": {"patch": 400},  # without a length
    "one_import": {"post": 409, "delete": 302},  # the file was not read
    "attachment": {"get": 200, "head": 200, "patch": 400, "delete": 404},  # it is sent, so it stays
}
PERSONAL = {
    "home",
    "search",
    "palette",
    "theme",
    "selection",
    "selection_restoration",
    "conversations",
    "settings",
    "instructions",
    "folders",
    "presets",
    "new_preset",
    "saved_prompts",
    "new_saved_prompt",
    "prompt_choices",
    "sessions",
    "api_tokens",
    "new_api_token",
    "favourite",
    "export_chats",
    "transfer",
    "imports",
    "import_piece",
    "my_shares",
    "usage",
}  # no object of another user: every logged-in user gets their own
ELSEWHERE = {
    "healthz",
    "readyz",
    "metrics",
    "first_admin",
    "login_link",
    "connection_check",
    "connection_check_events",
    "shared",
    "shared_file",
    "continued_share",
}  # public on purpose, with tests of their own


@pytest.fixture
def model(db: None) -> ChatModel:
    provider = Endpoint.objects.create(slug="demo", name="Demo")
    return ChatModel.objects.create(endpoint=provider, name="demo")


@pytest.fixture
def world(make_user: Callable[..., User], model: ChatModel) -> dict[str, Client]:
    people = {
        "owner": make_user("owner@example.org"),
        "teammate": make_user("teammate@example.org"),
        "administrator": make_user("administrator@example.org", is_staff=True, is_superuser=True),
        "deactivated": make_user("deactivated@example.org"),
    }
    clients = {name: Client() for name in (*people, "anonymous")}
    for name, user in people.items():
        clients[name].force_login(user)
    people["deactivated"].is_active = False
    people["deactivated"].save()
    return clients


def conversation_of(email: str, model: ChatModel) -> tuple[Conversation, Message]:
    """A conversation with one finished reply."""
    owner = User.objects.get(email=email)
    file = Attachment.objects.create(owner=owner, name="Secret words", size=5, stored=stored_file())
    sent = send_message(
        owner,
        uuid.uuid4(),
        client_id=uuid.uuid4(),
        text="Secret words",
        model_ids=[model.pk],
        attachments=[file.pk],
    )
    reply = sent.message.children.get()
    Generation.objects.filter(message=reply).update(status=Status.COMPLETE)
    reply.parts = stored([SourcePart("Secret words", "Secret words")])
    reply.save(update_fields=["parts"])
    ToolRun.objects.create(
        generation=reply.generation, step=1, number=0, call_id="1", name="tool", state="done"
    )
    UserSession.objects.create(
        user=owner, ip="192.0.2.1", session_key=uuid.uuid4().hex, user_agent="Secret words"
    )
    Tag.objects.create(conversation=reply.conversation, name="Secret words", key="secret words")
    make_token(owner, name="Secret words", scopes=["chat"])
    folder = make_folder(owner, "Secret words")
    file = Attachment.objects.create(owner=owner, name="Secret words", size=5, stored=stored_file())
    Knowledge.objects.create(folder=folder, attachment=file)
    make_saved_prompt(owner, "secret", "Secret words")
    make_preset(owner, PresetContent("Secret words", "Secret words"))
    ChatImport.objects.get_or_create(owner=owner, name="Secret words")
    share = Share.objects.create(
        conversation=reply.conversation,
        title="Secret words",
        audience="team",
        expires_at=now() + timedelta(1),
    )
    share.messages.add(reply)
    Summary.objects.create(conversation=reply.conversation, covers=reply, text="Secret words")
    return conversation_for(owner, sent.message.conversation_id), reply


def stored_file() -> StoredFile:
    """Returns the file of all conversations, without a worker."""
    path = default_storage.save("secret", ContentFile(b"Words"))
    rows = StoredFile.objects
    return rows.get_or_create(
        sha256="0" * 64, defaults={"size": 5, "media_type": "text/plain", "path": path}
    )[0]


# What an address names, for routes that name neither a chat nor a reply.
NAMED: dict[str, Callable[[Conversation], Any]] = {
    "share": lambda chat: chat.shares.get().pk,
    "one_import": lambda chat: ChatImport.objects.get(owner=chat.owner).pk,
    **dict.fromkeys(
        ("folder", "folder_chats", "folder_files"),
        lambda chat: Folder.objects.filter(owner=chat.owner, name__startswith="Secret")[0].pk,
    ),
    "saved_prompt": lambda chat: SavedPrompt.objects.get(owner=chat.owner, text="Secret words").pk,
    **dict.fromkeys(
        ("preset", "preset_copies", "preset_versions", "preset_files"),
        lambda chat: Preset.objects.get(owner=chat.owner).pk,
    ),
    "knowledge_file": lambda chat: Knowledge.objects.get(folder__owner=chat.owner).pk,
    "summary": lambda chat: chat.summaries.get().pk,
    "tool_call": lambda chat: ToolRun.objects.get(generation__conversation=chat).pk,
    "favourite": lambda chat: Generation.objects.get(conversation=chat).model_id,
    "attachment": lambda chat: Attachment.objects.get(message__conversation=chat).pk,
    "api_token": lambda chat: ApiToken.objects.get(user=chat.owner).pk,
    "session": lambda chat: UserSession.objects.get(user=chat.owner, ip="192.0.2.1").pk,
}
OF_REPLY = {
    "message_path",
    "generation",
    "generations",
    "message",
    "message_restoration",
    "variant",
    "branches",
    "place",
    "comparison",
    "kept",
    "feedback",
    "sent",
}


def address(name: str, conversation: Conversation, reply: Message) -> str:
    if name in NAMED:
        arguments = [NAMED[name](conversation)]
    elif name in OF_REPLY:
        arguments = [reply.pk]
    elif name in PERSONAL:
        arguments = []
    else:
        arguments = {"earlier": [conversation.pk, 1], "source": [reply.pk, 1]}.get(name, [conversation.pk])
    return reverse(name, args=arguments)


def data(model: ChatModel) -> dict[str, str]:
    preferences = {
        "theme": "dark",
        "density": "compact",
        "text_size": "large",
        "streaming": "words",
        "send_key": "enter",
        "announcements": "state",
    }
    decision = {"decision": "once"}
    token = {"name": "New", "scopes": "read", "days": ""}
    found = {"q": "Secret"}
    prompt = {"text": "More", "model": str(model.pk), "client_id": str(uuid.uuid4())}
    preset = {"visibility": "own", "number": "1"}
    return {
        "title": "New",
        **preset,
        "to": str(uuid.uuid4()),
        **token,
        **found,
        **prompt,
        **decision,
        **preferences,
    }


def test_the_table_names_every_route() -> None:
    names = {pattern.name for pattern in urlpatterns if isinstance(pattern, URLPattern)}
    assert names - ELSEWHERE == set(OWNER), "a route of chat.urls has no row in this table"


@pytest.mark.parametrize("name", OWNER)
def test_what_the_owner_may_do(name: str, make_user: Callable[..., User], model: ChatModel) -> None:
    owner, client = make_user("owner@example.org"), Client()
    client.force_login(owner)
    at = address(name, *conversation_of(owner.email, model))
    changing = OWNER[name].keys() - {"get", "head"}
    answers = {}
    for method in sorted(METHODS, key=lambda method: method in changing):
        answer = getattr(client, method)(at, data(model))
        answers[method] = answer.status_code
        if method in changing:  # It may have ended the session too.
            forget_objects()
            client.force_login(owner)
            at = address(name, *conversation_of(owner.email, model))
    assert answers == {method: OWNER[name].get(method, 405) for method in METHODS}


def forget_objects() -> None:
    """Deletes what `conversation_of` makes, so that the next method finds one of each."""
    for kind in (Conversation, ChatImport, ApiToken, UserSession, Attachment, Folder, Preset, SavedPrompt):
        kind.objects.all().delete()


@pytest.mark.once
@pytest.mark.parametrize("name", OWNER)
def test_other_users_read_and_change_nothing(name: str, world: dict[str, Client], model: ChatModel) -> None:
    at, form = address(name, *conversation_of("owner@example.org", model)), data(model)
    before = snapshot()
    for viewer in ("teammate", "administrator", "anonymous", "deactivated"):
        for method in METHODS:
            answer = getattr(world[viewer], method)(at, form)
            check_answer_to(viewer, method, name, answer)
    assert snapshot() == before, "a request changed a row"


def check_answer_to(viewer: str, method: str, name: str, answer: Any) -> None:
    body = b"" if answer.streaming else answer.content
    assert b"Secret words" not in body, (viewer, method)
    if method not in OWNER[name]:
        assert answer.status_code in {302, 401, 404, 405}, (viewer, method)
    elif viewer in {"anonymous", "deactivated"}:
        to_log_in = answer.status_code == 302 and answer["Location"].startswith("/accounts/login/")
        assert to_log_in or answer.status_code == 401, (viewer, method)
    else:
        assert answer.status_code == (OWNER[name][method] if name in PERSONAL else 404), (viewer, method)


def snapshot() -> list[object]:
    return [
        list(Conversation.objects.order_by("pk").values_list()),
        list(Message.objects.order_by("pk").values_list()),
        list(Generation.objects.order_by("pk").values_list()),
        list(ToolRun.objects.order_by("pk").values_list()),
        list(ApiToken.objects.order_by("pk").values_list()),
        list(Folder.objects.filter(name__startswith="Secret").order_by("pk").values_list()),
        list(SavedPrompt.objects.filter(text="Secret words").order_by("pk").values_list()),
        list(PresetVersion.objects.filter(name="Secret words").order_by("pk").values_list()),
        list(ChatImport.objects.order_by("pk").values_list()),
        list(Share.objects.order_by("pk").values_list()),
        list(Tag.objects.order_by("pk").values_list()),
    ]


@pytest.mark.once
def test_a_body_names_nothing_of_another_user(world: dict[str, Client], model: ChatModel) -> None:
    """An id of another user in a body is as one that does not exist."""
    theirs, _reply = conversation_of("owner@example.org", model)
    own, reply = conversation_of("teammate@example.org", model)
    owner = theirs.owner
    folder, preset = Folder.objects.get(owner=owner), Preset.objects.get(owner=owner)
    before, client = snapshot(), world["teammate"]
    own_folder = Folder.objects.get(owner=own.owner)
    requests: list[tuple[str, list[Any], dict[str, Any], int]] = [
        *(
            ("selection", [], {"chats": str(theirs.pk), "action": action, **more}, 404)
            for action, more in (
                ("archive", {}),
                ("unarchive", {}),
                ("delete", {}),
                ("tag", {"tag": "x"}),
                ("untag", {"tag": "Secret words"}),
                ("restore", {}),
                ("move", {"folder": str(own_folder.pk)}),
            )
        ),
        ("selection", [], {"chats": str(own.pk), "action": "move", "folder": str(folder.pk)}, 404),
        ("selection_restoration", [], {"chats": str(theirs.pk)}, 404),
        ("conversation_folder", [own.pk], {"folder": str(folder.pk)}, 404),
        ("preset_choice", [own.pk], {"preset": str(preset.pk)}, 404),
        ("preset_choice", [own.pk], {"preset": str(uuid.uuid4())}, 404),
        ("folder", [own_folder.pk], {"name": "X", "preset": str(preset.pk)}, 400),
        ("shares", [own.pk], {"first": str(theirs.head_id), "create": "1"}, 409),
        ("comparison", [reply.pk], {"model": "0"}, 404),
        ("export_chats", [], {"chats": str(theirs.pk), "format": "json"}, 200),
    ]
    for name, arguments, body, status in requests:
        answer = client.post(reverse(name, args=arguments), body)
        assert answer.status_code == status, (name, body, answer.status_code)
        assert snapshot() == before, (name, body)
        if answer.streaming:
            assert b"Secret" not in read_all(answer), name


def read_all(answer: Any) -> bytes:
    async def joined() -> bytes:
        return b"".join([piece async for piece in answer.streaming_content])

    return asyncio.run(joined())


@pytest.mark.once
@pytest.mark.parametrize("name", [name for name, methods in OWNER.items() if "post" in methods])
def test_a_post_without_the_token_of_the_page_is_refused(
    name: str, world: dict[str, Client], model: ChatModel
) -> None:
    conversation, reply = conversation_of("owner@example.org", model)
    before = snapshot()
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.get(email="owner@example.org"))
    assert client.post(address(name, conversation, reply), data(model)).status_code == 403
    assert snapshot() == before


def test_a_deleted_conversation_is_not_found_and_its_id_cannot_be_taken_again(
    world: dict[str, Client], model: ChatModel
) -> None:
    conversation, _ = conversation_of("owner@example.org", model)
    owner = world["owner"]
    owner.delete(reverse("conversation", args=[conversation.pk]))
    assert owner.get(reverse("conversation", args=[conversation.pk])).status_code == 404
    assert owner.post(reverse("messages", args=[conversation.pk]), data(model)).status_code == 404


def test_undocumented_posted_fields_change_nothing(world: dict[str, Client], model: ChatModel) -> None:
    conversation, reply = conversation_of("owner@example.org", model)
    teammate = User.objects.get(email="teammate@example.org")
    extra = {
        "role": "assistant",
        "owner": teammate.pk,
        "parent": str(reply.pk),
        "is_staff": "1",
        "status": "x",
    }
    world["owner"].post(reverse("messages", args=[conversation.pk]), data(model) | extra)
    prompt = conversation.messages.filter(text="More").get()
    assert (prompt.role, prompt.conversation.owner.email) == ("user", "owner@example.org")
    assert not User.objects.get(email="owner@example.org").is_staff
