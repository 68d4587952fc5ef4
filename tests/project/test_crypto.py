"""Secrets in the database are useless without the secret key."""

from __future__ import annotations

import pytest
from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.db import connection
from pytest_django.fixtures import Settings

from chat.models import User
from chatproject.crypto import UnreadableSecretError, decrypt, encrypt


def test_a_secret_can_be_decrypted_and_is_never_stored_twice_alike() -> None:
    assert decrypt(encrypt("seed")) == "seed"
    assert encrypt("seed") != encrypt("seed")
    assert "seed" not in encrypt("seed")


def test_a_secret_outlives_a_change_of_the_key_by_the_fallbacks(settings: Settings) -> None:
    stored = encrypt("seed")
    old, settings.SECRET_KEY = settings.SECRET_KEY, "n" * 60
    settings.SECRET_KEY_FALLBACKS = [old]
    assert decrypt(stored) == "seed"
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(UnreadableSecretError):
        decrypt(stored)


@pytest.mark.django_db
def test_the_seed_of_a_second_factor_is_not_in_the_database(settings: Settings) -> None:
    person = User.objects.create_user("ada@example.org", "long enough a password")
    seed = generate_totp_secret()
    TOTP.activate(person, seed)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT data FROM {Authenticator._meta.db_table}")
        assert seed not in str(cursor.fetchall())
    row = Authenticator.objects.get(user=person, type=Authenticator.Type.TOTP)
    assert get_adapter().decrypt(row.data["secret"]) == seed
    # A database restored with another key: the second factor cannot be checked, and nothing else fails.
    settings.SECRET_KEY = "n" * 60
    assert TOTP(row).validate_code("000000") is False


@pytest.mark.django_db
def test_a_second_factor_of_an_earlier_release_still_works() -> None:
    assert get_adapter().decrypt("JBSWY3DPEHPK3PXP") == "JBSWY3DPEHPK3PXP"
