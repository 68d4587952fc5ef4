"""Users see their log-ins and end others; an unused log-in ends."""

from __future__ import annotations

from datetime import timedelta

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.sessions.models import Session
from django.core import mail
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings

from chat import sessions
from chat.actions.first_admin import ensure_first_admin
from chat.actions.login_link import login_token
from chat.actor import SessionClaim, holding
from chat.models import User

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) AppleWebKit/605.1 Mobile/15E148 Safari/604.1"


def logged_in(person: User, user_agent: str = FIREFOX, password: str = "correct horse") -> Client:
    client = Client(headers={"user-agent": user_agent})
    answer = client.post(reverse("account_login"), {"login": person.email, "password": password})
    assert answer.status_code == 302
    return client


def is_logged_in(client: Client) -> bool:
    return client.get(reverse("settings")).status_code == 200


def test_one_log_in_is_ended_and_the_others_stay(person: User) -> None:
    here, phone = logged_in(person), logged_in(person, PHONE)
    page = here.get(reverse("sessions")).content.decode()
    assert "Firefox, Linux" in page
    assert "Safari, iPhone" in page
    assert page.count("This browser") == 1
    theirs = UserSession.objects.get(user_agent=PHONE)
    here.post(reverse("session", args=[theirs.pk]))
    assert is_logged_in(here)
    assert not is_logged_in(phone)


def test_all_others_are_ended_at_once(person: User) -> None:
    here, *others = (logged_in(person) for _ in range(3))
    here.post(reverse("sessions"), {"_method": "delete"})
    assert is_logged_in(here)
    assert not any(map(is_logged_in, others))


def test_no_user_ends_the_log_in_of_another(person: User, administrator: User) -> None:
    here = logged_in(person)
    theirs = UserSession.objects.get(user=person)
    other = Client()
    other.force_login(administrator)
    assert other.post(reverse("session", args=[theirs.pk])).status_code == 404
    assert is_logged_in(here)


@pytest.mark.django_db
def test_a_session_that_nobody_uses_ends_and_one_in_use_does_not(person: User, settings: Settings) -> None:
    settings.STEADY_IDLE_MINUTES = 30
    client = logged_in(person)
    row = Session.objects.get()
    assert timedelta(minutes=29) < row.expire_date - timezone.now() <= timedelta(minutes=30)

    almost = timezone.now() + timedelta(minutes=2)
    Session.objects.update(expire_date=almost)
    client.get(reverse("conversations"), headers={"hx-request": "true"})  # the page's own request
    assert Session.objects.get().expire_date == almost
    assert is_logged_in(client)
    assert Session.objects.get().expire_date > almost + timedelta(minutes=20)

    Session.objects.update(expire_date=almost)
    sessions.extend(row.session_key)  # a prompt over the WebSocket
    assert Session.objects.get().expire_date > almost

    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    sessions.extend(row.session_key)
    assert not is_logged_in(client)
    claim = SessionClaim(person.pk, row.session_key, person.get_session_auth_hash())
    assert holding([claim]) == set()


def test_without_the_setting_a_session_lasts_two_weeks(person: User) -> None:
    client = logged_in(person)
    assert Session.objects.get().expire_date > timezone.now() + timedelta(days=13)
    before = Session.objects.get().expire_date
    client.get(reverse("settings"))
    assert Session.objects.get().expire_date == before


@pytest.mark.parametrize("minutes", [0, 30])
def test_a_session_in_use_ends_two_weeks_after_its_beginning(
    person: User, settings: Settings, minutes: int
) -> None:
    settings.STEADY_IDLE_MINUTES = minutes
    client = logged_in(person)
    session = client.session
    session["_began"] -= settings.SESSION_COOKIE_AGE - 120
    session.save()
    soon = timezone.now() + timedelta(minutes=2)
    assert Session.objects.get().expire_date <= soon
    session["changed"] = 1
    session.save()
    sessions.extend(session.session_key)
    client.get(reverse("settings"))
    assert Session.objects.get().expire_date <= soon
    session["_began"] -= 120
    session.save()
    assert not is_logged_in(client)


def test_a_session_from_before_an_upgrade_gets_an_end(person: User, settings: Settings) -> None:
    settings.STEADY_IDLE_MINUTES = 30
    client = logged_in(person)
    row = Session.objects.get()
    data = {key: value for key, value in row.get_decoded().items() if key != "_began"}
    Session.objects.update(session_data=sessions.SessionStore().encode(data))
    assert is_logged_in(client)
    assert "_began" in Session.objects.get().get_decoded()


def test_a_log_in_on_an_old_anonymous_session_has_its_whole_time(person: User, client: Client) -> None:
    session = sessions.SessionStore()
    session["language"] = "de"
    session.save()
    session["_began"] -= settings.SESSION_COOKIE_AGE - 120
    session.save()
    client.cookies[settings.SESSION_COOKIE_NAME] = session.session_key
    client.force_login(person)
    row = Session.objects.get(session_key=client.session.session_key)
    assert row.expire_date > timezone.now() + timedelta(days=13)
    assert client.session["language"] == "de"


@pytest.fixture
def with_mail(settings: Settings) -> None:
    settings.MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}


def add_address(client: Client, email: str) -> HttpResponse:
    client.post(reverse("account_reauthenticate"), {"password": "another good one"})
    return client.post(reverse("account_email"), {"action_add": "", "email": email})


@pytest.mark.usefixtures("with_mail")
def test_a_found_session_cannot_become_an_account(person: User) -> None:
    EmailAddress.objects.create(user=person, email=person.email, primary=True, verified=True)
    client = logged_in(person)
    answer = client.post(reverse("account_email"), {"action_add": "", "email": "thief@example.org"})
    assert answer["Location"].startswith(reverse("account_reauthenticate"))
    assert not EmailAddress.objects.filter(email="thief@example.org").exists()


@pytest.mark.usefixtures("with_mail")
@pytest.mark.parametrize(
    "page",
    [
        *("account_email", "mfa_activate_totp", "mfa_deactivate_totp"),
        *("mfa_generate_recovery_codes", "mfa_view_recovery_codes", "mfa_download_recovery_codes"),
    ],
)
def test_what_belongs_to_the_log_in_is_changed_and_shown_after_the_password_alone(
    page: str, person: User
) -> None:
    if page not in {"mfa_activate_totp", "account_email"}:
        TOTP.activate(person, generate_totp_secret())
        RecoveryCodes.activate(person)
    before = list(Authenticator.objects.values_list("pk", "data"))
    client = Client()
    client.force_login(person)
    for answer in (
        client.post(reverse(page), {"action_add": "", "email": "thief@example.org", "code": "1"}),
        *([] if page == "account_email" else [client.get(reverse(page))]),
    ):
        assert answer.status_code in {302, 405}
        assert answer.status_code == 405 or answer["Location"].startswith(reverse("account_reauthenticate"))
    assert list(Authenticator.objects.values_list("pk", "data")) == before


@pytest.mark.usefixtures("with_mail")
def test_an_address_that_was_not_confirmed_resets_no_password(person: User, client: Client) -> None:
    EmailAddress.objects.create(user=person, email="thief@example.org", verified=False)
    client.post(reverse("account_reset_password"), {"email": "thief@example.org"})
    assert mail.outbox == []
    client.post(reverse("account_reset_password"), {"email": person.email})
    assert [message.to for message in mail.outbox] == [[person.email]]


@pytest.mark.usefixtures("with_mail")
def test_each_change_of_credentials_is_mailed_to_the_previous_address(person: User) -> None:
    old = EmailAddress.objects.create(user=person, email=person.email, primary=True, verified=True)
    client = logged_in(person)
    words = {"password1": "another good one", "password2": "another good one"}
    client.post(reverse("account_change_password"), {"oldpassword": "correct horse", **words})
    assert [message.to for message in mail.outbox] == [[old.email]]
    mail.outbox.clear()

    add_address(client, "new@example.org")
    (asked,) = (message for message in mail.outbox if message.to == ["new@example.org"])
    assert User.objects.get().email == old.email
    path = next(word for word in asked.body.split() if "/confirm-email/" in word)
    client.post("/" + path.split("/", 3)[3])
    assert User.objects.get().email == "new@example.org"
    assert [old.email] in [message.to for message in mail.outbox]


@pytest.mark.usefixtures("with_mail")
def test_a_new_password_by_mail_logs_nobody_in_and_replaces_no_second_factor(person: User) -> None:
    TOTP.activate(person, generate_totp_secret())
    elsewhere, client = Client(), Client()
    elsewhere.force_login(person)
    client.post(reverse("account_reset_password"), {"email": person.email})
    link = next(word for word in mail.outbox[0].body.split() if "/reset/key/" in word)
    form = client.get("/" + link.split("/", 3)[3])["Location"]
    words = {"password1": "another good one", "password2": "another good one"}
    assert client.post(form, words).status_code == 302
    assert not is_logged_in(client)
    assert not is_logged_in(elsewhere)
    answer = client.post(reverse("account_login"), {"login": person.email, "password": "another good one"})
    assert answer["Location"].startswith(reverse("mfa_authenticate"))
    assert not is_logged_in(client)
    assert client.post(form, words).status_code == 200, "the link works once"
    assert not Client().login(email=person.email, password="correct horse")


@pytest.mark.usefixtures("with_mail")
@pytest.mark.django_db(transaction=True)
def test_changes_by_a_link_and_by_the_administration_are_mailed_too(
    administrator: User, settings: Settings
) -> None:
    person = User.objects.create_user("bert@example.org", "correct horse")
    words = {"password": "a better horse", "repeated": "a better horse"}
    Client().post(reverse("login_link", args=[person.pk, login_token(person)]), words)
    factor = TOTP.activate(person, generate_totp_secret()).instance
    client = Client()
    client.force_login(administrator)
    client.post(reverse("admin:mfa_authenticator_delete", args=[factor.pk]), {"post": "yes"})
    page = reverse("admin:chat_user_change", args=[person.pk])
    assert client.post(page, {"email": "new@example.org", "is_active": "on"}).status_code == 302
    assert [message.to for message in mail.outbox] == [["bert@example.org"]] * 3
    told = [message.body for message in mail.outbox]
    for body, what in zip(told, ("password", "Authenticator app", "new@example.org"), strict=True):
        assert what.lower() in body.lower()
    # The address of an administrator is not sent.
    assert ["IP address: 127.0.0.1" in body for body in told] == [True, False, False]

    settings.MAILERS = {
        "default": {
            "BACKEND": "django.core.mail.backends.smtp.EmailBackend",
            "OPTIONS": {"host": "127.0.0.1", "port": 1},
        }
    }
    assert client.post(page, {"email": "bert@example.org", "is_active": "on"}).status_code == 302
    assert User.objects.get(pk=person.pk).email == "bert@example.org"


def test_without_mail_a_new_address_is_refused_in_words(person: User, settings: Settings) -> None:
    settings.MAILERS = {"default": {"BACKEND": "chatproject.mail.Unsent"}}
    person.set_password("another good one")
    person.save()
    client = Client()
    client.force_login(person)
    answer = add_address(client, "new@example.org")
    assert "This server sends no mail" in answer.content.decode()


def test_a_log_in_gets_a_new_session_key(person: User) -> None:
    """Otherwise an attacker who set a cookie before the log-in would have the session after it."""
    client = Client()
    client.get(reverse("account_login"))
    session = client.session
    session["something"] = "set before"
    session.save()
    client.cookies[settings.SESSION_COOKIE_NAME] = before = str(session.session_key)
    client.post(reverse("account_login"), {"login": person.email, "password": "correct horse"})
    after = client.cookies[settings.SESSION_COOKIE_NAME].value
    assert is_logged_in(client)
    assert after != before
    assert not Session.objects.filter(session_key=before).exists()
    client.post(reverse("account_logout"))
    assert not Session.objects.filter(session_key=after).exists()


def rows_of(page: HttpResponse) -> int:
    return page.content.decode().count("<time ")


def test_a_log_in_by_a_link_is_listed_and_ended_like_any_other(person: User) -> None:
    with_link = Client(headers={"user-agent": PHONE})
    words = {"password": "a better horse", "repeated": "a better horse"}
    answer = with_link.post(reverse("login_link", args=[person.pk, login_token(person)]), words)
    assert answer.status_code == 302
    assert "This browser" in with_link.get(reverse("sessions")).content.decode()
    here = logged_in(person, password="a better horse")
    assert "Safari, iPhone" in here.get(reverse("sessions")).content.decode()
    here.post(reverse("sessions"), {"_method": "delete"})
    assert not is_logged_in(with_link)


@pytest.mark.django_db
def test_the_first_administrator_finds_the_own_log_in_listed() -> None:
    token = ensure_first_admin()
    client = Client(headers={"user-agent": FIREFOX})
    words = {"email": "ada@example.org", "password": "correct horse", "repeated": "correct horse"}
    assert client.post(reverse("first_admin", args=[token]), words).status_code == 302
    assert rows_of(client.get(reverse("sessions"))) == 1


def test_log_ins_that_have_ended_by_themselves_are_neither_listed_nor_counted(person: User) -> None:
    expired, changed, here = (logged_in(person) for _ in range(3))
    Session.objects.filter(session_key=expired.session.session_key).update(expire_date=timezone.now())
    other_password = changed.session  # as after a later change of the password
    other_password["_auth_user_hash"] = "another"
    other_password.save()
    assert rows_of(here.get(reverse("sessions"))) == 1
    answer = here.post(reverse("sessions"), {"_method": "delete"}, follow=True)
    assert "Logged out of 0 sessions." in answer.content.decode()
