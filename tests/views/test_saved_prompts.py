"""Saved prompts: their names, their list in the message box, and who may use them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from chat.actions.errors import ActionError
from chat.actions.saved_prompt import make_saved_prompt
from chat.actions.sharing import Sharing
from chat.models import SavedPrompt, User
from chat.models.variables import filled, variables_in

pytestmark = pytest.mark.django_db


def test_a_prompt_is_made_offered_by_its_name_changed_and_deleted(client: Client, person: User) -> None:
    client.force_login(person)
    form = {"name": "/greet", "text": "Greet {{ whom }} and <b>{{whom}}</b>.", "visibility": "own"}
    assert client.post(reverse("new_saved_prompt"), form).status_code == 302
    prompt = SavedPrompt.objects.get()
    offered = client.get(reverse("prompt_choices"), {"q": "GR"}).content.decode()
    assert 'data-variables="whom"' in offered
    assert "<b>" not in offered
    assert client.get(reverse("prompt_choices"), {"q": "x"}).content.strip() == b""
    url = reverse("saved_prompt", args=[prompt.pk])
    client.post(url, {**form, "name": "hello"})
    assert "/hello" in client.get(reverse("saved_prompts")).content.decode()
    client.post(url, {"_method": "delete"})
    assert not SavedPrompt.objects.exists()


def test_names_are_short_words_that_are_not_taken(person: User) -> None:
    make_saved_prompt(person, "greet", "Hello")
    for name in ("", "two words", "x" * 41, "demo", "Greet", "-x", "a\nb", "a\x00"):
        with pytest.raises(ActionError):
            make_saved_prompt(person, name, "Hello")
    with pytest.raises(ActionError):
        make_saved_prompt(person, "empty", " \n")


def test_a_shared_prompt_is_used_and_not_changed_by_others(
    client: Client, person: User, make_user: Callable[..., User]
) -> None:
    teammate, group = make_user("teammate@example.org"), Group.objects.create(name="Editors")
    person.groups.add(group)
    prompt = make_saved_prompt(person, "greet", "Good morning", Sharing("groups", [group.pk]))
    client.force_login(teammate)
    choices, url = reverse("prompt_choices"), reverse("saved_prompt", args=[prompt.pk])
    assert b"Good morning" not in client.get(choices).content
    assert client.get(url).status_code == 404
    teammate.groups.add(group)
    assert b"Good morning" in client.get(choices).content
    page = client.get(url).content.decode()
    assert "Good morning" in page
    assert person.email not in page
    assert client.post(url, {"name": "x", "text": "x", "visibility": "own"}).status_code == 404
    assert client.delete(url).status_code == 404


def test_a_value_is_inserted_as_it_is() -> None:
    text = "{{a}} {{ b c }} {{}} {{a}} {{<}}"
    assert variables_in(text) == ["a", "b c"]
    assert filled(text, {"a": "{{b c}}"}) == "{{b c}} {{ b c }} {{}} {{b c}} {{<}}"


def test_own_prompts_are_offered_first_and_those_of_others_are_marked(
    client: Client, person: User, make_user: Callable[..., User]
) -> None:
    teammate, group = make_user("teammate@example.org"), Group.objects.create(name="Editors")
    person.groups.add(group)
    teammate.groups.add(group)
    for number in range(9):
        make_saved_prompt(teammate, f"a{number}", "Of another", Sharing("groups", [group.pk]))
    make_saved_prompt(person, "aside", "My own")
    client.force_login(person)
    offered = client.get(reverse("prompt_choices"), {"q": "a"}).content.decode()
    assert offered.index("/aside") < offered.index("/a0")
    assert offered.count("Shared") == offered.count("Of another</small>") == 7


def test_an_error_is_what_its_field_is_described_by(client: Client, person: User) -> None:
    client.force_login(person)
    form = {"name": "x" * 99, "text": "Hello", "visibility": "own"}
    page = client.post(reverse("new_saved_prompt"), form).content.decode()
    assert 'aria-describedby="id_name_helptext id_name_error"' in page
    assert 'id="id_name_error"' in page
