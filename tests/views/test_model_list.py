"""The models that a user can choose: their order, and the model of a new chat."""

from __future__ import annotations

import re
import uuid

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from chat.actions.preferences import favour_model, set_preferences
from chat.actions.send import send_message
from chat.models import ChatModel, Endpoint, User
from chat.providers.base import EndpointConfig

pytestmark = pytest.mark.django_db
NAMES = ["gpt-10", "gpt-4.1", "gpt-4", "o3", "GPT-5-mini"]


@pytest.fixture
def models(settings: Settings) -> dict[str, ChatModel]:
    slugs = ("cellar", "attic", "demo")
    settings.CHAT_ENDPOINTS = {
        slug: EndpointConfig(slug, "openai_compatible", slug.title()) for slug in slugs
    }
    settings.CHAT_DEFAULT_MODEL = ""
    cellar = Endpoint.objects.create(slug="cellar", name="Cellar", position=1)
    attic = Endpoint.objects.create(slug="attic", name="Attic", position=2)
    demo = Endpoint.objects.create(slug="demo", name="Demo", position=1000)
    made = [ChatModel(endpoint=attic, name=name) for name in NAMES]
    made += [ChatModel(endpoint=cellar, name="llama"), ChatModel(endpoint=demo, name="demo")]
    return {model.name: model for model in ChatModel.objects.bulk_create(made)}


def new_chat(client: Client, person: User) -> str:
    client.force_login(person)
    return client.get(reverse("conversation", args=[uuid.uuid4()])).content.decode()


def chosen(html: str) -> str:
    found = re.search(r"<option [^>]* selected>([^<]+)", html)
    assert found
    return found[1]


def ask(person: User, model: ChatModel) -> None:
    send_message(person, uuid.uuid4(), client_id=uuid.uuid4(), text="Words", model_ids=[model.pk])


def test_models_are_grouped_by_provider_and_their_numbers_are_sorted_as_numbers(
    person: User, client: Client, models: dict[str, ChatModel]
) -> None:
    html = new_chat(client, person)
    groups = re.findall(r'<optgroup label="(\w+)">(.*?)</optgroup>', html)
    listed = {label: re.findall(r">([^<]+)</option>", options) for label, options in groups}
    assert list(listed) == ["Cellar", "Attic", "Demo"]
    assert listed["Attic"] == ["gpt-4", "gpt-4.1", "GPT-5-mini", "gpt-10", "o3"]
    names = re.findall(r'class="model-name">([^<]+)', html)
    assert names == ["llama", *listed["Attic"], "demo"], "the list with search has the same order"
    settings_page = client.get(reverse("settings")).content.decode()
    assert re.findall(r'<optgroup label="(\w+)">', settings_page) == list(listed)


def test_an_administrators_order_comes_before_the_names(
    person: User, client: Client, models: dict[str, ChatModel]
) -> None:
    ChatModel.objects.filter(name="o3").update(position=1)
    assert re.findall(r'class="model-name">([^<]+)', new_chat(client, person))[:3] == ["llama", "o3", "gpt-4"]


def test_favourites_are_a_group_of_their_own(
    person: User, client: Client, models: dict[str, ChatModel]
) -> None:
    favour_model(person, models["gpt-10"].pk, favourite=True)
    html = new_chat(client, person)
    assert re.findall(r'<optgroup label="(\w+)">', html) == ["Favourites", "Cellar", "Attic", "Demo"]
    assert html.count(">gpt-10</option>") == 1


def test_a_new_chat_begins_with_the_model_used_last(
    person: User, make_user: object, client: Client, models: dict[str, ChatModel]
) -> None:
    assert chosen(new_chat(client, person)) == "llama", "the first, as long as none was used"
    ask(person, models["o3"])
    ask(person, models["gpt-4.1"])
    assert chosen(new_chat(client, person)) == "gpt-4.1"
    ChatModel.objects.filter(name="gpt-4.1").update(enabled=False)
    assert chosen(new_chat(client, person)) == "o3", "the last one that can still be used"
    other = User.objects.create_user("other@example.org")
    assert chosen(new_chat(client, other)) == "llama"


def test_a_new_chat_begins_with_the_default_until_the_person_used_or_set_one(
    person: User, client: Client, models: dict[str, ChatModel], settings: Settings
) -> None:
    settings.CHAT_DEFAULT_MODEL = "gpt-4"
    assert chosen(new_chat(client, person)) == "gpt-4"
    ask(person, models["o3"])
    assert chosen(new_chat(client, person)) == "o3"
    set_preferences(person, {"default_model": models["gpt-10"]})
    assert chosen(new_chat(client, person)) == "gpt-10"


def test_a_user_of_the_demo_gets_the_first_real_model(
    person: User, client: Client, models: dict[str, ChatModel]
) -> None:
    ask(person, models["demo"])
    assert chosen(new_chat(client, person)) == "llama"
    ChatModel.objects.exclude(name="demo").update(enabled=False)
    assert chosen(new_chat(client, person)) == "demo"


def test_the_list_says_what_a_model_can_do(
    person: User, client: Client, models: dict[str, ChatModel]
) -> None:
    ChatModel.objects.update(takes_images=False, reasons=False)
    facts = ("<span>reasoning</span>", "<span>images</span>")
    assert not any(fact in new_chat(client, person) for fact in facts)
    ChatModel.objects.update(takes_images=True, reasons=True)
    html = new_chat(client, person)
    assert all(fact in html for fact in facts)
