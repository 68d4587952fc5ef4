"""Export files of other products become chats; unknown parts stay visible."""

from __future__ import annotations

from typing import Any

import pytest

from chat.actions import knowledge
from chat.models import folder as folder_model
from chat.parts import FilePart, NoticePart, Part, ReasoningPart, TextPart
from chat.transfer import chatgpt, claude, librechat, open_webui, steady
from chat.transfer.chats import (
    CODE,
    DESCRIPTIONS,
    DOCUMENTS,
    LONG_INSTRUCTIONS,
    SOURCES,
    UNNAMED_FOLDERS,
    Chat,
    RawMessage,
    UnreadableError,
    fenced,
    nodes_of,
    time_of,
)
from chat.transfer.markdown import Words, write
from tests.transfer.samples import CHATGPT, CLAUDE, CLAUDE_PROJECTS, LIBRECHAT, OPEN_WEBUI


def visible(parts: list[Part]) -> str:
    return "".join(part.text for part in parts if isinstance(part, TextPart))


def by_text(chat: Chat, text: str) -> Any:
    (node,) = [node for node in chat.nodes if text in visible(node.parts)]
    return node


def test_chatgpt() -> None:
    chat = chatgpt.load(CHATGPT[0])
    assert (chat.title, chat.pinned, chat.archived) == ("Weather in Köln", True, True)
    prompt, first, second = chat.nodes
    assert prompt.reply is None and prompt.text == "How is the weather?"
    assert prompt.parts[0] == FilePart("file-1", "image/png"), "it may be in the zip file"
    assert [first.parent, second.parent] == [prompt.id, prompt.id], "two answers to one prompt"
    assert first.reply and first.reply.model == "gpt-5-thinking"
    assert first.parts[0] == ReasoningPart("Looking\n\nI search.\n\n")
    assert "**python**\n\n````\nprint('```')\n````" in first.text
    assert "```\nrain\n```" in first.text
    assert first.text.endswith("It rains. ([DWD](https://dwd.example))")
    assert second.reply and second.reply.model == "gpt-5"
    assert second.text.startswith("Another answer.") and '"beam": "blue"' in second.text, "kept visible"
    assert [node.shown for node in chat.nodes] == [True, False, True]
    assert chat.left_out == {INSTRUCTIONS: 1, UNKNOWN: 1}
    assert "A secret" not in str(steady.dump(chat))


INSTRUCTIONS = "custom instructions and system prompts"
UNKNOWN = "parts of an unknown kind, kept as JSON"


def test_claude() -> None:
    chat = claude.load(CLAUDE[0])
    prompt, reply = chat.nodes
    assert prompt.text == "**notes.txt**\n\n```\nroses\n```\n\nWrite a poem."
    assert reply.parts[0] == ReasoningPart("About roses.")
    assert '"q": "roses"' in reply.text and "```\nred\n```" in reply.text and "Roses." in reply.text
    assert '"clay": 1' in reply.text
    assert chat.left_out == {"files": 1, UNKNOWN: 1}
    with pytest.raises(UnreadableError):
        claude.load(CLAUDE[1])


def test_a_project_of_claude_is_a_folder_with_documents() -> None:
    folder, left_out = claude.load_project(CLAUDE_PROJECTS[0])
    assert folder == {
        "type": "folder",
        "name": "Garden\ufffd work",
        "instructions": "Answer as a gardener.",
        "preset": "",
        "documents": [
            {"name": "../roses.md", "text": "# Roses\n\ufffdRed."},
            {"name": "soil.pdf.txt", "text": "Loam holds water."},
        ],
    }
    assert left_out == {DESCRIPTIONS: 1, DOCUMENTS: 3}, "one that is there twice, an empty one and a number"
    folder, left_out = claude.load_project(CLAUDE_PROJECTS[1])
    assert (folder["name"], folder["instructions"], folder["documents"], left_out) == ("Project", "", [], {})


def test_instructions_of_a_project_that_are_too_long_become_a_document() -> None:
    assert claude.MOST_NAME == folder_model.NAME_LENGTH
    assert claude.MOST_INSTRUCTIONS == folder_model.INSTRUCTIONS_LENGTH
    assert claude.MOST_DOCUMENTS == knowledge.MOST
    text = "x" * (claude.MOST_INSTRUCTIONS + 1)
    item = {"name": "n" * 300, "prompt_template": text, "docs": [{"content": "More"}]}
    folder, left_out = claude.load_project(item)
    assert folder["instructions"] == "" and len(folder["name"]) == claude.MOST_NAME
    assert [document["text"] for document in folder["documents"]] == [text, "More"]
    assert left_out == {LONG_INSTRUCTIONS: 1}


def test_a_project_has_so_many_documents_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    docs = [{"filename": f"{number}.txt", "content": f"Text {number}"} for number in range(60)]
    folder, left_out = claude.load_project({"name": "Large", "prompt_template": "", "docs": docs})
    assert (len(folder["documents"]), left_out) == (claude.MOST_DOCUMENTS, {DOCUMENTS: 10})
    monkeypatch.setattr(claude, "MOST_PROJECT_BYTES", 100)
    docs.insert(0, {"filename": "large.txt", "content": "x" * 101})
    folder, left_out = claude.load_project({"name": "Large", "prompt_template": "", "docs": docs})
    assert (len(folder["documents"]), left_out) == (3, {DOCUMENTS: 58})


def test_open_webui() -> None:
    chat = open_webui.load(OPEN_WEBUI[0])
    prompt, first, second = chat.nodes
    assert prompt.text == "Count to <details>3</details>.", "a person's own text stays as it is"
    assert first.reply and first.reply.model == "Model One" and first.rating and first.rating.is_good
    assert second.reply and second.reply.status == "interrupted" and second.shown and not first.shown
    assert second.parts[0] == ReasoningPart("Easy & quick.")
    assert "**count**" in second.text and '{"to": 3}' in second.text.replace("\\", "")
    assert "```\n1, 2, 3\n```" in second.text and second.text.endswith("One, two, three.")
    assert chat.tags == ["counting"]
    assert chat.left_out == {INSTRUCTIONS: 1, SOURCES: 2, CODE: 1, UNNAMED_FOLDERS: 1}
    assert UNNAMED_FOLDERS not in open_webui.load({**OPEN_WEBUI[0], "folder_id": None}).left_out


def test_librechat() -> None:
    chat = librechat.load(LIBRECHAT)
    prompt, first, second = chat.nodes
    assert prompt.text == "The capital of France?"
    assert first.parts[0] == ReasoningPart("Paris, surely.") and first.text.endswith("Paris.")
    assert '{"country": "France"}' in first.text
    assert second.reply and second.reply.status == "interrupted" and second.reply.model == "tiny"
    assert first.shown and not second.shown, "the newest message with a time is the head"


def test_librechat_as_a_list() -> None:
    tree = LIBRECHAT["messagesTree"][0]
    flat = [{**tree, "children": None}, *({**child, "parentMessageId": "l1"} for child in tree["children"])]
    listed = {**LIBRECHAT, "messagesTree": None, "messages": flat}
    assert steady.dump(librechat.load(listed)) == steady.dump(librechat.load(LIBRECHAT))


def test_a_chat_that_begins_with_a_reply_has_a_prompt_above_it() -> None:
    nodes, _ = nodes_of([RawMessage("a", None, False, [TextPart("Hello!")])])
    assert [node.reply is None for node in nodes] == [True, False]
    assert nodes[1].parent == nodes[0].id and isinstance(nodes[0].parts[0], NoticePart)


def test_cycles_and_missing_parents_end() -> None:
    a, b = RawMessage("a", "b", True, [TextPart("A")]), RawMessage("b", "a", False, [TextPart("B")])
    assert nodes_of([a, b])[0] == [], "a cycle hangs on nothing"
    nodes, _ = nodes_of(
        [RawMessage("a", "gone", True, [TextPart("A")]), RawMessage("b", "b", True, [TextPart("B")])]
    )
    assert [node.id for node in nodes] == ["a", "b"]


def test_a_comb_of_branches_ends_at_the_limit() -> None:
    raws = [RawMessage("0", None, True, [TextPart("?")])]
    for number in range(1, 20_000):
        raws.append(RawMessage(str(number), str(number - 1), False, [TextPart("x" * 50)]))
        raws.append(RawMessage(f"{number}p", str(number), True, [TextPart("?")]))
    with pytest.raises(UnreadableError):
        nodes_of(raws)


@pytest.mark.parametrize(
    "value",
    ["", "soon", "9999-12-31T00:00:00Z", "1970-01-01", 1e300, -1, True, None, float("nan"), float("inf")],
)
def test_invalid_times_are_ignored(value: Any) -> None:
    assert time_of(value) is None


def test_a_fence_is_longer_than_any_inside() -> None:
    assert fenced("````").startswith("`````\n")


WORDS = Words(
    *("New chat", "You", "Reasoning", "Tool", "Result", "File", "Source", "page"),
    *("Searched the web", "Sources on the web", {"interrupted": "Interrupted"}),
)


def test_markdown() -> None:
    text = write(open_webui.load(OPEN_WEBUI[0]), WORDS)
    assert text.startswith(
        "# Numbers\n\n*2024-07-03 09:46 UTC*\n\n## You\n\nCount to <details>3</details>.\n\n## m2\n\n"
    )
    assert "> **Reasoning**\n>\n> Easy & quick." in text
    assert "1 2 3\n" not in text, "only what is shown"
    assert text.endswith("*Interrupted*\n")


@pytest.mark.parametrize("change", [
    {"messages": [{"id": "a", "role": "user", "parent": "z"}]},
    {"messages": [{"id": "a", "role": "user"}, {"id": "a", "role": "user"}]},
    {"messages": [{"id": "a", "role": "root"}]},
    {"messages": [{"id": "a", "role": "user", "parts": [{"type": "text", "text": 5}]}]},
    {"messages": []},
    {"messages": "many"},
    {"id": 5},
])  # fmt: skip
def test_a_damaged_chat_of_our_own_is_refused(change: dict[str, Any]) -> None:
    good = {"id": "c", "messages": [{"id": "a", "role": "user", "parts": []}]}
    assert steady.load(good).head == "a"
    with pytest.raises(UnreadableError):
        steady.load({**good, **change})


def test_a_part_of_a_later_release_stays_visible() -> None:
    message = {"id": "a", "role": "user", "parts": [{"type": "smell", "rose": 1}]}
    chat = steady.load({"id": "c", "messages": [message]})
    assert '"rose": 1' in chat.nodes[0].text and chat.left_out == {UNKNOWN: 1}
