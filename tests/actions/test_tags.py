"""Tags and the actions on several chats at once: their owner's, whole or not at all."""

from __future__ import annotations

import uuid

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from chat.access import NotFoundError
from chat.actions import selection
from chat.actions.erasure import erase_conversations
from chat.actions.errors import InvalidInputError, TooLongError
from chat.actions.tag import tag_conversation, tag_names, untag_conversation
from chat.models import Conversation, Folder, Tag, User
from chat.models.tag import MOST_TAGS
from chat.search import search
from chat.search.index import index_title

pytestmark = pytest.mark.django_db


def chat_of(owner: User, title: str) -> Conversation:
    chat = Conversation(owner=owner, title=title, last_position=1, revision=1)
    chat.save()
    index_title(chat, is_new=True)
    chat.save()
    return chat


def tags_of(chat: Conversation) -> list[str]:
    return [tag.name for tag in chat.tags.all()]


def found(user: User, query: str) -> set[str]:
    return {it.conversation.title for it in search(user, query).chats}


def test_a_tag_is_added_once_found_and_removed(person: User, administrator: User) -> None:
    plan, list_, theirs = chat_of(person, "Plan"), chat_of(person, "List"), chat_of(administrator, "Plan B")
    for name in ("Crème  brûlée", "creme BRULEE", "urgent"):
        tag_conversation(person, plan.pk, name)
    tag_conversation(person, list_.pk, "urgently")
    tag_conversation(person, list_.pk, "🔥")
    tag_conversation(administrator, theirs.pk, "urgent")
    assert tags_of(plan) == ["Crème brûlée", "urgent"]
    assert tag_names(person)[0] in {"urgent", "urgently", "Crème brûlée", "🔥"}
    assert found(person, 'tag:"creme brulee"') == {"Plan"}
    assert found(person, "tag:urg") == {"Plan", "List"}
    assert found(person, 'tag:"urgent"') == {"Plan"}
    assert found(person, "tag:urgent tag:creme plan") == {"Plan"}
    assert found(person, "tag:🔥") == {"List"}
    assert found(person, "tag:nothing") == found(person, 'tag:"\x00"') == set()
    assert search(person, " ".join(f"tag:{number}" for number in range(99))).notes
    assert search(person, "tag:urg").chats[0].conversation.tags.all()
    untag_conversation(person, plan.pk, "URGENT")
    assert found(person, 'tag:"urgent"') == set()
    for change in (tag_conversation, untag_conversation):
        with pytest.raises(NotFoundError):
            change(person, theirs.pk, "mine")


def test_the_menu_asks_for_the_tags_that_another_page_has_changed(person: User, client: Client) -> None:
    chat = chat_of(person, "Plan")
    client.force_login(person)
    to = reverse("conversation_tags", args=[chat.pk])
    assert f'hx-get="{to}"' in client.get(reverse("conversation", args=[chat.pk])).content.decode()
    tag_conversation(person, chat.pk, "urgent")
    shown = client.get(to, headers={"HX-Request": "true"}).content.decode()
    assert 'value="urgent"' in shown and "outerMorph" in shown


def test_the_search_for_a_tag_reads_no_tags_of_other_chats(person: User) -> None:
    tag_conversation(person, chat_of(person, "Plan").pk, "urgent")
    with CaptureQueriesContext(connection) as asked:
        assert found(person, "tag:urgent plan") == {"Plan"}
    found_by = [
        each["sql"] for each in asked if "chat_searchentry" in each["sql"] and "chat_tag" in each["sql"]
    ]
    assert found_by and all("t.conversation_id = c.id" in sql for sql in found_by)


def test_tags_have_limits(person: User) -> None:
    chat = chat_of(person, "Plan")
    for name, error in (("", InvalidInputError), (' "" ', InvalidInputError), ("x" * 41, TooLongError)):
        with pytest.raises(error):
            tag_conversation(person, chat.pk, name)
    for number in range(MOST_TAGS):
        tag_conversation(person, chat.pk, f"tag {number}")
    with pytest.raises(TooLongError):
        tag_conversation(person, chat.pk, "one more")
    tag_conversation(person, chat.pk, "Tag 3")
    assert len(tags_of(chat)) == MOST_TAGS
    with pytest.raises(TooLongError):
        selection.tag_conversations(person, [chat.pk, chat_of(person, "Other").pk], "one more")
    assert not Tag.objects.filter(name="one more").exists(), "none is changed"


def test_tags_are_deleted_with_their_chat(person: User, administrator: User) -> None:
    erased, kept = chat_of(person, "Erased"), chat_of(person, "Kept")
    for chat in (erased, kept):
        tag_conversation(person, chat.pk, "secret")
    erase_conversations([erased.pk], by=administrator)
    assert set(Tag.objects.values_list("conversation", flat=True)) == {kept.pk}
    person.delete()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM chat_tag")
        assert cursor.fetchone() == (0,)


def test_many_chats_change_together(person: User, administrator: User) -> None:
    mine = [chat_of(person, name) for name in "abc"]
    theirs, other = chat_of(administrator, "theirs"), chat_of(person, "other")
    chosen = [*(chat.pk for chat in mine), theirs.pk, uuid.uuid4()]
    folder = Folder.objects.create(owner=person, name="Work")
    assert selection.archive_conversations(person, chosen, archived=True) == 3
    assert selection.tag_conversations(person, chosen, "Work") == 3
    assert selection.move_conversations(person, chosen, folder.pk) == 3
    for chat in (*mine, theirs, other):
        chat.refresh_from_db()
        assert (
            bool(chat.archived_at) == (chat.folder == folder) == (tags_of(chat) == ["Work"]) == (chat in mine)
        )
    assert selection.untag_conversations(person, chosen, "work") == 3
    assert selection.move_conversations(person, chosen, None) == 3
    assert selection.archive_conversations(person, chosen, archived=False) == 3
    deleted = selection.delete_conversations(person, chosen)
    assert set(deleted) == {chat.pk for chat in mine}
    assert set(Conversation.objects.kept()) == {theirs, other}
    with pytest.raises(NotFoundError):
        selection.delete_conversations(person, deleted)
    with pytest.raises(NotFoundError):
        selection.restore_conversations(administrator, deleted)
    assert selection.restore_conversations(person, [*deleted, other.pk]) == 3
    assert Conversation.objects.kept().count() == 5


def test_a_selection_has_limits_and_a_folder_of_its_owner(person: User, administrator: User) -> None:
    chat = chat_of(person, "Plan")
    theirs = Folder.objects.create(owner=administrator, name="Theirs")
    with pytest.raises(NotFoundError):
        selection.move_conversations(person, [chat.pk], theirs.pk)
    for ids in ([], [uuid.uuid4() for _ in range(selection.MOST + 1)]):
        with pytest.raises(InvalidInputError):
            selection.delete_conversations(person, ids)
