"""The first administrator: one link, used once, never a second."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import connection
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from chat.actions import first_admin
from chat.actions.first_admin import FirstAdminError, claim, ensure_first_admin, user_of_link
from chat.models import User

PASSWORD = "a long enough phrase"


@pytest.mark.django_db
def test_the_link_sets_address_and_password_and_logs_in(client: Client) -> None:
    token = ensure_first_admin()
    url = reverse("first_admin", args=[token])
    assert client.get(url).status_code == 200
    form = {"email": "Ada@Example.org", "password": PASSWORD, "repeated": PASSWORD}
    answer = client.post(url, form)
    assert (answer.status_code, answer["Location"]) == (302, reverse("home"))
    admin = User.objects.get()
    assert (admin.email, admin.is_superuser, admin.is_staff) == ("ada@example.org", True, True)
    assert client.session["_auth_user_id"] == str(admin.pk)
    assert Client().login(email="ada@example.org", password=PASSWORD)


@pytest.mark.django_db
def test_a_link_works_once_and_revokes_every_older_one(client: Client) -> None:
    first, second = ensure_first_admin(), ensure_first_admin()
    assert first and second
    claim(second, "ada@example.org", PASSWORD)
    for token in (first, second):
        answer = client.post(reverse("first_admin", args=[token]), {"email": "eve@example.org"})
        assert answer.status_code == 410
        with pytest.raises(FirstAdminError):
            claim(token, "eve@example.org", PASSWORD)
    assert ensure_first_admin() is None


@pytest.mark.django_db
def test_opening_the_link_does_not_use_it_up(client: Client) -> None:
    token = ensure_first_admin()
    url = reverse("first_admin", args=[token])
    assert [client.get(url).status_code, client.head(url).status_code, client.get(url).status_code] == [
        200
    ] * 3


@pytest.mark.django_db
def test_a_link_ends_after_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    token = ensure_first_admin()
    assert token and user_of_link(token)
    monkeypatch.setattr(first_admin._token, "_now", lambda: datetime.now() + timedelta(hours=24, seconds=2))
    assert user_of_link(token) is None


@pytest.mark.django_db
@pytest.mark.parametrize("token", ["x", "a-b", "dicmf1-0697eb5c2819f0a202693db60a527e9f", "-", "%00"])
def test_an_invented_link_opens_nothing(client: Client, token: str) -> None:
    ensure_first_admin()
    assert client.get(reverse("first_admin", args=[token])).status_code == 410


@pytest.mark.django_db
def test_no_link_while_an_administrator_can_log_in(administrator: User) -> None:
    assert ensure_first_admin() is None
    assert User.objects.get() == administrator


@pytest.mark.django_db
def test_a_link_opens_nothing_once_an_administrator_was_made_elsewhere() -> None:
    token = ensure_first_admin()
    User.objects.create_superuser("root@example.org", PASSWORD)
    assert token and user_of_link(token) is None
    assert ensure_first_admin() is None
    assert User.objects.get().email == "root@example.org", "the unclaimed account is cleared away"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"email": "nobody", "password": PASSWORD, "repeated": PASSWORD}, "email"),
        ({"email": "a@example.org", "password": "12345678", "repeated": "12345678"}, "password"),
        ({"email": "a@example.org", "password": PASSWORD, "repeated": PASSWORD + "!"}, "repeated"),
        ({"email": "person@example.org", "password": PASSWORD, "repeated": PASSWORD}, "email"),
        ({}, "password"),
    ],
)
def test_a_wrong_form_says_so_and_changes_nothing(
    client: Client, person: User, form: dict[str, str], field: str
) -> None:
    token = ensure_first_admin()
    answer = client.post(reverse("first_admin", args=[token]), form)
    assert answer.status_code == 422
    assert answer.context["form"].errors[field]
    assert user_of_link(str(token)) is not None


@pytest.mark.django_db
def test_the_settings_make_the_first_administrator(settings: Settings) -> None:
    settings.STEADY_ADMIN_EMAIL, settings.STEADY_ADMIN_PASSWORD = "Ada@example.org", PASSWORD
    assert ensure_first_admin() is None
    assert Client().login(email="ada@example.org", password=PASSWORD)
    settings.STEADY_ADMIN_PASSWORD = "another long phrase"
    ensure_first_admin()
    assert Client().login(email="ada@example.org", password=PASSWORD), "a restart resets no password"


@pytest.mark.django_db
def test_another_user_with_the_administrators_address_loses_all_access(settings: Settings) -> None:
    stranger = User.objects.create_user("ada@example.org", "the stranger's phrase")
    EmailAddress.objects.create(user=stranger, email="ada@example.org", primary=True)
    EmailAddress.objects.create(user=stranger, email="stranger@example.org", verified=True)
    Authenticator.objects.create(user=stranger, type="totp", data={})
    client = Client()
    assert client.login(email="ada@example.org", password="the stranger's phrase")
    settings.STEADY_ADMIN_EMAIL, settings.STEADY_ADMIN_PASSWORD = "ada@example.org", PASSWORD
    assert ensure_first_admin() is None
    assert client.get(reverse("admin:index")).status_code == 302, "the session has ended"
    assert not Client().login(email="ada@example.org", password="the stranger's phrase")
    assert Client().login(email="ada@example.org", password=PASSWORD)
    address = EmailAddress.objects.get()
    assert (address.email, address.primary, address.verified) == ("ada@example.org", True, True)
    assert not Authenticator.objects.exists()
    assert User.objects.get().is_superuser


@pytest.mark.django_db
def test_a_weak_password_in_the_settings_is_refused(settings: Settings) -> None:
    settings.STEADY_ADMIN_EMAIL, settings.STEADY_ADMIN_PASSWORD = "ada@example.org", "hidden1"
    with pytest.raises(ImproperlyConfigured, match="too weak") as raised:
        ensure_first_admin()
    assert "hidden1" not in str(raised.value)
    assert not User.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_only_one_of_two_simultaneous_uses_of_the_link_succeeds() -> None:
    token = str(ensure_first_admin())
    outcomes: list[str] = []
    barrier = threading.Barrier(2)

    def race(email: str) -> None:
        barrier.wait()
        try:
            outcomes.append(claim(token, email, PASSWORD).email)
        except (FirstAdminError, ValidationError):
            outcomes.append("lost")
        finally:
            connection.close()

    racers = [threading.Thread(target=race, args=[f"{name}@example.org"]) for name in ("ada", "eve")]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert sorted(outcomes) == sorted([User.objects.get().email, "lost"])
