"""The command palette lists what the user may do and see, the last used first."""

from __future__ import annotations

import re
import uuid

import pytest
from django.test import Client
from django.urls import reverse

from chat.actions.conversation import rename_conversation
from chat.actions.folder import make_folder
from chat.actions.preset import PresetContent, make_preset
from chat.models import ChatModel, Conversation, Endpoint, Preferences, User
from chat.views import palette as palettes

pytestmark = pytest.mark.django_db

URL = reverse("palette")
HTMX = {"HX-Request": "true"}


def chat_of(owner: User, title: str) -> Conversation:
    chat = Conversation.objects.create(owner=owner, last_position=1, revision=1)
    return rename_conversation(owner, chat.pk, title)


def entries(client: Client, query: str = "", used: str = "") -> dict[str, list[str]]:
    """The names of the entries by section."""
    page = client.get(URL, {"q": query, "used": used}, headers=HTMX).content.decode()
    sections = page.split('role="group"')[1:]
    names = re.compile(r'class="palette-name">(.*?)</span>')
    return {re.findall(r'id="palette-(\w+)"', one)[0]: names.findall(one) for one in sections}


@pytest.fixture
def model(db: None) -> ChatModel:
    provider = Endpoint.objects.create(slug="demo", name="Demo")
    return ChatModel.objects.create(endpoint=provider, name="demo", display_name="Claude Sonnet 4")


def test_it_finds_chats_actions_models_and_pages(
    person: User, administrator: User, model: ChatModel, client: Client
) -> None:
    chat_of(person, "Crème brûlée")
    chat_of(administrator, "Creme of others")
    make_folder(person, "Recipes")
    make_folder(administrator, "Recipes of others")
    client.force_login(person)
    everything = entries(client)
    assert list(everything) == ["chats", "folders", "actions", "models", "settings"]
    assert everything["folders"] == ["Recipes", "Archive", "Deleted chats"]
    assert entries(client, "new fold")["actions"] == ["New folder"]
    assert entries(client, "saved pro")["settings"] == ["Saved prompts"]
    assert everything["chats"] == ["Crème brûlée"]
    assert "Administration" not in everything["settings"]
    assert entries(client, "creme") == {"chats": ["Crème brûlée"], "search": ["Search chats for “creme”"]}
    assert entries(client, "arch this")["actions"] == ["Archive this chat"]
    assert entries(client, "sonnet dem")["models"] == ["Claude Sonnet 4"]
    assert entries(client, "theme dark")["settings"] == ["Dark"]
    assert entries(client, '<bq>"') == {"search": ["Search chats for “&lt;bq&gt;&quot;”"]}
    client.force_login(administrator)
    assert entries(client, "admin")["settings"] == ["Administration"]


def test_the_last_used_come_first_and_only_once(
    person: User, administrator: User, model: ChatModel, client: Client
) -> None:
    mine, theirs = chat_of(person, "Pears"), chat_of(administrator, "Plums")
    client.force_login(person)
    keys = ["theme-dark", f"chat:{theirs.pk}", f"model:{model.pk}", f"chat:{mine.pk}", "chat:x", "no", "new"]
    found = entries(client, used=" ".join([*keys, "new"]))
    assert found["last"] == ["Dark", "Claude Sonnet 4", "Pears", "New chat"]
    assert "New chat" not in found["actions"]
    assert "chats" not in found
    assert entries(client, "pea", used=" ".join(keys))["last"] == ["Pears"]


def test_each_action_presses_a_button_that_the_page_has(
    person: User, model: ChatModel, client: Client
) -> None:
    """The page leaves out actions without their button: a renamed button must not hide one for good."""
    ChatModel.objects.create(endpoint=model.endpoint, name="other")
    client.force_login(person)
    chat = chat_of(person, "Pears")
    page = client.get(reverse("conversation", args=[chat.pk])).content.decode()
    Conversation.objects.update(pinned_at=chat.created_at, archived_at=chat.created_at)
    page += client.get(reverse("conversation", args=[chat.pk])).content.decode()
    when_replies = {"stop", "copy", "edit", "retry", "branch"}
    for entry in palettes.ACTIONS:
        for name, value in re.findall(r'\[([\w-]+)(?:="([^"]*)")?\]', entry.press):
            assert entry.key in when_replies or (f'{name}="{value}"' if value else name) in page, entry.key
        for name in re.findall(r"#([\w-]+)", entry.press):
            assert f'id="{name}"' in page, entry.key
        for name in re.findall(r"\.([\w-]+)", entry.press):
            assert entry.key in when_replies or re.search(rf'class="[^"]*\b{name}\b', page), entry.key
        assert not entry.focus or f'id="{entry.focus}"' in page


def test_a_preset_is_for_the_chat_on_the_page(person: User, administrator: User, client: Client) -> None:
    chat = chat_of(person, "Pears")
    mine = make_preset(person, PresetContent(name="Translator"))
    make_preset(administrator, PresetContent(name="Translator of others"))
    client.force_login(person)
    where = {**HTMX, "HX-Current-URL": f"http://testserver{reverse('conversation', args=[chat.pk])}"}
    page = client.get(URL, {"q": "trans"}, headers=where).content.decode()
    assert f"{reverse('preset_choice', args=[chat.pk])}?preset={mine.pk}" in page
    assert "of others" not in page


def test_the_theme_alone_is_set(person: User, client: Client) -> None:
    client.force_login(person)
    assert client.post(reverse("theme"), {"theme": "dark"}, headers=HTMX).status_code == 204
    assert Preferences.of(person).theme == "dark"
    assert client.post(reverse("theme"), {"theme": str(uuid.uuid4())}, headers=HTMX).status_code == 400
    assert Preferences.of(person).theme == "dark"
