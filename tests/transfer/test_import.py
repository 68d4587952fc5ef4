"""An import reads, waits for its owner, takes each chat once, survives the end of its process, and ends."""

from __future__ import annotations

import asyncio
import copy
import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from chat.actions import chat_import, import_attachments, import_chat, import_task
from chat.actions.attachment import StorageError, receive_file
from chat.actions.branch import branch_conversation
from chat.actions.chat_export import export_one
from chat.actions.errors import ConflictError
from chat.actions.extras import FOLDERS, KNOWN_DOCUMENTS, TOO_MANY
from chat.actions.knowledge import read_next
from chat.actions.send import send_message
from chat.admin.day import _ended_since
from chat.admin.votes import pairs_of_models
from chat.database import run_unit
from chat.files import store
from chat.management import importing
from chat.models import (
    Attachment,
    ChatImport,
    ChatModel,
    Conversation,
    Endpoint,
    Feedback,
    Folder,
    Generation,
    Message,
    ServerSettings,
    Share,
    StoredFile,
    User,
)
from chat.parts import Citation, NoticePart, TextPart, WebSearch, loaded
from chat.search import search
from chat.transfer import steady
from chat.transfer.chats import (
    CONTINUED,
    DESCRIPTIONS,
    DOCUMENTS,
    GROWN,
    UNLINKED,
    Chat,
    Node,
    Reply,
)
from chat.views.usage import months_of
from tests.transfer.samples import CHATGPT, CLAUDE, CLAUDE_PROJECTS, OPEN_WEBUI, as_zip

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def owner(make_user: Callable[..., User]) -> User:
    return make_user("owner@example.org")


def start(user: User, value: Any, name: str = "export.json") -> ChatImport:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return chat_import.start_import(user, io.BytesIO(data), name=name, size=len(data))


def files_in(folder: Path) -> list[Path]:
    return [it for it in folder.rglob("*") if it.is_file()]


async def work(until: Callable[[], bool]) -> None:
    """Runs the loop of a server process until then."""
    loop = asyncio.create_task(importing.import_files())
    try:
        async with asyncio.timeout(60):
            while not await run_unit(until):
                await asyncio.sleep(0.05)
    finally:
        loop.cancel()
        with suppress(asyncio.CancelledError):
            await loop


def in_state(job: ChatImport, *states: str) -> Callable[[], bool]:
    return lambda: ChatImport.objects.filter(pk=job.pk, state__in=states).exists()


async def read_and_take(user: User, value: Any) -> ChatImport:
    job = await run_unit(start, user, value)
    await work(in_state(job, "ready", "failed"))
    await run_unit(chat_import.agree_to_import, user, job.pk)
    await work(in_state(job, "done", "failed"))
    return await run_unit(ChatImport.objects.get, pk=job.pk)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(importing, "PAUSE_SECONDS", 0)


async def test_nothing_is_imported_before_the_owner_agrees(owner: User, storage: Path) -> None:
    job = await run_unit(start, owner, [*CLAUDE, 5])
    await work(in_state(job, "ready"))
    job = await run_unit(ChatImport.objects.get, pk=job.pk)
    assert (job.format, job.chats, job.messages, job.unreadable, job.known) == ("claude", 1, 2, 2, 0)
    assert job.titles == ["A poem"]
    assert not await run_unit(Conversation.objects.exists)
    await run_unit(chat_import.agree_to_import, owner, job.pk)
    await run_unit(chat_import.agree_to_import, owner, job.pk)  # a double click
    await work(in_state(job, "done"))
    job = await run_unit(ChatImport.objects.get, pk=job.pk)
    assert (job.taken, job.known, job.unreadable) == (1, 0, 2)
    assert files_in(storage) == [], "the file is deleted"
    chat = await run_unit(Conversation.objects.get)
    assert (chat.owner_id, chat.title, chat.deleted_at) == (owner.pk, "A poem", None)
    assert chat.imported_from == "claude"
    assert chat.seen_revision == chat.revision > 0 and chat.last_position == 2
    for words in ("poem", "roses"):
        found = await run_unit(search, owner, words)
        assert [one.conversation.pk for one in found.chats] == [chat.pk], f"found by {words}"


async def test_projects_of_claude_become_folders_with_instructions_and_files(
    owner: User, tmp_path: Path
) -> None:
    projects = [
        CLAUDE_PROJECTS[0],
        {
            **CLAUDE_PROJECTS[0],
            "uuid": "other",
            "prompt_template": "Another one",
            "docs": [{"content": "New"}],
        },
    ]
    zipped = as_zip(
        tmp_path / "zip", conversations__json=json.dumps(CLAUDE), projects__json=json.dumps(projects)
    ).read_bytes()
    job = await run_unit(start, owner, zipped)
    await work(in_state(job, "ready"))
    job = await run_unit(ChatImport.objects.get, pk=job.pk)
    assert (job.chats, job.extras) == (1, {"folder": 2, "document": 3})
    assert job.left_out.items() >= {DESCRIPTIONS: 2, DOCUMENTS: 3, UNLINKED: 2}.items()
    assert not await run_unit(Folder.objects.exists)
    await run_unit(chat_import.agree_to_import, owner, job.pk)
    await work(in_state(job, "done"))
    job = await run_unit(ChatImport.objects.get, pk=job.pk)
    assert (job.taken, job.extras) == (1, {"folder": 1, "document": 2})
    assert job.left_out.items() >= {FOLDERS: 1, KNOWN_DOCUMENTS: 1, UNLINKED: 2}.items()

    def check() -> None:
        folder = Folder.objects.get()
        assert (folder.owner, folder.name) == (owner, "Garden\ufffd work")
        assert folder.instructions == "Answer as a gardener."
        while read_next(set()):
            pass
        files = {it.attachment.name: it for it in folder.knowledge.all()}
        assert set(files) == {"roses.md", "soil.pdf.txt"}, "no name becomes a path"
        assert all(it.state == "ready" for it in files.values())
        stored = files["roses.md"].attachment.stored
        assert stored and store.read(stored.path).decode() == "# Roses\n\ufffdRed."
        assert Conversation.objects.get().folder is None

    await run_unit(check)
    again = await read_and_take(owner, zipped)
    assert (again.taken, again.extras) == (0, {})
    assert again.left_out.items() >= {FOLDERS: 1, KNOWN_DOCUMENTS: 1}.items(), "only of the second project"
    assert await run_unit(Attachment.objects.count) == 2


async def test_documents_above_the_space_of_their_owner_are_counted(owner: User, tmp_path: Path) -> None:
    await run_unit(ServerSettings(file_mb=1, person_files_mb=1).save)
    docs = [{"filename": "large.txt", "content": "x" * 2_000_000}, {"filename": "a.txt", "content": "Text"}]
    done = await read_and_take(owner, [{**CLAUDE_PROJECTS[0], "docs": docs}])
    assert (done.extras, done.left_out[DOCUMENTS]) == ({"folder": 1, "document": 1}, 1)


@pytest.mark.parametrize("is_sudden", [False, True])
async def test_documents_without_a_folder_are_counted_and_not_kept(
    owner: User, monkeypatch: pytest.MonkeyPatch, is_sudden: bool
) -> None:
    monkeypatch.setattr("chat.actions.folder.MOST", 1)
    if is_sudden:  # the owner makes a folder after the check
        monkeypatch.setattr(import_attachments, "may_make_folder", lambda user: True)
    docs = [{"filename": f"{name}.txt", "content": name} for name in "abc"]
    projects = [{"name": name, "prompt_template": "", "docs": docs} for name in ("One", "Two")]
    projects[1]["docs"] = [{"filename": f"{name}.txt", "content": name} for name in "de"]
    done = await read_and_take(owner, projects)
    assert done.extras == {"folder": 1, "document": 3}
    assert (done.left_out[TOO_MANY], done.left_out[DOCUMENTS]) == (1, 2)

    def check() -> None:
        assert {it.name for it in Attachment.objects.all()} == {"a.txt", "b.txt", "c.txt"}
        assert not Attachment.objects.filter(knowledge=None).exists()
        assert StoredFile.objects.count() == 3

    await run_unit(check)


async def test_documents_that_the_folder_refuses_are_counted_and_not_kept(
    owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat.actions.knowledge.MOST", 2)
    docs = [{"filename": f"{name}.txt", "content": name} for name in "abc"]
    done = await read_and_take(owner, [{"name": "One", "prompt_template": "", "docs": docs}])
    assert (done.extras, done.left_out[DOCUMENTS]) == ({"folder": 1, "document": 2}, 1)

    def check() -> None:
        assert Attachment.objects.count() == 2 == Attachment.objects.exclude(knowledge=None).count()

    await run_unit(check)


async def test_an_imported_chat_says_so_and_is_in_no_sum(owner: User, administrator: User) -> None:
    await read_and_take(owner, CLAUDE)
    chat = await run_unit(Conversation.objects.get)
    note = "Imported from a file of Claude."

    def check() -> None:
        now = timezone.now()
        Generation.objects.update(queued_at=now, finished_at=now)  # a chat of today
        assert not any(month.total.calls for month in months_of(owner, timezone.localtime()))
        assert not list(_ended_since(now - timedelta(days=1)))
        reply = Message.objects.get(role="assistant")
        Feedback.objects.update_or_create(message=reply, user=owner, defaults={"is_good": True})
        other = Message(
            role="assistant", conversation=chat, parent=reply.parent, position=3, added_revision=1, revision=1
        )
        Message.objects.bulk_create([other])
        Generation.objects.create(conversation=chat, message=other, model_label="Worse", status="complete")
        assert pairs_of_models() == []
        share = Share.objects.create(
            conversation=chat, title="A poem", audience="anyone", expires_at=now + timedelta(days=1)
        )
        share.messages.add(reply)
        ServerSettings(share_links="anyone").save()
        branch = branch_conversation(owner, reply.pk)
        for user, url in (
            (owner, reverse("conversation", args=[chat.pk])),
            (owner, reverse("conversation", args=[branch.pk])),
            (None, reverse("shared", args=[share.secret])),
            (administrator, f"/admin/chat/conversation/{chat.pk}/change/"),
        ):
            client = Client()
            if user:
                client.force_login(user)
            assert note in client.get(url).content.decode(), url

    await run_unit(check)


async def test_a_chat_that_has_grown_is_named_in_the_report(owner: User) -> None:
    await read_and_take(owner, CLAUDE)
    longer = copy.deepcopy(CLAUDE)
    prompt, reply = longer[0]["chat_messages"][-2:]
    longer[0]["chat_messages"] += [{**prompt, "uuid": "new-1"}, {**reply, "uuid": "new-2"}]
    job = await run_unit(start, owner, longer)
    await work(in_state(job, "ready"))
    job = await run_unit(ChatImport.objects.get, pk=job.pk)
    assert (job.known, job.left_out) == (1, {**job.left_out, GROWN: 1})
    await run_unit(chat_import.agree_to_import, owner, job.pk)
    await work(in_state(job, "done"))
    job = await run_unit(ChatImport.objects.get, pk=job.pk)
    assert (job.taken, job.left_out[GROWN]) == (0, 1)
    again = await read_and_take(owner, CLAUDE)
    assert GROWN not in again.left_out

    def continue_here() -> None:
        model = ChatModel.objects.create(
            endpoint=Endpoint.objects.create(slug="demo", name="Demo"), name="demo"
        )
        chat = Conversation.objects.get()
        send_message(owner, chat.pk, client_id=uuid4(), text="And then?", model_ids=[model.pk])

    await run_unit(continue_here)
    job = await run_unit(start, owner, longer)
    await work(in_state(job, "ready"))
    job = await run_unit(ChatImport.objects.get, pk=job.pk)
    assert (job.left_out.get(GROWN), job.left_out[CONTINUED]) == (None, 1), "deleting it would lose a prompt"
    await run_unit(chat_import.agree_to_import, owner, job.pk)
    await work(in_state(job, "done"))
    job = await run_unit(ChatImport.objects.get, pk=job.pk)
    assert (job.left_out.get(GROWN), job.left_out[CONTINUED]) == (None, 1)


async def test_files_of_chatgpt_are_read_from_its_zip(owner: User, tmp_path: Path) -> None:
    """The names are as public readers of such files find them; the module of the format has the forms."""
    chat = copy.deepcopy(CHATGPT[0])
    message = chat["mapping"]["u"]["message"]
    message["content"]["parts"].append(
        {"content_type": "image_asset_pointer", "asset_pointer": "sediment://file_00ab"}
    )
    message["metadata"] = {
        "attachments": [
            {"id": "file-1", "name": "photo.txt", "mime_type": "image/png"},  # the image in its content
            {"id": "file-Notes9", "name": "../notes.txt", "mime_type": "text/plain"},
            {"id": "file-gone", "name": "report.pdf", "mime_type": "application/pdf"},
            {"id": "file-bad", "name": "bad.txt", "mime_type": "text/plain"},
        ]
    }
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("conversations.json", json.dumps([chat]))
        archive.writestr("file-1-photo.txt", "a photo")
        archive.writestr("user-7/file_00ab-drawn.txt", "a drawing")
        archive.writestr("../../file-Notes9-notes.txt", "notes")
        archive.writestr("file-bad.txt", "this will be damaged")
    job = await read_and_take(owner, data.getvalue().replace(b"will be damaged", b"was all damaged"))
    assert (job.taken, job.left_out["files"], job.left_out.get("images", 0)) == (1, 2, 0)

    def check() -> None:
        prompt = Message.objects.get(role="user", shown=True, parent=None)
        assert [(file.name, file.size) for file in prompt.files] == [
            ("notes.txt", 5),
            ("photo.txt", 7),
            ("file_00ab-drawn.txt", 9),
        ]
        notices = [part.text for part in loaded(prompt.parts) if isinstance(part, NoticePart)]
        assert ["not in the imported file" in it for it in notices] == [True, False]

    await run_unit(check)


async def test_the_zip_file_is_opened_once_for_all_files_of_an_import(
    owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    chats = [copy.deepcopy(CHATGPT[0]) for _ in range(3)]
    for number, chat in enumerate(chats):
        chat["conversation_id"] = f"chat-{number}"
        attached = [{"id": f"file-{number}x{it}", "name": "a.txt", "mime_type": "text/plain"} for it in "ab"]
        chat["mapping"]["u"]["message"]["metadata"] = {"attachments": attached}
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("conversations.json", json.dumps(chats))
        for name in ("0xa", "0xb", "1xa", "1xb", "2xa"):
            archive.writestr(f"file-{name}-a.txt", name)
        archive.writestr("file-2xb-a.txt", "full disk")
    opened: list[None] = []
    read, receive = zipfile.ZipFile._RealGetContents, import_attachments.receive_file

    def count(self: zipfile.ZipFile) -> None:
        opened.append(None)
        read(self)

    def fail(user: User, pieces: Iterable[bytes], **more: Any) -> Attachment:
        if more["size"] == 9:
            raise StorageError("The disk is full.")
        return receive(user, pieces, **more)

    monkeypatch.setattr(zipfile.ZipFile, "_RealGetContents", count)
    monkeypatch.setattr(import_attachments, "receive_file", fail)
    job = await read_and_take(owner, data.getvalue())
    assert (job.taken, job.left_out["files"], len(opened)) == (3, 1, 1)

    def check() -> None:
        assert Attachment.objects.exclude(message=None).count() == 5
        texts = [
            part.text
            for it in Message.objects.all()
            for part in loaded(it.parts)
            if isinstance(part, NoticePart)
        ]
        assert sum("the server could not read or store it" in text for text in texts) == 1

    await run_unit(check)


async def test_the_second_time_nothing_is_doubled(owner: User) -> None:
    await read_and_take(owner, CHATGPT)
    again = await read_and_take(owner, CHATGPT + CHATGPT)
    assert (again.taken, again.known) == (0, 2)
    assert await run_unit(Conversation.objects.count) == 1
    chat = await run_unit(Conversation.objects.get)
    await run_unit(Conversation.objects.filter(pk=chat.pk).update, deleted_at=chat.created_at)
    assert (await read_and_take(owner, CHATGPT)).taken == 1, "a deleted chat can be imported again"


async def test_two_people_import_the_same_file(owner: User, make_user: Callable[..., User]) -> None:
    other = await run_unit(make_user, "other@example.org")
    await read_and_take(owner, OPEN_WEBUI)
    assert (await read_and_take(other, OPEN_WEBUI)).taken == 1
    assert await run_unit(Conversation.objects.count) == 2


async def test_imported_replies_cost_nothing_here(owner: User) -> None:
    await read_and_take(owner, OPEN_WEBUI)
    for reply in await run_unit(lambda: list(Generation.objects.all())):
        assert (reply.cost, reply.output_tokens, reply.model, reply.started_at) == (None, None, None, None)
        assert not reply.is_live


def long_chat(messages: int) -> Chat:
    nodes: list[Node] = []
    for number in range(messages):
        reply = Reply("m") if number % 2 else None
        nodes.append(Node(str(number), str(number - 1) if number else None, [], reply))
    return Chat("long", "Long", nodes, nodes[-1].id)


def test_a_chat_is_hidden_until_it_is_whole_and_another_process_finishes_it(owner: User) -> None:
    job = ChatImport.objects.create(owner=owner, format="chatgpt", state=ChatImport.State.RUNNING)
    assert import_task.claim_import() == job
    assert import_task.claim_import() is None, "one process at a time"
    chat = long_chat(import_chat.BATCH + 10)
    imported = import_chat.begin_chat(job, 0, chat, {})
    assert imported and import_chat.add_messages(job, imported)
    assert not Conversation.objects.kept().exists()
    import_task.release_import(job.pk)  # the process ends here
    found = import_task.claim_import()
    assert found is not None and found.next_line == 0
    imported = import_chat.begin_chat(found, 0, chat, {})
    assert imported is not None
    head = import_chat.head_of(chat, imported)
    while import_chat.add_messages(found, imported):
        pass
    import_chat.show_chat(found, 0, imported, head)
    assert Message.objects.count() == import_chat.BATCH + 10
    whole = Conversation.objects.kept().get()
    assert whole.head_id == head and whole.last_position == import_chat.BATCH + 10


def test_a_discarded_import_leaves_no_half_chat(owner: User, storage: Path) -> None:
    job = start(owner, [])
    ChatImport.objects.update(state="running", format="chatgpt")
    claimed = import_task.claim_import()
    assert claimed
    chat = long_chat(import_chat.BATCH + 10)
    imported = import_chat.begin_chat(claimed, 0, chat, {})
    assert imported and import_chat.add_messages(claimed, imported)
    chat_import.discard_import(owner, job.pk)
    with pytest.raises(import_task.ClaimLostError):
        import_chat.add_messages(claimed, imported)
    assert not Conversation.objects.exists() and not Message.objects.exists()
    assert files_in(storage) == []


async def test_a_message_keeps_so_many_searches_and_pages(owner: User) -> None:
    pages = [Citation(f"https://a.example/{number}", "A" * 1_000, 2**62) for number in range(300)]
    searches = [WebSearch(str(number), "q" * 1_000, "done") for number in range(60)]
    parts = [TextPart("So."), *pages, Citation("javascript:alert(1)"), *searches]
    nodes = [Node("1", None, [TextPart("?")], shown=True), Node("2", "1", parts, Reply("m"), shown=True)]
    chats = [steady.dump(Chat("c", "", nodes, head="2"))]
    job = await read_and_take(owner, {"format": steady.FORMAT, "version": 1, "chats": chats})
    assert job.state == ChatImport.State.DONE
    message = await Message.objects.aget(role="assistant")
    counts = Counter(item["type"] for item in message.parts)
    assert counts == {"text": 1, "citation": 200, "web_search": 50, "notice": 1}
    for item in message.parts:
        assert len(item.get("title", "")) <= 300 and len(item.get("query", "")) <= 500
        assert item.get("at", 0) <= 2_000_000


def test_one_import_at_a_time(owner: User, storage: Path) -> None:
    start(owner, [])
    with pytest.raises(ConflictError):
        start(owner, [])
    assert len(files_in(storage)) == 1


@pytest.mark.parametrize("data", [b"[" * 10_000, b"nothing", b'[{"mapping": {}}'])
async def test_a_file_that_cannot_be_read_says_so(owner: User, data: bytes, storage: Path) -> None:
    job = await run_unit(start, owner, data)
    await work(in_state(job, "failed"))
    job = await run_unit(ChatImport.objects.get, pk=job.pk)
    assert job.error.endswith(".")
    assert not await run_unit(Conversation.objects.exists)
    assert files_in(storage) == []


async def test_a_file_that_is_gone_says_so(owner: User) -> None:
    job = await run_unit(start, owner, [])
    await run_unit(ChatImport.objects.update, file="imports/none")
    await work(in_state(job, "failed"))


def test_the_page(owner: User, client: Client, make_user: Callable[..., User]) -> None:
    client.force_login(owner)
    page = client.get(reverse("transfer"))
    assert b"Import" in page.content and b"Export" in page.content
    file = io.BytesIO(json.dumps(CHATGPT).encode())
    file.name = "../../<b>x</b>.json"
    assert client.post(reverse("transfer"), {"file": file}).status_code == 302
    job = ChatImport.objects.get()
    html = client.get(reverse("transfer")).content.decode()
    assert "The file is being read." in html and "<b>x</b>" not in html and 'type="file"' not in html
    stranger = Client()
    stranger.force_login(make_user("other@example.org"))
    for method in ("post", "delete"):
        assert getattr(stranger, method)(reverse("one_import", args=[job.pk])).status_code == 404
    assert client.post(reverse("one_import", args=[job.pk])).status_code == 409, "it is not read yet"
    assert client.post(reverse("one_import", args=[job.pk]), {"_method": "delete"}).status_code == 302
    assert not ChatImport.objects.exists()
    assert client.post(reverse("transfer")).status_code == 400


def test_exports_contain_only_own_chats(owner: User, client: Client, make_user: Callable[..., User]) -> None:
    other = make_user("other@example.org")
    chats = {}
    for user in (owner, other):
        job = ChatImport.objects.create(owner=user, format="chatgpt", state=ChatImport.State.RUNNING)
        claimed = import_task.claim_import()
        assert claimed
        chat = long_chat(2)
        imported = import_chat.begin_chat(claimed, 0, chat, {})
        assert imported
        import_chat.add_messages(claimed, imported)
        import_chat.show_chat(claimed, 0, imported, None)
        import_task.end_import(job.pk)
        chats[user.pk] = str(imported.conversation.pk)
    client.force_login(owner)
    mine, theirs = chats[owner.pk], chats[other.pk]
    answer = client.post(reverse("export_chats"), {"chats": [mine, theirs], "format": "json"})
    whole = json.loads(read_all(answer))
    assert [chat["id"] for chat in whole["chats"]] == [mine]
    assert (whole["format"], whole["version"]) == (steady.FORMAT, steady.VERSION)
    assert client.get(reverse("export_chat", args=[theirs])).status_code == 404
    answer = client.get(reverse("export_chat", args=[mine]), {"format": "markdown"})
    assert answer["Content-Disposition"].endswith('Long.md"') and read_all(answer).startswith(b"# Long\n")
    assert client.get(reverse("export_chat", args=[mine]), {"format": "exe"}).status_code == 400


def read_all(answer: Any) -> bytes:
    async def pieces() -> bytes:
        return b"".join([piece async for piece in answer.streaming_content])

    return asyncio.run(pieces())


def test_a_large_file_is_uploaded_in_pieces(
    owner: User, client: Client, settings: Any, tmp_path: Path, storage: Path
) -> None:
    settings.CHAT_UPLOADS_DIR = tmp_path / "uploads"
    client.force_login(owner)
    data = json.dumps(CHATGPT).encode()
    half = len(data) // 2

    def send(offset: int, piece: bytes, size: int = len(data)) -> Any:
        headers = {"Upload-Offset": str(offset), "Upload-Length": str(size)}
        return client.patch(reverse("import_piece"), piece, headers=headers, content_type="application/x")

    assert send(0, b"something else").json() == {"received": 14}
    assert send(0, data[:half]).json() == {"received": half}, "a new upload begins anew"
    assert send(0, data[:half]).json() == {"received": half}
    assert send(half, data[half:]).json() == {"received": len(data)}
    assert send(0, b"x", size=chat_import.MOST_UPLOAD_BYTES + 1).status_code == 413
    assert client.post(reverse("transfer"), {"uploaded": "../x.json"}).status_code == 302
    job = ChatImport.objects.get()
    assert (storage / job.file).read_bytes() == data and job.name == "../x.json"
    assert send(0, data).status_code == 409, "one import at a time"
    assert files_in(tmp_path / "uploads") == []
    chat_import.discard_import(owner, job.pk)
    assert client.post(reverse("transfer"), {"uploaded": "x"}).status_code == 409, "nothing was uploaded"


async def test_files_are_exported_and_imported(
    owner: User, client: Client, make_user: Callable[..., User], settings: Any, tmp_path: Path
) -> None:
    settings.CHAT_UPLOADS_DIR = tmp_path / "uploads"
    notes = b"Roses are red.\n" * 1_000

    def sent() -> UUID:
        model = ChatModel.objects.create(
            name="demo", endpoint=Endpoint.objects.create(slug="demo", name="Demo")
        )
        file = receive_file(owner, [notes], name="notes.txt", size=len(notes))
        prompt = send_message(
            owner, uuid4(), client_id=uuid4(), text="Read.", model_ids=[model.pk], attachments=[file.pk]
        )
        Generation.objects.update(status="complete")
        return prompt.message.conversation_id

    chat_id = await run_unit(sent)
    name, pieces = await run_unit(export_one, owner, chat_id, "json")
    assert name.endswith(".zip")
    data = b"".join([piece async for piece in pieces])
    other = await run_unit(make_user, "other@example.org")
    job = await read_and_take(other, data)
    assert (job.taken, job.left_out) == (1, {})

    def theirs() -> bytes:
        prompt = Message.objects.get(conversation__owner=other, role="user")
        (part,) = prompt.files
        attachment = prompt.attachments.get(pk=part.id)
        assert (attachment.owner, attachment.name, part.size) == (other, "notes.txt", len(notes))
        assert attachment.stored
        return store.read(attachment.stored.path)

    assert await run_unit(theirs) == notes
    with zipfile.ZipFile(io.BytesIO(data)) as archive:  # the same without the file
        chats = archive.read("chats.json")
    damaged = bytearray(data)
    at = damaged.index(b"files/") + 150
    damaged[at : at + 50] = b"\xff" * 50
    fourth = await run_unit(make_user, "fourth@example.org")
    job = await read_and_take(fourth, bytes(damaged))
    assert job.state == "done", "a damaged file does not stop the others"
    third = await run_unit(make_user, "third@example.org")
    job = await read_and_take(third, chats)
    assert (job.taken, job.left_out) == (1, {"files": 1})
    prompt = await run_unit(Message.objects.get, conversation__owner=third, role="user")
    assert "not in the imported file" in str(prompt.parts) and not prompt.files
