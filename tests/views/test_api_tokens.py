"""Users make, rename and revoke their tokens; administrators revoke everyone's."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings

from chat.actions.api_token import make_token, revoke_tokens, use_token
from chat.actions.errors import ActionError
from chat.actor import Actor, LoggedOutError, ScopeError, TokenClaim, actor_of, holding
from chat.models import ApiToken, Scope, TranscriptRead, User

pytestmark = pytest.mark.django_db


def logged_in(person: User) -> Client:
    """A client that has typed the password just now."""
    client = Client()
    client.force_login(person)
    client.post(reverse("account_reauthenticate"), {"password": "correct horse"})
    return client


def test_a_token_is_made_after_the_password_and_shown_once(person: User) -> None:
    client = logged_in(person)
    assert b"You have no tokens yet." in client.get(reverse("api_tokens")).content
    form = {"name": "Backup script", "scopes": ["read"], "days": "30"}
    made = client.post(reverse("new_api_token"), form)
    (secret,) = re.findall(r'value="(sty_\w+)"', made.content.decode())
    token = ApiToken.objects.get()
    listed = client.get(reverse("api_tokens")).content.decode()
    assert "Backup script" in listed
    assert token.prefix in listed
    assert secret not in listed
    assert secret not in str(ApiToken.objects.values())
    assert timedelta(days=29) < token.expires_at - timezone.now() <= timedelta(days=30)
    assert use_token(secret).scopes == {Scope.READ}
    entry = TranscriptRead.objects.get()
    assert (entry.how, entry.owner, entry.reader) == ("token", person, None)
    assert entry.changes[0][2] == f"{token.prefix}… Backup script (read)"


def test_an_open_session_alone_makes_no_token(person: User) -> None:
    client = Client()
    client.force_login(person)
    for answer in (
        client.get(reverse("new_api_token")),
        client.post(reverse("new_api_token"), {"name": "x"}),
    ):
        assert answer["Location"].startswith(reverse("account_reauthenticate"))
    assert not ApiToken.objects.exists()


def test_a_form_without_a_name_or_a_use_says_so(person: User) -> None:
    answer = logged_in(person).post(reverse("new_api_token"), {"name": " ", "days": ""})
    assert answer.status_code == 400
    assert answer.content.count(b'role="alert"') == 2
    assert not ApiToken.objects.exists()


def test_only_administrators_make_tokens_for_the_administration(person: User, administrator: User) -> None:
    answer = logged_in(person).post(reverse("new_api_token"), {"name": "x", "scopes": ["admin"], "days": ""})
    assert answer.status_code == 400
    with pytest.raises(ActionError):
        make_token(person, name="x", scopes=["admin"])
    _token, secret = make_token(administrator, name="x", scopes=["admin"])
    assert use_token(secret).scopes == {Scope.ADMIN}
    User.objects.filter(pk=administrator.pk).update(is_superuser=False)
    with pytest.raises(ScopeError):
        use_token(secret).require(Scope.ADMIN)


def test_a_token_is_renamed_and_revoked_by_its_owner_alone(person: User, administrator: User) -> None:
    token, secret = make_token(person, name="x", scopes=["chat"])
    address = reverse("api_token", args=[token.pk])
    other = Client()
    other.force_login(administrator)
    assert other.post(address, {"name": "mine"}).status_code == 404
    assert other.delete(address).status_code == 404
    client = Client()
    client.force_login(person)
    client.post(address, {"name": "Phone"})
    token.refresh_from_db()
    assert token.name == "Phone"
    assert use_token(secret).user == person
    client.post(address, {"_method": "delete"})
    assert b"You have no tokens yet." in client.get(reverse("api_tokens")).content
    with pytest.raises(LoggedOutError):
        use_token(secret)
    assert TranscriptRead.objects.filter(how="revoked").count() == 1


def revoked(token: ApiToken) -> None:
    revoke_tokens(ApiToken.objects.filter(pk=token.pk), by=None)


def expired(token: ApiToken) -> None:
    ApiToken.objects.filter(pk=token.pk).update(expires_at=timezone.now())


def deactivated(token: ApiToken) -> None:
    User.objects.filter(pk=token.user_id).update(is_active=False)


@pytest.mark.parametrize("end", [revoked, expired, deactivated], ids=lambda end: end.__name__)
def test_an_ended_token_opens_nothing(end: object, person: User) -> None:
    token, secret = make_token(person, name="x", scopes=["chat"])
    claim = use_token(secret).claim
    assert isinstance(claim, TokenClaim)
    assert holding([claim]) == {claim}
    assert actor_of(claim).scopes == {Scope.CHAT, Scope.READ}
    end(token)  # type: ignore[operator]
    assert holding([claim]) == set()
    for use in (lambda: use_token(secret), lambda: actor_of(claim)):
        with pytest.raises(LoggedOutError):
            use()


def test_a_new_password_leaves_tokens_valid_and_the_page_says_so(person: User) -> None:
    _token, secret = make_token(person, name="x", scopes=["read"])
    person.set_password("quite another passphrase")
    person.save()
    assert isinstance(use_token(secret), Actor)
    client = Client()
    client.force_login(person)
    assert b"Changing your password does not" in client.get(reverse("api_tokens")).content


def test_a_wrong_secret_with_a_known_start_opens_nothing(person: User) -> None:
    token, secret = make_token(person, name="x", scopes=["read"])
    for wrong in ("", "sty_", token.prefix, secret[:-1], secret + "x", secret.swapcase(), secret[4:]):
        with pytest.raises(LoggedOutError):
            use_token(wrong)


def test_tokens_can_be_turned_off(person: User, settings: Settings) -> None:
    _token, secret = make_token(person, name="x", scopes=["read"])
    claim = use_token(secret).claim
    settings.STEADY_API_TOKENS = False
    with pytest.raises(LoggedOutError):
        use_token(secret)
    assert holding([claim]) == set()
    client = logged_in(person)
    assert b"turned off" in client.get(reverse("api_tokens")).content
    answer = client.post(reverse("new_api_token"), {"name": "x", "scopes": ["read"], "days": ""})
    assert b"turned off" in answer.content


def test_the_last_use_is_written_once_a_minute(person: User, django_assert_num_queries: object) -> None:
    token, secret = make_token(person, name="x", scopes=["read"])
    use_token(secret)
    with django_assert_num_queries(1):  # type: ignore[operator]
        use_token(secret)
    used = timezone.now() - timedelta(seconds=61)
    ApiToken.objects.update(last_used_at=used)
    use_token(secret)
    token.refresh_from_db()
    assert token.last_used_at > used


def test_the_number_of_tokens_is_limited(person: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.actions.api_token.MOST", 1)
    make_token(person, name="x", scopes=["read"])
    with pytest.raises(ActionError, match="Revoke one"):
        make_token(person, name="y", scopes=["read"])


def test_an_administrator_revokes_tokens_and_sees_no_secret(person: User, administrator: User) -> None:
    token, secret = make_token(person, name="Their script", scopes=["chat"])
    client = Client()
    client.force_login(administrator)
    address = reverse("admin:chat_apitoken_changelist")
    page = client.get(address).content.decode()
    assert "Their script" in page
    assert secret not in page
    assert token.digest not in page
    client.post(address, {"action": "revoke", "_selected_action": [token.pk]})
    with pytest.raises(LoggedOutError):
        use_token(secret)
    entry = TranscriptRead.objects.get(how="revoked")
    assert (entry.reader, entry.owner) == (administrator, person)
