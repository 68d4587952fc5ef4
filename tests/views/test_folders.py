"""Folders: their chats in the list, their instructions and preset, and what happens when they are deleted."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from chat.access import NotFoundError
from chat.actions.folder import begin_in_folder, change_folder, delete_folder, make_folder, move_conversation
from chat.actions.preset import MOST_STARTS, PresetContent, make_preset
from chat.actions.selection import move_conversations
from chat.actions.send import send_message
from chat.generation.instructions import instructions_for
from chat.models import ChatModel, ChatStart, Conversation, Endpoint, Folder, Generation, Status, User
from chat.views import sidebar
from chat.views.sidebar import IN_FOLDER, list_context

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def model(db: None) -> ChatModel:
    endpoint = Endpoint.objects.create(slug="demo", name="Demo")
    return ChatModel.objects.create(endpoint=endpoint, name="demo")


@pytest.fixture
def browser(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def say(user: User, chat: UUID, model: ChatModel, text: str = "Hello") -> Conversation:
    sent = send_message(user, chat, client_id=uuid4(), text=text, model_ids=[model.pk])
    Generation.objects.filter(message__parent=sent.message).update(status=Status.COMPLETE)
    return Conversation.objects.get(pk=chat)


def test_a_chat_begins_in_a_folder_with_its_preset_and_instructions(
    browser: Client, person: User, model: ChatModel
) -> None:
    browser.post(reverse("folders"), {"name": " Work  papers "})
    folder = Folder.objects.get()
    assert folder.name == "Work papers"
    preset = make_preset(person, PresetContent("Poet", "Write verses."))
    url = reverse("folder", args=[folder.pk])
    browser.post(url, {"name": "Work", "instructions": "We sell tea.", "preset": preset.pk})
    page = browser.post(reverse("folder_chats", args=[folder.pk]))["Location"]
    assert "Preset Poet, version 1" in browser.get(page).content.decode()
    conversation = say(person, UUID(page.split("/")[2]), model, "In the folder")
    assert conversation.folder == folder
    found = [tuple(each) for each in instructions_for(conversation, model)]
    assert found == [("preset", "Write verses."), ("folder", "We sell tea.")]
    assert "In the folder" in browser.get(url).content.decode()
    again = make_preset(person, PresetContent("Asks", "Write to {{whom}}."))
    change_folder(person, folder.pk, name="Work", instructions="", preset_id=again.pk)
    asked = browser.post(reverse("folder_chats", args=[folder.pk]))["Location"]
    assert "whom" in browser.get(asked).content.decode()
    chat = UUID(asked.split("/")[2])
    browser.post(reverse("preset_choice", args=[chat]), {"preset": again.pk, "value-whom": "Eve"})
    conversation = say(person, chat, model)
    assert conversation.folder == folder
    assert [tuple(each) for each in instructions_for(conversation, model)] == [("preset", "Write to Eve.")]


def test_a_chat_names_its_folder_and_begins_without_a_preset_that_is_not_shared_any_more(
    browser: Client, person: User, make_user: Callable[..., User], model: ChatModel
) -> None:
    shared = make_preset(make_user("teammate@example.org"), PresetContent("Poet"))
    work = make_folder(person, "Work <b>papers</b>")
    Folder.objects.update(preset=shared)
    page = browser.post(reverse("folder_chats", args=[work.pk]))["Location"]
    shown = browser.get(page).content.decode()
    assert "not shared with you any more. The chat begins without it." in shown
    head = f'href="{reverse("folder", args=[work.pk])}"'
    assert head in shown.partition("</header>")[0].partition('class="chat-head"')[2]
    chat = say(person, UUID(page.split("/")[2]), model)
    shown = browser.get(page).content.decode().partition('class="chat-head"')[2].partition("</header>")[0]
    assert head in shown
    assert "Work &lt;b&gt;papers&lt;/b&gt;" in shown
    url = reverse("conversation_folder", args=[chat.pk])
    here = {"HX-Request": "true", "HX-Current-URL": f"http://testserver{page}"}
    answer = browser.post(url, {"name": "Home"}, headers=here).content.decode()
    assert "Home" in answer.partition('hx-target="#conversation-folder"')[2].partition("</hx-partial>")[0]


def test_a_moved_chat_is_listed_only_in_its_folder_and_the_list_is_refreshed(
    browser: Client, person: User, model: ChatModel
) -> None:
    folder = make_folder(person, "Work")
    chats = [say(person, uuid4(), model, f"Chat {number}") for number in range(IN_FOLDER + 2)]
    before = list_context(person, None)
    stamps = {before["stamp"]}
    htmx = {"HX-Request": "true"}
    for chat in chats[1:]:
        move = reverse("conversation_folder", args=[chat.pk])
        assert "Chat moved." in browser.post(move, {"folder": folder.pk}, headers=htmx).content.decode()
    context = list_context(person, None)
    stamps.add(context["stamp"])
    (group,) = context["folder_groups"]
    assert ([len(group.entries), group.has_more], len(stamps)) == ([IN_FOLDER, True], 2)
    listed = [entry.conversation for each in context["groups"] for entry in each.entries]
    assert listed == chats[:1]
    url = reverse("folder", args=[folder.pk])
    assert "Chat 1" not in browser.post(url, {"open": ""}, headers=htmx).content.decode()
    closed = list_context(person, None)
    assert (closed["folder_groups"][0].entries, closed["stamp"] in stamps) == ([], False)
    browser.post(reverse("conversation_folder", args=[chats[1].pk]), {"folder": ""})
    browser.post(reverse("conversation_folder", args=[chats[2].pk]), {"name": "New one"})
    assert Conversation.objects.get(pk=chats[1].pk).folder is None
    assert Conversation.objects.get(pk=chats[2].pk).folder == Folder.objects.get(name="New one")


def test_a_deleted_folder_keeps_its_chats_or_deletes_them_too(
    browser: Client, person: User, model: ChatModel
) -> None:
    for chats, is_kept in (("keep", True), ("delete", False)):
        folder = make_folder(person, "Work")
        chat = say(person, uuid4(), model)
        Generation.objects.filter(conversation=chat).update(status=Status.RUNNING)
        move_conversation(person, chat.pk, folder.pk)
        browser.post(reverse("folder", args=[folder.pk]), {"_method": "delete", "chats": chats})
        chat.refresh_from_db()
        stops = Generation.objects.get(conversation=chat).stop_requested
        assert (chat.folder, chat.deleted_at is None, stops) == (None, is_kept, not is_kept)
        assert not Folder.objects.exists()


def test_names_are_checked_and_belong_to_one_folder(browser: Client, person: User) -> None:
    make_folder(person, "Work")
    other = make_folder(person, "Home")
    for name, status in (("", 400), ("x" * 101, 413), ("Work", 409)):
        assert browser.post(reverse("folders"), {"name": name}).status_code == status
    url = reverse("folder", args=[other.pk])
    assert "already" in browser.post(url, {"name": "Work"}).content.decode()
    assert sorted(Folder.objects.values_list("name", flat=True)) == ["Home", "Work"]


def test_folders_chats_and_presets_of_others_are_not_found(
    person: User, make_user: Callable[..., User], model: ChatModel
) -> None:
    teammate = make_user("teammate@example.org")
    mine, theirs = make_folder(person, "Mine"), make_folder(teammate, "Theirs")
    chat = say(person, uuid4(), model)
    preset = make_preset(teammate, PresetContent("Secret", "Secret."))
    with pytest.raises(NotFoundError):
        move_conversation(person, chat.pk, theirs.pk)
    with pytest.raises(NotFoundError):
        move_conversation(teammate, chat.pk, theirs.pk)
    with pytest.raises(NotFoundError):
        change_folder(person, mine.pk, name="Mine", instructions="", preset_id=preset.pk)
    assert Conversation.objects.get(pk=chat.pk).folder is None


def test_a_change_locks_the_folder_and_the_chats_before_it_reads_their_replies(
    person: User, model: ChatModel
) -> None:
    folder, chat = make_folder(person, "Work"), say(person, uuid4(), model)
    lock = "FOR UPDATE" if connection.features.has_select_for_update else ""
    with CaptureQueriesContext(connection) as queries:
        move_conversations(person, [chat.pk], folder.pk)
    assert any('FROM "chat_folder"' in it["sql"] and it["sql"].endswith(lock) for it in queries)
    with CaptureQueriesContext(connection) as queries:
        delete_folder(person, folder.pk, with_chats=True)
    reads = [it["sql"] for it in queries if it["sql"].startswith("SELECT")]
    locked = next(
        n for n, sql in enumerate(reads) if 'FROM "chat_conversation"' in sql and sql.endswith(lock)
    )
    assert locked < next(n for n, sql in enumerate(reads) if 'FROM "chat_generation"' in sql)


def test_the_tags_of_the_chats_in_all_folders_are_read_at_once(person: User, model: ChatModel) -> None:
    counts = []
    for number in range(3):
        folder = make_folder(person, f"Folder {number}")
        move_conversation(person, say(person, uuid4(), model).pk, folder.pk)
        with CaptureQueriesContext(connection) as queries:
            list_context(person, None)
        counts.append(sum('FROM "chat_tag"' in it["sql"] for it in queries))
    assert counts == [1, 1, 1]


def test_only_the_newest_choices_for_chats_without_a_prompt_are_kept(person: User) -> None:
    folder = make_folder(person, "Work")
    begun = [begin_in_folder(person, folder.pk)[0] for _ in range(MOST_STARTS + 2)]
    kept = set(ChatStart.objects.values_list("conversation_id", flat=True))
    assert kept == set(begun[2:])


@pytest.mark.parametrize("kind", ["chats", "archive", "deleted", "folder"])
def test_older_chats_are_reached_beyond_the_longest_list(
    kind: str, person: User, browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sidebar, "MOST", 3)
    folder = make_folder(person, "Work") if kind == "folder" else None
    now = timezone.now()
    for number in range(8):
        at = now - timedelta(seconds=number // 2)  # two of each time
        Conversation.objects.create(
            owner=person,
            title=f"Chat {number}",
            updated_at=at,
            last_position=1,
            folder=folder,
            pinned_at=at if kind == "chats" and number > 3 else None,
            archived_at=now if kind == "archive" else None,
            deleted_at=at if kind == "deleted" else None,
        )
    url = folder and reverse("folder", args=[folder.pk])
    address = url or reverse("conversations")
    query = "?limit=3" + {"archive": "&archived=1", "deleted": "&deleted=1"}.get(kind, "")
    seen: list[str] = []
    for _page in range(3):
        page = browser.get(address + query).content.decode().partition("<main")[2]
        seen += re.findall(r"Chat \d(?=\s*<)", page)
        link = re.search(r'href="[^"?]*(\?[^"]*after=[^"]*)"', page)
        query = unescape(link[1]) if link else ""
    assert query == "", "the last page has no link"
    titles = list(dict.fromkeys(seen))
    assert len(titles) == 8 and len(seen) == len(titles) * seen.count(seen[0]), "each once"
    pinned = {f"Chat {number}" for number in range(4, 8)}
    assert kind != "chats" or set(titles[:4]) == pinned
