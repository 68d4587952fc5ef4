"""The catalog and users: changes by an administrator persist, keys are not shown, rights are protected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission
from django.test import Client
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings

from chat.generation.running_calls import Permit
from chat.models import ChatModel, Endpoint, User
from chat.providers.base import EndpointConfig
from chat.runtime import current

MODELS = "/admin/chat/chatmodel/"
PROVIDERS = "/admin/chat/endpoint/"
PEOPLE = "/admin/chat/user/"
PASSWORD = "a long enough phrase"


@pytest.fixture
def admin(client: Client, administrator: User) -> Client:
    client.force_login(administrator)
    return client


@pytest.fixture
def clerk(client: Client, make_user: Callable[..., User]) -> Client:
    """Staff who may change users, without being a superuser."""
    user = make_user("clerk@example.org", is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(codename__in=["change_user", "view_user", "delete_user"])
    )
    client.force_login(user)
    return client


def test_the_list_of_models_is_edited_in_place(
    admin: Client, model: ChatModel, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    ChatModel.objects.bulk_create(ChatModel(endpoint=model.endpoint, name=f"m{n}") for n in range(30))
    with django_assert_max_num_queries(12):
        admin.get(MODELS)
    ChatModel.objects.exclude(pk=model.pk).delete()
    form = {
        "form-TOTAL_FORMS": "1",
        "form-INITIAL_FORMS": "1",
        "form-0-id": str(model.pk),
        "form-0-input_price": "0.25",
        "form-0-output_price": "1.5",
        "_save": "Save",
    }
    assert admin.post(MODELS, form).status_code == 302
    model.refresh_from_db()
    assert (model.enabled, float(model.input_price or 0), float(model.output_price or 0)) == (
        False,
        0.25,
        1.5,
    )


def test_a_negative_price_is_refused_in_words(admin: Client, model: ChatModel) -> None:
    form = {
        "endpoint": model.endpoint_id,
        "name": model.name,
        "position": "1",
        "input_price": "-1",
        "takes_images": "unknown",
        "reasons": "true",
    }
    answer = admin.post(f"{MODELS}{model.pk}/change/", form)
    assert b"A price cannot be negative. Leave it empty if it is not known." in answer.content
    assert admin.post(f"{MODELS}{model.pk}/change/", {**form, "input_price": ""}).status_code == 302
    model.refresh_from_db()
    assert (model.input_price, model.takes_images, model.reasons) == (None, None, True)


def test_models_are_enabled_and_disabled_together(
    admin: Client, model: ChatModel, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    permits = current().calls.permits
    permits.put(("token", "model"), cast(Permit, object()), permits.version())
    with django_capture_on_commit_callbacks(execute=True):
        admin.post(MODELS, {"action": "disable", "_selected_action": [model.pk]})
    assert not ChatModel.objects.get().enabled
    assert permits.get(("token", "model")) is None  # a program's next call is refused
    admin.post(MODELS, {"action": "enable", "_selected_action": [model.pk]})
    assert ChatModel.objects.get().enabled


@pytest.mark.django_db(transaction=True)
def test_a_provider_can_be_asked_for_its_models(admin: Client, settings: Settings) -> None:
    settings.CHAT_ENDPOINTS = {"demo": EndpointConfig("demo", "demo", "Demo")}
    Endpoint.objects.create(slug="demo", name="Demo")
    answer = admin.post(PROVIDERS, {"action": "sync", "_selected_action": ["demo"]}, follow=True)
    assert [str(m) for m in answer.context["messages"]] == ["demo: 2 models, 2 of them new."]
    assert ChatModel.objects.count() == 2


def test_the_source_and_the_fault_of_a_provider_are_shown(admin: Client, settings: Settings) -> None:
    settings.CHAT_ENDPOINTS = {
        "openai": EndpointConfig("openai", "openai", "OpenAI", "https://u:canary@gateway.example/v1", "sk-x"),
        "demo": EndpointConfig("demo", "demo", "Demo"),
    }
    failed = "The provider refuses the key. Check that it is whole, and not revoked."
    openai = Endpoint.objects.create(
        slug="openai", name="OpenAI", sync_error=failed, sync_detail="HTTP 401: no"
    )
    Endpoint.objects.create(slug="demo", name="Demo")
    listed = admin.get(PROVIDERS).content.decode()
    assert "Add a provider here, or configure it by environment variables" in listed
    assert "https://gateway.example/v1" in listed
    assert "canary" not in listed
    page = admin.get(f"{PROVIDERS}openai/change/").content.decode()
    assert failed in page
    assert "HTTP 401: no" in page
    front = admin.get("/admin/").content.decode()
    assert "No model provider is available" in front
    assert failed in front
    Endpoint.objects.filter(pk=openai.pk).update(sync_error="")
    assert "No model provider is available" not in admin.get("/admin/").content.decode()


def test_no_key_is_in_any_page(admin: Client, settings: Settings, model: ChatModel) -> None:
    settings.CHAT_ENDPOINTS = {"demo": EndpointConfig("demo", "demo", "Demo", api_key="sk-canary")}
    for url in (PROVIDERS, f"{PROVIDERS}demo/change/", MODELS, f"{MODELS}{model.pk}/change/", "/admin/"):
        page = admin.get(url)
        assert page.status_code == 200
        assert "sk-canary" not in page.content.decode()


def test_a_user_is_added_by_address_and_logs_in_by_a_link(admin: Client) -> None:
    answer = admin.post(f"{PEOPLE}add/", {"email": "Ada@Example.org", "first_name": "Ada"})
    ada = User.objects.get(email="ada@example.org")
    assert (ada.first_name, ada.is_staff, ada.has_usable_password()) == ("Ada", False, False)
    link = answer.context["link"]
    assert link in answer.content.decode()
    visitor = Client()
    assert visitor.post(link, {"password": PASSWORD, "repeated": PASSWORD}).status_code == 302
    assert visitor.session["_auth_user_id"] == str(ada.pk)


def test_an_administrator_makes_links_for_users_that_they_may_change(
    admin: Client, person: User, administrator: User
) -> None:
    page = admin.get(f"{PEOPLE}{person.pk}/change/").content.decode()
    assert f"{PEOPLE}{person.pk}/login-link/" in page
    offered = admin.get(f"{PEOPLE}{person.pk}/login-link/")
    assert offered.context["link"] == ""
    made = admin.post(f"{PEOPLE}{person.pk}/login-link/")
    assert Client().get(made.context["link"]).status_code == 200
    assert "Created a log-in link." in admin.get(f"{PEOPLE}{person.pk}/history/").content.decode()
    User.objects.filter(pk=person.pk).update(is_active=False)
    refused = admin.post(f"{PEOPLE}{person.pk}/login-link/")
    assert refused.context["link"] == ""
    assert "is not active and cannot log in" in refused.content.decode()


def test_a_users_page_shows_their_rights(admin: Client, person: User) -> None:
    for path in ("add/", f"{person.pk}/change/"):
        page = admin.get(PEOPLE + path).content.decode()
        assert "Administrator" in page
        assert "Can review chats" in page
        for strange in ("Single Sign-On", "LDAP", "uperuser", "ser permissions", "Password-based"):
            assert strange not in page


def test_reviewers_open_transcripts_until_the_right_is_revoked(admin: Client, person: User) -> None:
    form = {"email": person.email, "is_active": "on"}
    reviewer = Client()
    for rights, status in (({"reviewer": "on"}, 200), ({}, 302)):
        assert admin.post(f"{PEOPLE}{person.pk}/change/", {**form, **rights}).status_code == 302
        reviewer.force_login(person)
        assert reviewer.get("/admin/chat/conversation/").status_code == status
    admin.post(f"{PEOPLE}{person.pk}/change/", {**form, "administrator": "on"})
    person.refresh_from_db()
    assert (person.is_staff, person.is_superuser) == (True, True)


def test_people_are_found_by_their_rights(
    admin: Client, person: User, administrator: User, make_user: Callable[..., User]
) -> None:
    reviewer = make_user("reviewer@example.org", is_staff=True)
    reviewer.user_permissions.add(Permission.objects.get(codename="view_conversation"))
    found = {
        rights: {str(someone) for someone in admin.get(f"{PEOPLE}?rights={rights}").context["cl"].result_list}
        for rights in ("administrator", "reviewer")
    }
    assert found == {
        "administrator": {administrator.email},
        "reviewer": {administrator.email, reviewer.email},
    }


def test_the_same_address_in_capitals_is_the_same_person(admin: Client, person: User) -> None:
    answer = admin.post(f"{PEOPLE}add/", {"email": "PERSON@example.org"})
    assert answer.status_code == 200
    assert answer.context["errors"]


def test_a_changed_address_cannot_log_in(admin: Client, person: User) -> None:
    EmailAddress.objects.create(user=person, email="person@example.org", primary=True, verified=True)
    admin.post(f"{PEOPLE}{person.pk}/change/", {"email": "new@example.org", "is_active": "on"})
    assert not Client().login(email="person@example.org", password="correct horse")
    assert Client().login(email="new@example.org", password="correct horse")


def test_only_a_superuser_grants_rights(clerk: Client, person: User, administrator: User) -> None:
    form = {"email": person.email, "is_active": "on", "administrator": "on", "reviewer": "on"}
    assert clerk.post(f"{PEOPLE}{person.pk}/change/", form).status_code == 302
    person.refresh_from_db()
    assert (person.is_staff, person.is_superuser) == (False, False)
    assert clerk.get(f"{PEOPLE}{person.pk}/login-link/").status_code == 200
    assert clerk.post(f"{PEOPLE}{administrator.pk}/login-link/").status_code == 403
    assert not person.user_permissions.exists()
    assert clerk.post(f"{PEOPLE}{administrator.pk}/change/", form).status_code == 403
    assert clerk.post(f"{PEOPLE}{administrator.pk}/delete/", {"post": "yes"}).status_code == 403
    administrator.refresh_from_db()
    assert administrator.check_password("correct horse")


def test_the_administration_uses_the_log_in_of_the_chat(client: Client, db: None) -> None:
    answer = client.get("/admin/login/?next=/admin/")
    assert answer.status_code == 302
    assert answer["Location"].startswith("/accounts/login/")


def test_the_secret_of_a_second_factor_is_shown_to_nobody(admin: Client, person: User) -> None:
    factor = Authenticator.objects.create(user=person, type="totp", data={"secret": "CANARY"})
    for path in ("", f"{factor.pk}/change/"):
        page = admin.get(f"/admin/mfa/authenticator/{path}")
        assert page.status_code == 200
        assert "CANARY" not in page.content.decode()
    admin.post(f"/admin/mfa/authenticator/{factor.pk}/delete/", {"post": "yes"})
    assert not Authenticator.objects.exists()


def test_staff_cannot_change_the_address_of_a_superuser(clerk: Client, administrator: User) -> None:
    staff = User.objects.get(email="clerk@example.org")
    staff.user_permissions.set(Permission.objects.filter(content_type__app_label="account"))
    form = {"user": administrator.pk, "email": "clerks-own@example.org", "verified": "on"}
    assert clerk.post("/admin/account/emailaddress/add/", form).status_code == 404
    assert not EmailAddress.objects.filter(user=administrator).exists()


def test_staff_remove_second_factors_except_that_of_a_superuser(
    clerk: Client, administrator: User, person: User
) -> None:
    staff = User.objects.get(email="clerk@example.org")
    staff.user_permissions.set(Permission.objects.filter(content_type__app_label="mfa"))
    theirs = Authenticator.objects.create(user=administrator, type="totp", data={})
    persons = Authenticator.objects.create(user=person, type="totp", data={})
    together = {"action": "delete_selected", "_selected_action": [theirs.pk, persons.pk], "post": "yes"}
    assert clerk.post("/admin/mfa/authenticator/", together).status_code == 403
    assert clerk.post(f"/admin/mfa/authenticator/{theirs.pk}/delete/", {"post": "yes"}).status_code == 403
    assert clerk.post(f"/admin/mfa/authenticator/{persons.pk}/delete/", {"post": "yes"}).status_code == 302
    assert list(Authenticator.objects.all()) == [theirs]


def test_models_can_be_filtered_by_a_flag(
    admin: Client, model: ChatModel, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    """The list of 500 models can be narrowed by what a model can, who may use it and what it stands for."""
    group = Group.objects.create(name="Research")
    ChatModel.objects.bulk_create(ChatModel(endpoint=model.endpoint, name=f"m{n:03}") for n in range(499))
    wanted = {
        "hidden__exact=1": {"hidden": True},
        "available__exact=0": {"available": False},
        "for_everyone__exact=0": {"for_everyone": False},
        "uses_tools__exact=1": {"uses_tools": True},
        "gives_json__exact=0": {"gives_json": False},
        "reasons__exact=1": {"reasons": True},
        "takes_images__exact=1": {"takes_images": True},
        "alias_of__isempty=0": {"alias_of": model},
        "fallback__isempty=0": {"fallback": model},
    }
    for number, fields in enumerate(wanted.values()):
        ChatModel.objects.filter(name=f"m{number:03}").update(**fields)
    ChatModel.objects.get(name="m100").groups.add(group)
    names = [
        *((query, f"m{number:03}") for number, query in enumerate(wanted)),
        (f"groups__id__exact={group.pk}", "m100"),
    ]
    for query, name in names:
        with django_assert_max_num_queries(14):
            page = admin.get(f"{MODELS}?{query}&q=m")
        assert [each.name for each in page.context["cl"].result_list] == [name], query
    whole = admin.get(MODELS).content.decode()
    assert all(f"{query.partition('=')[0]}=" in whole for query, _name in names)


def test_many_models_are_changed_at_once_or_none(admin: Client, model: ChatModel) -> None:
    """Only ticked settings are written, and none if one model cannot have them."""
    group = Group.objects.create(name="Research")
    ChatModel.objects.bulk_create(
        ChatModel(endpoint=model.endpoint, name=f"m{n:03}", input_price=3) for n in range(499)
    )
    chosen = list(ChatModel.objects.values_list("pk", flat=True))
    found = admin.get(f"{MODELS}?q=m49&endpoint__slug__exact={model.endpoint_id}").content.decode()
    assert "m499" not in found and "m498" in found and "m100" not in found
    asked = {"action": "edit_many", "_selected_action": chosen, "select_across": "0"}
    page = admin.post(MODELS, asked)
    assert page.status_code == 200 and "500 models" in page.content.decode()
    values = {
        **{f"set_{name}": "1" for name in ("output_price", "groups", "uses_tools", "highest_temperature")},
        "output_price": "4",
        "groups": [group.pk],
        "uses_tools": "false",
        "highest_temperature": "0.5",
        "input_price": "99",  # not ticked
    }
    assert admin.post(MODELS, {**asked, "apply": "1", **values}).status_code == 302
    set_ = {"output_price": 4, "uses_tools": False, "highest_temperature": 0.5}
    changed = ChatModel.objects.filter(groups=group, **set_)
    assert changed.count() == 500 and not ChatModel.objects.filter(input_price=99).exists()
    assert LogEntry.objects.count() == 500
    across = admin.post(f"{MODELS}?q=m1", {**asked, "_selected_action": chosen[:1], "select_across": "1"})
    assert len(across.context["chosen"]) == 100 and len(across.context["selected"]) == 1
    ChatModel.objects.filter(name="m007").update(lowest_temperature=0.4)
    refused = admin.post(
        MODELS, {**asked, "apply": "1", "set_highest_temperature": "1", "highest_temperature": "0.3"}
    )
    assert "m007: " in refused.content.decode()
    assert changed.count() == 500
    wrong = {"set_extra_body": "1", "extra_body": '{"model": "x"}'}
    assert "Steady sets model itself" in admin.post(MODELS, {**asked, "apply": "1", **wrong}).content.decode()
