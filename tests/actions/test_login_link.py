"""A log-in link logs one user in, once, and only while the user is active."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import update_last_login
from django.test import Client
from django.urls import reverse

from chat.actions import login_link
from chat.actions.login_link import login_token, person_of_link
from chat.models import User

PASSWORD = "a long enough phrase"
FORM = {"password": PASSWORD, "repeated": PASSWORD}


def _link(person: User) -> str:
    return reverse("login_link", args=[person.pk, login_token(person)])


def test_the_link_logs_in_once(client: Client, person: User) -> None:
    url = _link(person)
    for _ in range(2):
        assert client.get(url).status_code == 200, "looking uses nothing up"
    answer = client.post(url, FORM)
    assert (answer.status_code, answer["Location"]) == (302, reverse("home"))
    assert client.session["_auth_user_id"] == str(person.pk)
    assert Client().login(email=person.email, password=PASSWORD)
    for again in (Client().get(url), Client().post(url, FORM)):
        assert again.status_code == 410
        assert "This link is no longer valid" in again.content.decode()


@pytest.mark.django_db
def test_a_user_without_a_password_can_log_in(client: Client) -> None:
    person = User.objects.create_user("new@example.org")
    assert client.post(_link(person), FORM).status_code == 302
    assert Client().login(email="new@example.org", password=PASSWORD)


def test_the_link_ends_after_a_day(person: User, monkeypatch: pytest.MonkeyPatch) -> None:
    token = login_token(person)
    assert person_of_link(person.pk, token) == person
    monkeypatch.setattr(login_link._token, "_now", lambda: datetime.now() + timedelta(hours=24, seconds=2))
    assert person_of_link(person.pk, token) is None


def test_another_password_or_log_in_or_address_ends_it(client: Client, person: User) -> None:
    def change_password() -> None:
        person.set_password("another phrase altogether")
        person.save()

    def change_address() -> None:
        person.email = "other@example.org"
        person.save()

    for change in (change_password, change_address, lambda: update_last_login(None, person)):
        url = _link(person)
        change()
        assert client.post(url, FORM).status_code == 410
    person.refresh_from_db()
    assert not person.check_password(PASSWORD)


def test_a_deactivated_person_is_refused(client: Client, person: User) -> None:
    url = _link(person)
    User.objects.update(is_active=False)
    assert client.get(url).status_code == 410
    assert client.post(url, FORM).status_code == 410


def test_a_link_is_for_one_user(client: Client, person: User, make_user: Callable[..., User]) -> None:
    other = make_user("other@example.org")
    url = reverse("login_link", args=[other.pk, login_token(person)])
    assert client.post(url, FORM).status_code == 410
    assert client.get(reverse("login_link", args=[10**30, "x"])).status_code == 410


def test_a_weak_password_uses_nothing_up(client: Client, person: User) -> None:
    url = _link(person)
    for password, repeated in (("short", "short"), (PASSWORD, "another"), (person.email, person.email)):
        assert client.post(url, {"password": password, "repeated": repeated}).status_code == 422
    assert client.post(url, FORM).status_code == 302


def test_a_second_factor_is_required_as_well(client: Client, person: User) -> None:
    Authenticator.objects.create(user=person, type="totp", data={})
    answer = client.post(_link(person), FORM)
    assert (answer.status_code, answer["Location"]) == (302, reverse("account_login"))
    assert "_auth_user_id" not in client.session
