"""Export and import give the same chat: what was exported, imported and exported again is equal."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat.actions import import_chat, import_task
from chat.actions.chat_export import chat_of
from chat.actions.tag import readable_tags
from chat.models import ChatImport, Conversation, User
from chat.parts import Citation, NoticePart, Part, ReasoningPart, TextPart, ToolCall, ToolResult, WebSearch
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


@st.composite
def chats(draw: st.DrawFn) -> Chat:
    nodes: list[Node] = []
    for number in range(draw(st.integers(1, 12))):
        above = draw(st.sampled_from([None, *nodes])) if nodes else None
        node = Node(
            id=f"n{number}",
            parent=above.id if above else None,
            parts=draw(st.lists(PARTS, max_size=3)),
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


def take(user: User, chat: Chat) -> Conversation:
    job = ChatImport.objects.create(owner=user, format="steady", state=ChatImport.State.RUNNING)
    assert import_task.claim_import() == job
    imported = import_chat.begin_chat(job, 0, chat, {})
    assert imported is not None
    head = import_chat.head_of(chat, imported)
    while import_chat.add_messages(job, imported):
        pass
    import_chat.show_chat(job, 0, imported, head)
    import_task.end_import(job.pk)
    return Conversation.objects.get(pk=imported.conversation.pk)


def through_a_file(chat: Chat) -> Chat:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chats.json"
        whole = {"format": steady.FORMAT, "version": steady.VERSION, "chats": [steady.dump(chat)]}
        path.write_text(json.dumps(whole))
        out = io.BytesIO()
        reader.write(path, out)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    (item,) = [line["chat"] for line in lines if "chat" in line]
    return steady.load(item)


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


@given(chat=chats())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_exported_and_imported_is_the_same_chat(chat: Chat, make_user: Callable[..., User]) -> None:
    user = User.objects.filter(email="owner@example.org").first() or make_user("owner@example.org")
    Conversation.objects.all().delete()
    once = chat_of(take(user, through_a_file(chat)))
    assert plain(once) == plain(chat)
    other = User.objects.filter(email="other@example.org").first() or make_user("other@example.org")
    twice = chat_of(take(other, through_a_file(once)))
    assert plain(twice) == plain(chat)
