"""Rights give no further rights: each right of a manager against each kind of user."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib import admin as django_admin
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.test import Client
from django.utils import timezone

from chat.actions.login_link import login_token, person_of_link
from chat.admin.base import SteadyAdmin
from chat.models import ApiToken, Conversation, ServerSettings, Share, Tool, ToolServer, TranscriptRead, User

PEOPLE, GROUPS = "/admin/chat/user/", "/admin/auth/group/"
PERSONAL = ["add_user", "change_user", "delete_user", "view_user"]
OF_GROUPS = ["add_group", "change_group", "delete_group", "view_group"]
OTHERS = ["view_conversation", "delete_conversation", "view_transcriptread", "change_permission"]


def _with(person: User, *codenames: str) -> User:
    person.is_staff = True
    person.save()
    person.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return person


def _targets(make_user: Callable[..., User]) -> dict[str, User]:
    """Returns all users whose rights an attacker would want."""
    group = Group.objects.create(name="Reviewers")
    group.permissions.add(Permission.objects.get(codename="view_conversation"))
    by_group = make_user("by-group@example.org")
    by_group.groups.add(group)
    not_staff = make_user("not-staff@example.org")
    not_staff.user_permissions.add(Permission.objects.get(codename="view_conversation"))
    inactive = make_user("inactive@example.org", is_superuser=True, is_active=False)
    return {
        "superuser": make_user("superuser@example.org", is_superuser=True, is_staff=True),
        "inactive superuser": inactive,
        "reviewer": _with(make_user("reviewer@example.org"), "view_conversation"),
        "staff without permissions": make_user("staff@example.org", is_staff=True),
        "rights by group": by_group,
        "rights without staff": not_staff,
        "another manager": _with(make_user("other@example.org"), "change_user"),
    }


def _state() -> list[object]:
    columns = ("email", "password", "is_active", "is_staff", "is_superuser")
    through: list[object] = [
        sorted(User.groups.through.objects.values_list("user_id", "group_id")),
        sorted(User.user_permissions.through.objects.values_list("user_id", "permission_id")),
        sorted(Group.permissions.through.objects.values_list("group_id", "permission_id")),
        sorted(Group.objects.values_list("pk", "name")),
    ]
    return [sorted(User.objects.values_list("pk", *columns)), *through]


@pytest.mark.parametrize("right", [*PERSONAL, *OF_GROUPS, *OTHERS, "all of them"])
def test_a_manager_cannot_change_users_with_rights(
    right: str, client: Client, make_user: Callable[..., User]
) -> None:
    targets = _targets(make_user)
    rights = [*PERSONAL, *OF_GROUPS, *OTHERS] if right == "all of them" else [right]
    manager = _with(make_user("manager@example.org"), *rights)
    client.force_login(manager)
    before = _state()
    form = {
        "email": "mine@example.org",
        "is_active": "on",
        "administrator": "on",
        "reviewer": "on",
        "is_staff": "on",
        "is_superuser": "on",
        "groups": [str(group.pk) for group in Group.objects.all()],
        "user_permissions": [str(Permission.objects.get(codename="view_conversation").pk)],
    }
    for name, target in {**targets, "themselves": manager}.items():
        page = f"{PEOPLE}{target.pk}/"
        for path, data in ((f"{page}change/", form), (f"{page}delete/", {"post": "yes"})):
            assert client.post(path, data).status_code == 403, (name, path)
        made = client.post(f"{page}login-link/")
        assert made.status_code == 403, name
        together = {"action": "delete_selected", "_selected_action": [target.pk], "post": "yes"}
        client.post(PEOPLE, together)
        assert _state() == before, name
    group = Group.objects.get()
    permissions = [str(pk) for pk in Permission.objects.values_list("pk", flat=True)]
    for path in (f"{GROUPS}add/", f"{GROUPS}{group.pk}/change/"):
        assert client.post(path, {"name": "Mine", "permissions": permissions}).status_code == 403
    client.post(f"{GROUPS}{group.pk}/delete/", {"post": "yes"})
    client.post(GROUPS, {"action": "delete_selected", "_selected_action": [group.pk], "post": "yes"})
    assert _state() == before


def test_a_user_that_a_manager_adds_or_changes_gets_no_rights(
    client: Client, make_user: Callable[..., User], person: User
) -> None:
    client.force_login(_with(make_user("manager@example.org"), *PERSONAL))
    group = Group.objects.create(name="Reviewers")
    group.permissions.add(Permission.objects.get(codename="view_conversation"))
    rights = {"administrator": "on", "reviewer": "on", "is_staff": "on", "is_superuser": "on"}
    client.post(f"{PEOPLE}add/", {"email": "new@example.org", "groups": [group.pk], **rights})
    form = {"email": person.email, "is_active": "on", "groups": [group.pk], **rights}
    assert client.post(f"{PEOPLE}{person.pk}/change/", form).status_code == 302
    for email in ("new@example.org", person.email):
        someone = User.objects.get(email=email)
        assert (someone.is_staff, someone.is_superuser, someone.is_active) == (False, False, True)
        assert not someone.get_all_permissions()
        assert not someone.groups.exists()


def test_a_log_in_link_ends_when_the_rights_of_its_user_change(person: User) -> None:
    """Otherwise its creator could log in with rights that were given later."""
    group = Group.objects.create(name="Reviewers")
    group.permissions.add(Permission.objects.get(codename="view_conversation"))

    def link_survives(change: Callable[[], object]) -> bool:
        person.refresh_from_db()
        token = login_token(person)
        assert person_of_link(person.pk, token)
        change()
        return person_of_link(person.pk, token) is not None

    assert not link_survives(lambda: person.groups.add(group))
    assert not link_survives(lambda: person.user_permissions.add(Permission.objects.all()[0]))
    assert not link_survives(lambda: User.objects.filter(pk=person.pk).update(is_staff=True))
    assert not link_survives(lambda: User.objects.filter(pk=person.pk).update(is_superuser=True))


def test_a_superuser_changes_groups_and_all_users(
    client: Client, administrator: User, make_user: Callable[..., User]
) -> None:
    client.force_login(administrator)
    permission = Permission.objects.get(codename="view_conversation")
    answer = client.post(f"{GROUPS}add/", {"name": "Reviewers", "permissions": [permission.pk]})
    assert answer.status_code == 302
    assert list(Group.objects.get().permissions.all()) == [permission]
    other = make_user("other@example.org", is_superuser=True, is_staff=True)
    assert client.post(f"{PEOPLE}{other.pk}/login-link/").context["link"]


def test_every_list_takes_only_the_filters_that_it_declares(client: Client, administrator: User) -> None:
    client.force_login(administrator)
    for model, model_admin in django_admin.site._registry.items():
        assert isinstance(model_admin, SteadyAdmin), model
        url = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        assert client.get(url, follow=True).status_code == 200, url
        for field in model._meta.get_fields():
            for lookup in ("regex", "in"):
                asked = f"{field.name}__{lookup}"
                assert client.get(url, {asked: "^(a+)+$"}).status_code == 400, asked
            if field.is_relation:
                assert client.get(url, {f"{field.name}__pk__regex": "^(a+)+$"}).status_code == 400


def test_no_installed_app_adds_a_list() -> None:
    lists = django_admin.site._registry.items()
    assert [model.__name__ for model, own in lists if not isinstance(own, SteadyAdmin)] == []


def test_the_key_of_a_session_is_shown_to_nobody(client: Client, administrator: User) -> None:
    """A reader of the key can act as that user, including the rights."""
    key = "k" * 32
    row = UserSession.objects.create(user=administrator, ip="192.0.2.1", session_key=key, user_agent="-")
    client.force_login(administrator)
    for path in ("", f"{row.pk}/change/", f"{row.pk}/history/", f"{row.pk}/delete/"):
        page = client.get(f"/admin/usersessions/usersession/{path}")
        assert page.status_code == 404
        assert key not in page.content.decode()


def test_a_search_of_too_many_words_sends_no_query(client: Client, administrator: User) -> None:
    client.force_login(administrator)
    for model, model_admin in django_admin.site._registry.items():
        if not model_admin.search_fields:
            continue
        url = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        for term in ("e " * 20_000, "e" * 201):
            page = client.get(url, {"q": term})
            assert page.status_code == 200
            assert page.context["cl"].result_count == 0
            assert "Shorten it." in page.content.decode()


def test_a_refused_request_does_not_reveal_what_exists(
    client: Client, make_user: Callable[..., User], make_conversation: Callable[..., Conversation]
) -> None:
    """Missing and hidden objects get the same answer."""
    person = make_user("person@example.org")
    conversation = make_conversation(person)
    Share.objects.create(conversation=conversation, title="Part", expires_at=timezone.now())
    Authenticator.objects.create(user=person, type=Authenticator.Type.TOTP, data={})
    Group.objects.create(name="Reviewers")
    TranscriptRead.objects.create(reader_email="a@example.org", how=TranscriptRead.How.READ)
    ApiToken.objects.create(user=person, name="Script", prefix="sty_")
    ServerSettings().save()
    Tool.objects.create(name="tool", title="Tool")
    ToolServer.objects.create(slug="our", url="https://tools.example.org/mcp")
    staff = make_user("staff@example.org", is_staff=True)

    def answers(url: str) -> list[object]:
        said = [client.get(url), client.post(url)]
        return [(it.status_code, it.headers.get("Location", "").replace(url, "")) for it in said]

    for who in (staff, person):
        client.force_login(who)
        for model in django_admin.site._registry:
            there = model._default_manager.values_list("pk", flat=True).first()
            assert there is not None, model
            missing = uuid4() if isinstance(there, UUID) else 10**9
            admin_url = f"/admin/{model._meta.app_label}/{model._meta.model_name}"
            content_type = ContentType.objects.get_for_model(model).pk
            for path in ("change/", "delete/", "history/", "login-link/", ""):
                there_url, missing_url = f"{admin_url}/{there}/{path}", f"{admin_url}/{missing}/{path}"
                assert answers(there_url) == answers(missing_url), there_url
            there_url, missing_url = (f"/admin/r/{content_type}/{pk}/" for pk in (there, missing))
            assert answers(there_url) == answers(missing_url), model
