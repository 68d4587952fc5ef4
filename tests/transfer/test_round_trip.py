"""Export and import give the same chat: what was exported, imported and exported again is equal."""

from __future__ import annotations

import asyncio
import io
import json
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from chat.actions import import_attachments, import_chat, import_task
from chat.actions.chat_export import chat_of, export_one
from chat.actions.tag import readable_tags
from chat.files import store
from chat.files.detect import media_type_of
from chat.models import ChatImport, Conversation, User
from chat.models.attachment import NAME_LENGTH
from chat.parts import (
    Citation,
    FilePart,
    NoticePart,
    Part,
    ReasoningPart,
    TextPart,
    ToolCall,
    ToolResult,
    WebSearch,
)
from chat.search.query import tag_key
from chat.transfer import reader, steady
from chat.transfer.chats import Chat, Node, Rating, Reply, UsedPreset, show_path

pytestmark = pytest.mark.django_db(transaction=True)

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30)
WORD = st.text("abc é漢", min_size=1, max_size=10).map(lambda text: " ".join(text.split())).filter(bool)
START = datetime(2024, 2, 29, 12, tzinfo=UTC)
PARTS: st.SearchStrategy[Part] = st.one_of(
    st.builds(TextPart, TEXT),
    st.builds(ReasoningPart, TEXT),
    st.builds(ToolCall, WORD, WORD, TEXT),
    st.builds(ToolResult, WORD, TEXT, st.booleans()),
    st.builds(NoticePart, TEXT),
    st.builds(WebSearch, WORD, WORD, st.sampled_from(["done", "failed"]), st.sampled_from(["", "google"])),
    st.builds(Citation, st.just("https://example.org/a"), WORD),
)


def png(colour: str) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (3, 2), colour).save(data, "PNG")
    return data.getvalue()


# Some are in several chats: each content is stored once.
CONTENTS = {
    sha256(data).hexdigest(): data
    for data in (b"Notes", "Größe: 漢\r\n".encode(), b'{"a": 1}', b"\x00\x01", png("teal"), png("red"))
}
ENDINGS = ["", ".txt", ".md", ".json", ".png", ".tar.gz"]
NAMES = st.one_of(
    st.builds(str.__add__, WORD, st.sampled_from(ENDINGS)), st.just("n" * (NAME_LENGTH - 4) + ".txt")
)


@st.composite
def files(draw: st.DrawFn) -> FilePart:
    hashed, data = draw(st.sampled_from(sorted(CONTENTS.items())))
    name = draw(NAMES)
    return FilePart(hashed, media_type_of(data, name), name, size=len(data))


@st.composite
def chats(draw: st.DrawFn) -> Chat:
    nodes: list[Node] = []
    for number in range(draw(st.integers(1, 12))):
        above = draw(st.sampled_from([None, *nodes])) if nodes else None
        node = Node(
            id=f"n{number}",
            parent=above.id if above else None,
            parts=draw(st.lists(st.one_of(PARTS, files()), max_size=3)),
            at=START + timedelta(seconds=number),
        )
        if above is not None and above.reply is None:
            batch = draw(st.sampled_from(["", f"b{above.id}", f"c{above.id}"]))
            status = draw(st.sampled_from(sorted(steady.STATUSES)))
            node.reply = Reply(draw(WORD), status, batch, draw(WORD))
            if draw(st.booleans()):
                good = draw(st.booleans())
                node.rating = Rating(good, "" if good else "style", draw(WORD))
        nodes.append(node)
    head = draw(st.sampled_from(nodes)).id
    chat = Chat("source", draw(WORD), nodes, head, START, START)
    chat.pinned, chat.archived, chat.uses_instructions = (draw(st.booleans()) for _ in range(3))
    chat.folder = draw(st.one_of(st.just(""), WORD))
    values = st.dictionaries(WORD, TEXT, max_size=2)
    numbers = st.integers(1, 2**31 - 1)
    chat.preset = draw(st.one_of(st.none(), st.builds(UsedPreset, WORD, numbers, TEXT, values)))
    chat.parameters = draw(st.sampled_from([{}, {"temperature": 0.5}, {"reasoning_effort": "low"}]))
    chat.tags = readable_tags(draw(st.lists(WORD, max_size=3)))
    chat.tags.sort(key=tag_key)
    show_path(chat)
    answered = {node.parent for node in nodes if node.shown and node.reply}
    for node in nodes:
        if node.reply and node.parent in answered and draw(st.booleans()):
            node.shown = True
    return chat


def take(user: User, data: bytes) -> Conversation:
    """Imports the only chat of the file."""
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "file", io.BytesIO()
        path.write_bytes(data)
        reader.write(path, out)
        lines = [json.loads(line) for line in out.getvalue().splitlines()]
        (line,) = [line for line in lines if "chat" in line]
        assert line["left_out"] == {}
        chat = steady.load(line["chat"])
        job = ChatImport.objects.create(owner=user, format="steady", state=ChatImport.State.RUNNING)
        assert import_task.claim_import() == job
        with closing(reader.PackedFiles(path)) as packed:
            assert +import_attachments.receive_files(job, packed, chat) == {}
    imported = import_chat.begin_chat(job, 0, chat, {})
    assert imported is not None
    head = import_chat.head_of(chat, imported)
    while import_chat.add_messages(job, imported):
        pass
    import_chat.show_chat(job, 0, imported, head)
    import_task.end_import(job.pk)
    return Conversation.objects.get(pk=imported.conversation.pk)


def file_of(chat: Chat) -> bytes:
    """A file with the chat, and the files that it has."""
    whole = {"format": steady.FORMAT, "version": steady.VERSION, "chats": [steady.dump(chat)]}
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("chats.json", json.dumps(whole))
        for hashed in {file.sha256 for file in chat.files()}:
            archive.writestr(f"files/{hashed}", CONTENTS[hashed])
    return data.getvalue()


def exported(conversation: Conversation) -> bytes:
    _name, pieces = export_one(conversation.owner, conversation.pk, "json")

    async def joined() -> bytes:
        return b"".join([piece async for piece in pieces])

    return asyncio.run(joined())


def contents(conversation: Conversation) -> list[bytes]:
    """The contents of the chat's files, in their order."""
    found = []
    for message in conversation.messages.order_by("position"):
        theirs = {str(it.pk): it.stored for it in message.attachments.select_related("stored")}
        assert len(theirs) == len(message.files)
        found += [store.read(theirs[part.id].path) for part in message.files]
    return found


def plain(chat: Chat) -> dict[str, Any]:
    """The chat with its ids replaced by numbers: they are new in each database."""
    numbers = {node.id: number for number, node in enumerate(chat.nodes)}
    batches: dict[str, int] = {"": 0}
    item = steady.dump(chat)
    item["id"], item["head"] = "", numbers[chat.head or ""]
    for message in item["messages"]:
        message["id"], message["parent"] = numbers[message["id"]], numbers.get(message["parent"])
        if reply := message.get("reply"):
            reply["batch"] = batches.setdefault(reply["batch"], len(batches))
    return item


@pytest.fixture
def uploads(tmp_path: Path, settings: Any) -> None:
    settings.CHAT_UPLOADS_DIR = tmp_path / "uploads"


@pytest.mark.usefixtures("uploads")
@given(chat=chats())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_exported_and_imported_is_the_same_chat(chat: Chat, make_user: Callable[..., User]) -> None:
    user = User.objects.filter(email="owner@example.org").first() or make_user("owner@example.org")
    Conversation.objects.all().delete()
    once = take(user, file_of(chat))
    assert plain(chat_of(once)) == plain(chat)
    assert contents(once) == [CONTENTS[file.sha256] for file in chat.files()]
    other = User.objects.filter(email="other@example.org").first() or make_user("other@example.org")
    twice = take(other, exported(once))
    assert plain(chat_of(twice)) == plain(chat)
    assert contents(twice) == contents(once)
