"""Presets: what a chat begins with, their versions, and who may use them."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from chat.access import NoSuchModelError, NotFoundError
from chat.actions.branch import branch_conversation
from chat.actions.errors import InvalidInputError, LimitReachedError
from chat.actions.preset import (
    PresetContent,
    change_preset,
    choose_preset,
    copy_preset,
    delete_preset,
    make_preset,
)
from chat.actions.send import send_message
from chat.actions.sharing import Sharing
from chat.generation.instructions import instructions_for
from chat.models import (
    ChatModel,
    ChatStart,
    Conversation,
    Endpoint,
    Generation,
    Preferences,
    Preset,
    PresetUse,
    ServerSettings,
    Status,
    Tool,
    User,
)

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


@pytest.fixture
def teammate(make_user: Callable[..., User]) -> User:
    return make_user("teammate@example.org")


def say(user: User, chat: UUID, model: ChatModel, text: str = "Hello") -> Conversation:
    sent = send_message(user, chat, client_id=uuid4(), text=text, model_ids=[model.pk])
    Generation.objects.filter(message__parent=sent.message).update(status=Status.COMPLETE)
    return Conversation.objects.get(pk=chat)


def sources(conversation: Conversation, model: ChatModel) -> list[tuple[str, str]]:
    return [tuple(each) for each in instructions_for(conversation, model)]


def test_a_preset_is_made_chosen_with_its_variables_and_used_by_the_chat(
    browser: Client, person: User, model: ChatModel
) -> None:
    small = ChatModel.objects.create(endpoint=model.endpoint, name="small")
    form = {
        "name": "Translator",
        "instructions": "Translate to {{language}}.",
        "model": small.pk,
        "temperature": "0.2",
        "prompts": "Good morning\nThank you",
        "visibility": "own",
    }
    browser.post(reverse("new_preset"), form)
    preset = Preset.objects.get()
    chat = uuid4()
    page = reverse("conversation", args=[chat])
    choice = reverse("preset_choice", args=[chat])
    assert "Translator" in browser.get(page).content.decode()
    assert "language" in browser.get(choice, {"preset": preset.pk}).content.decode()
    assert browser.post(choice, {"preset": preset.pk}).status_code == 400, "a value is missing"
    given = {"preset": preset.pk, "value-language": "{{German}}"}
    assert browser.post(choice, given)["Location"] == page
    shown = browser.get(page).content.decode()
    assert "Preset Translator, version 1" in shown
    assert "Good morning" in shown
    assert f'value="{small.pk}"' in shown.split("selected")[0].rpartition("<option")[2]

    Preferences.objects.create(user=person, instructions="I am Ada.")
    conversation = say(person, chat, model)
    translate = ("preset", "Translate to {{German}}.")
    assert sources(conversation, model) == [translate, ("personal", "I am Ada.")]
    assert conversation.parameters == {"temperature": 0.2}
    assert Generation.objects.get(conversation=chat).parameters == {"temperature": 0.2}
    assert not ChatStart.objects.exists()
    assert "Preset Translator, version 1" in browser.get(page).content.decode()


def test_a_chat_keeps_its_version_until_its_owner_takes_the_newer_one(
    browser: Client, person: User, model: ChatModel
) -> None:
    preset = make_preset(person, PresetContent("Poet", "Write verses."))
    chat = uuid4()
    choose_preset(person, chat, preset.pk, {})
    change_preset(person, preset.pk, PresetContent("Poet", "Write odes."), Sharing())
    conversation = say(person, chat, model)
    assert sources(conversation, model) == [("preset", "Write verses.")]
    page = reverse("conversation", args=[chat])
    assert "Version 2 is available" in browser.get(page).content.decode()
    before = conversation.revision
    browser.post(reverse("preset_choice", args=[chat]), {"preset": preset.pk})
    conversation.refresh_from_db()
    assert conversation.revision > before, "other pages of the chat are told"
    assert sources(conversation, model) == [("preset", "Write odes.")]
    browser.post(reverse("preset_versions", args=[preset.pk]), {"number": "1"})
    assert [each.instructions for each in preset.versions.all()] == [
        "Write verses.",
        "Write odes.",
        "Write verses.",
    ]
    browser.post(reverse("preset_choice", args=[chat]), {"preset": ""})
    conversation.refresh_from_db()
    assert (sources(conversation, model), conversation.preset_name) == ([], "")


def test_a_preset_chosen_in_a_chat_brings_its_model_parameters_and_tools_until_it_ends(
    browser: Client, person: User, model: ChatModel
) -> None:
    small = ChatModel.objects.create(endpoint=model.endpoint, name="small")
    Tool.objects.create(name="clock", enabled=True)
    closed = Tool.objects.create(name="closed", enabled=True)
    chat = uuid4()
    say(person, chat, model)
    content = PresetContent("Quick", "Be brief.", small.pk, {"temperature": 0.2}, ("clock", "closed"))
    preset = make_preset(person, content)
    Tool.objects.filter(pk=closed.pk).update(for_everyone=False)
    page, choice = reverse("conversation", args=[chat]), reverse("preset_choice", args=[chat])
    assert "You cannot use some of its tools." in browser.get(choice).content.decode()

    browser.post(choice, {"preset": preset.pk})
    conversation = Conversation.objects.get()
    assert (conversation.tools, conversation.parameters) == (["clock"], {"temperature": 0.2})
    shown = browser.get(page).content.decode()
    assert chosen_model(shown) == small.pk
    assert "Some of its tools cannot be used here." in shown

    say(person, chat, model, "With another model")
    shown = browser.get(page).content.decode()
    assert chosen_model(shown) == model.pk, "a model that was chosen by hand stays"
    assert "cannot be used" not in shown
    change_preset(person, preset.pk, PresetContent("Quick", "Be very brief.", small.pk, {}, ("clock",)))
    browser.post(choice, {"preset": preset.pk})
    assert chosen_model(browser.get(page).content.decode()) == small.pk, "a newer version brings its model"

    browser.post(choice, {"preset": ""})
    conversation.refresh_from_db()
    assert (conversation.tools, conversation.parameters) == ([], None)
    assert chosen_model(browser.get(page).content.decode()) == model.pk


def test_the_instructions_of_a_person_are_off_from_the_first_prompt_on(
    browser: Client, person: User, model: ChatModel
) -> None:
    chat = uuid4()
    page = reverse("conversation", args=[chat])
    assert "Your instructions are" not in browser.get(page).content.decode()
    Preferences.objects.create(user=person, instructions="I am Ada.")
    assert "Your instructions are sent with this chat." in browser.get(page).content.decode()
    assert browser.post(page, {"instructions": ""})["Location"] == page
    assert "Your instructions are not sent with this chat." in browser.get(page).content.decode()
    preset = make_preset(person, PresetContent("Poet", "Write verses."))
    choose_preset(person, chat, preset.pk, {})
    assert sources(say(person, chat, model), model) == [("preset", "Write verses.")]
    assert "Your instructions are" not in browser.get(page).content.decode(), "now it is in the menu"


def chosen_model(shown: str) -> int:
    """Returns the id of the model that the page has selected."""
    option = shown.partition('id="model"')[2].partition("</select>")[0].split("selected")[0]
    return int(option.rpartition("<option")[2].split('value="')[1].partition('"')[0])


def test_a_chat_and_its_branch_continue_when_the_preset_is_deleted(
    browser: Client, person: User, model: ChatModel
) -> None:
    preset = make_preset(person, PresetContent("Poet", "Write verses."))
    chat = uuid4()
    choose_preset(person, chat, preset.pk, {})
    conversation = say(person, chat, model)
    delete_preset(person, preset.pk)
    branch = branch_conversation(person, conversation.head_id)
    for each in (conversation, branch):
        assert sources(each, model) == [("preset", "Write verses.")]
        page = browser.get(reverse("conversation", args=[each.pk])).content.decode()
        assert "This chat continues with its copy." in page


def test_a_preset_is_shared_with_a_group_and_gives_no_access_to_its_model(
    browser: Client, person: User, teammate: User, model: ChatModel
) -> None:
    group, foreign = Group.objects.create(name="Editors"), Group.objects.create(name="Others")
    person.groups.add(group)
    secret = ChatModel.objects.create(endpoint=model.endpoint, name="secret-model", for_everyone=False)
    secret.groups.add(foreign)
    person.groups.add(foreign)
    content = PresetContent("Editor", "Edit.", secret.pk)
    preset = make_preset(person, content, Sharing("groups", [group.pk]))
    with pytest.raises(NotFoundError):
        choose_preset(teammate, uuid4(), preset.pk, {})
    teammate.groups.add(group)
    client = Client()
    client.force_login(teammate)
    chat = uuid4()
    client.post(reverse("preset_choice", args=[chat]), {"preset": preset.pk})
    pages = [
        client.get(reverse("conversation", args=[chat])).content.decode(),
        client.get(reverse("preset", args=[preset.pk])).content.decode(),
        client.get(reverse("presets")).content.decode(),
    ]
    for page in pages:
        assert "Editor" in page
        assert "secret-model" not in page
        assert person.email not in page
    assert "Choose another one" in pages[0]
    with pytest.raises(NoSuchModelError):
        say(teammate, chat, secret)
    conversation = say(teammate, chat, model)
    assert copy_preset(teammate, preset.pk).newest.model is None
    for method in ("post", "delete"):
        answer = getattr(client, method)(
            reverse("preset", args=[preset.pk]), {"name": "Mine", "visibility": "own"}
        )
        assert answer.status_code == 404
    teammate.groups.remove(group)
    assert sources(conversation, model) == [("preset", "Edit.")]
    assert "not shared with you any more" in client.get(reverse("conversation", args=[chat])).content.decode()
    assert client.get(reverse("preset", args=[preset.pk])).status_code == 404


def test_only_those_whom_the_server_settings_name_share_with_everybody(
    browser: Client, person: User, teammate: User
) -> None:
    content = PresetContent("For all", "Be kind.")
    with pytest.raises(InvalidInputError):
        make_preset(person, content, Sharing("all"))
    assert "Everyone" not in browser.get(reverse("new_preset")).content.decode()
    with pytest.raises(InvalidInputError):
        make_preset(person, content, Sharing("groups", [Group.objects.create(name="Foreign").pk]))
    assert not Preset.objects.exists()
    ServerSettings(sharers="all").save()
    try:
        preset = make_preset(person, content, Sharing("all"))
        assert list(Preset.objects.seen_by(teammate)) == [preset]
    finally:
        ServerSettings().save()


def test_a_refused_form_for_variables_is_shown_with_what_was_typed(browser: Client, person: User) -> None:
    preset = make_preset(person, PresetContent("P", "{{tone}} {{place}}"))
    chat, typed = uuid4(), "a very long word " * 10
    to = reverse("preset_choice", args=[chat])
    body = {"preset": str(preset.pk), "value-tone": typed, "value-place": " "}
    for headers in ({}, {"HX-Request": "true"}):
        answer = browser.post(to, body, headers=headers)
        html = answer.content.decode()
        assert answer.status_code == 400 and "Fill in “place”." in html and typed.strip() in html
        assert ('hx-target="#sheet-content"' in html) == bool(headers)
    assert not ChatStart.objects.exists()
    assert "HX-Location" in browser.post(to, body | {"value-place": "x"}, headers={"HX-Request": "true"})


def test_a_change_without_sharing_keeps_a_group_that_its_owner_has_left(person: User) -> None:
    group = Group.objects.create(name="Sales")
    person.groups.add(group)
    preset = make_preset(person, PresetContent("P", "1"), Sharing("groups", [group.pk]))
    person.groups.clear()
    change_preset(person, preset.pk, PresetContent("P", "2"))
    preset.refresh_from_db()
    assert (preset.newest.instructions, preset.visibility, preset.groups.get()) == ("2", "groups", group)


def test_a_chat_of_another_user_takes_no_preset(person: User, teammate: User, model: ChatModel) -> None:
    chat = uuid4()
    say(person, chat, model)
    preset = make_preset(teammate, PresetContent("Spy", "Tell all."))
    with pytest.raises(NotFoundError):
        choose_preset(teammate, chat, preset.pk, {})
    unused = uuid4()
    choose_preset(teammate, unused, preset.pk, {})
    say(person, unused, model)  # the id was chosen by another user before
    assert not PresetUse.objects.exists()


def test_the_oldest_unused_versions_are_deleted_when_there_are_too_many(
    person: User, model: ChatModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat.actions.preset.MOST_VERSIONS", 3)
    preset = make_preset(person, PresetContent("P", "1"))
    chat = uuid4()
    choose_preset(person, chat, preset.pk, {})
    say(person, chat, model)  # uses version 1
    for number in range(2, 6):
        change_preset(person, preset.pk, PresetContent("P", str(number)), Sharing())
    assert sorted(preset.versions.values_list("number", flat=True)) == [1, 4, 5]
    assert sources(Conversation.objects.get(pk=chat), model) == [("preset", "1")]
    for version in (4, 5):
        PresetUse.objects.create(
            conversation=Conversation.objects.create(owner=person),
            version=preset.versions.get(number=version),
        )
    with pytest.raises(LimitReachedError):
        change_preset(person, preset.pk, PresetContent("P", "6"), Sharing())
    preset.refresh_from_db()
    assert (preset.number, preset.newest.instructions) == (5, "5")
