"""Selecting chats in the list, with and without scripts."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from chat.models import Conversation, Folder, User

pytestmark = pytest.mark.django_db

LIST, SELECTION = reverse("conversations"), reverse("selection")
HTMX = {"HX-Request": "true"}


def chats_of(owner: User, *titles: str) -> list[Conversation]:
    rows = Conversation.objects
    return [rows.create(owner=owner, title=title, last_position=1, revision=1) for title in titles]


def listed(client: Client, **part: str) -> str:
    return client.get(LIST, part).content.decode()


def test_without_scripts_each_part_of_the_list_has_its_actions(person: User, client: Client) -> None:
    apples, pears = chats_of(person, "Apples", "Pears", "Plums")[:2]
    Folder.objects.create(owner=person, name="Fruit")
    client.force_login(person)
    page = listed(client, select="1")
    assert page.count('name="chats"') == 3
    assert all(f'value="{action}"' in page for action in ("archive", "delete", "tag", "untag", "move"))
    client.post(SELECTION, {"chats": [apples.pk, pears.pk], "action": "archive"})
    assert "Apples" not in listed(client)
    page = listed(client, select="1", archived="1")
    assert page.count('name="chats"') == 2
    assert 'value="unarchive"' in page
    answer = client.post(
        SELECTION, {"chats": [apples.pk], "action": "delete", "part": "&archived=1&select=1"}
    )
    assert answer["Location"] == f"{LIST}?archived=1"
    page = listed(client, select="1", deleted="1")
    assert 'value="restore"' in page
    assert 'value="delete"' not in page
    client.post(SELECTION, {"chats": [apples.pk], "action": "restore", "part": "&deleted=1&select=1"})
    assert "Apples" in listed(client, archived="1")


def test_one_undo_restores_what_was_deleted_together(person: User, client: Client) -> None:
    chats = chats_of(person, "Apples", "Pears", "Plums")
    client.force_login(person)
    ids = ",".join(str(chat.pk) for chat in chats[:2])
    answer = client.post(SELECTION, {"chats": ids, "action": "delete"}, headers=HTMX).content.decode()
    assert "2 chats deleted." in answer
    assert "Plums" in answer
    assert reverse("selection_restoration") in answer
    chosen = answer.partition('name="chats" value="')[2].partition('"')[0]
    assert set(chosen.split(",")) == set(ids.split(","))
    answer = client.post(reverse("selection_restoration"), {"chats": chosen}, headers=HTMX).content.decode()
    assert "2 chats restored." in answer
    assert Conversation.objects.kept().count() == 3


def test_selected_chats_are_moved_to_a_new_folder(person: User, client: Client) -> None:
    client.force_login(person)
    tea, milk = chats_of(person, "Tea", "Milk")
    page = reverse("conversation", args=[tea.pk])
    here = {"HX-Request": "true", "HX-Current-URL": f"http://testserver{page}"}
    values = {"action": "move-to-new", "new_folder": "Shopping", "chats": f"{tea.pk},{milk.pk}"}
    answer = client.post(reverse("selection"), values, headers=here)
    assert answer.status_code == 200
    assert 'hx-target="#conversation-folder"' in answer.content.decode()
    folder = Folder.objects.get(owner=person, name="Shopping")
    assert set(folder.conversations.values_list("pk", flat=True)) == {tea.pk, milk.pk}
    values = {"action": "move-to-new", "new_folder": "Other", "chats": str(uuid4())}
    assert client.post(reverse("selection"), values).status_code == 404
    assert Folder.objects.count() == 1, "there is no folder without chats"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"action": "delete"}, 400),
        ({"action": "delete", "chats": "x"}, 400),
        ({"action": "explode"}, 400),
        ({"action": "move", "folder": "x"}, 400),
        ({"action": "move", "folder": "00000000-0000-0000-0000-000000000000"}, 404),
        ({"action": "tag", "tag": ""}, 400),
        ({"action": "restore"}, 404),
    ],
)
def test_what_cannot_be_done_changes_nothing(
    fields: dict[str, str], status: int, person: User, client: Client
) -> None:
    (chat,) = chats_of(person, "Apples")
    client.force_login(person)
    named = {} if fields == {"action": "delete"} else {"chats": str(chat.pk)}
    assert client.post(SELECTION, named | fields, headers=HTMX).status_code == status
    assert Conversation.objects.kept().get() == chat


def test_tags_are_shown_and_kept_in_the_list(person: User, client: Client) -> None:
    (chat,) = chats_of(person, "Apples")
    client.force_login(person)
    here = {**HTMX, "HX-Current-URL": f"http://testserver{reverse('conversation', args=[chat.pk])}"}
    url = reverse("conversation_tags", args=[chat.pk])
    stamp = client.get(LIST, headers=HTMX).context["stamp"]
    answer = client.post(url, {"name": 'Fruit <b>"'}, headers=here).content.decode()
    assert '<option value="Fruit &lt;b&gt;">' in answer
    assert f'id="tags-{chat.pk}"' in answer
    again = client.get(LIST, {"stamp": stamp}, headers=HTMX)
    assert "Fruit &lt;b&gt;" in again.content.decode(), "other tabs receive it"
    answer = client.post(url, {"name": "fruit <B>", "_method": "delete"}, headers=here).content.decode()
    assert "Fruit" not in answer


def test_selecting_begins_beside_the_first_heading_also_if_all_chats_are_in_folders(
    person: User, client: Client
) -> None:
    chats_of(person, "Apples")
    client.force_login(person)
    page = client.get(LIST, headers=HTMX).content.decode()
    assert re.search(r'Today</h2>\s*<a\s+id="select-chats"', page)
    assert page.count('id="select-chats"') == 1
    Conversation.objects.update(folder=Folder.objects.create(owner=person, name="Fruit"))
    assert client.get(LIST, headers=HTMX).content.decode().count('id="select-chats"') == 1
