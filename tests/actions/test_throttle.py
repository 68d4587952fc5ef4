"""Guessing becomes slow, and a stranger cannot lock a user out."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace

import pytest
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from django.contrib.auth import SESSION_KEY
from django.core.cache import cache
from django.db import connection
from django.db.models import F
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings

from chat.actions import throttle
from chat.actions.throttle import TooManyAttemptsError, attempt
from chat.models import LogInThrottle, User

HERE, THERE = "192.0.2.1", "198.51.100.7"


@pytest.fixture(autouse=True)
def frozen_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits begin with a second, which passes between two attempts on a slow machine."""
    now = timezone.now()
    monkeypatch.setattr(throttle, "timezone", SimpleNamespace(now=lambda: now))


def fail(account: str, address: str) -> None:
    with attempt(account, address):
        pass


def succeed(account: str, address: str) -> None:
    with attempt(account, address) as it:
        it.succeed()


def let_waits_pass() -> None:
    LogInThrottle.objects.update(retry_at=throttle.timezone.now() - timedelta(seconds=1))


@pytest.mark.django_db
def test_after_some_failures_each_attempt_waits_twice_as_long() -> None:
    waits = []
    for _ in range(9):
        try:
            fail("ada@example.org", HERE)
        except TooManyAttemptsError as error:
            waits.append(error.seconds)
            let_waits_pass()
            fail("ada@example.org", HERE)
    assert waits == sorted(waits)
    assert waits[0] <= 2 < 8 <= waits[-1]


@pytest.mark.django_db
def test_failures_elsewhere_lock_nobody_out_of_their_own_network() -> None:
    succeed("ada@example.org", HERE)
    for number in range(30):
        fail("ada@example.org", f"203.0.113.{number}")  # each from another network
    with pytest.raises(TooManyAttemptsError) as refused:
        fail("ada@example.org", THERE)
    assert refused.value.seconds <= 10
    succeed("ada@example.org", HERE)


@pytest.mark.django_db
def test_failures_elsewhere_reset_no_count_here() -> None:
    for _ in range(5):
        fail("ada@example.org", HERE)
    for number in range(45):
        fail(f"nobody-{number}@example.org", THERE)
    with pytest.raises(TooManyAttemptsError):
        fail("ada@example.org", HERE)


@pytest.mark.django_db
def test_one_network_that_tries_many_accounts_is_slowed_down() -> None:
    for number in range(50):
        fail(f"nobody-{number}@example.org", "2001:db8::1")
    with pytest.raises(TooManyAttemptsError):
        fail("another@example.org", "2001:db8::ffff")  # the same customer's /64


@pytest.mark.django_db
def test_a_correct_password_in_between_hides_no_wrong_ones() -> None:
    for number in range(49):
        fail(f"nobody-{number}@example.org", HERE)
    succeed("mallory@example.org", HERE)
    fail("nobody@example.org", HERE)
    with pytest.raises(TooManyAttemptsError):
        fail("nobody-else@example.org", HERE)


@pytest.mark.django_db
def test_many_old_failures_of_one_address_delay_no_correct_password() -> None:
    for number in range(60):  # an office, over the months
        fail(f"somebody-{number}@example.org", HERE)
        let_waits_pass()
    for number in range(5):
        succeed(f"colleague-{number}@example.org", HERE)


@pytest.mark.django_db
def test_free_failures_are_reset_after_a_day_even_with_hourly_log_ins() -> None:
    for number in range(50):
        fail(f"somebody-{number}@example.org", HERE)
        let_waits_pass()
    for _ in range(24):
        LogInThrottle.objects.update(updated_at=F("updated_at") - timedelta(hours=1))
        succeed("colleague@example.org", HERE)
    for number in range(49):
        fail(f"somebody-{number}@example.org", HERE)


@pytest.mark.django_db(transaction=True)
def test_attempts_at_the_same_moment_are_all_counted() -> None:
    def one(_: int) -> bool:
        try:
            fail("ada@example.org", HERE)
        except TooManyAttemptsError:
            return False
        else:
            return True
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        taken = sum(threads.map(one, range(24)))
    assert taken == 5


@pytest.mark.django_db
def test_counts_are_forgotten_after_a_day_and_hold_no_address() -> None:
    fail("ada@example.org", HERE)
    assert "ada" not in str(list(LogInThrottle.objects.values_list("key")))
    LogInThrottle.objects.update(updated_at=timezone.now() - throttle.FORGET * 2)
    assert throttle.delete_old_counts() == 3


@pytest.mark.django_db
def test_logging_in_and_changing_the_password_and_the_code_are_all_slowed_down(person: User) -> None:
    client = Client()
    for _ in range(6):
        answer = client.post(reverse("account_login"), {"login": person.email, "password": "wrong"})
    assert "Too many failed attempts." in answer.content.decode()
    # The correct password is not checked.
    answer = client.post(reverse("account_login"), {"login": person.email, "password": "correct horse"})
    assert "Too many failed attempts." in answer.content.decode()

    LogInThrottle.objects.all().delete()
    client.force_login(person)
    words = {"password1": "another good one", "password2": "another good one"}
    for _ in range(6):
        answer = client.post(reverse("account_change_password"), {"oldpassword": "wrong", **words})
        assert answer.status_code in {200, 429}
    assert LogInThrottle.objects.filter(failures=5).exists()

    LogInThrottle.objects.all().delete()
    TOTP.activate(person, generate_totp_secret())
    client = Client()
    client.post(reverse("account_login"), {"login": person.email, "password": "correct horse"})
    for _ in range(6):
        answer = client.post(reverse("mfa_authenticate"), {"code": "000000"})
    assert "Too many failed attempts." in answer.content.decode()


@pytest.mark.django_db
def test_a_code_logs_in_once_across_all_processes(person: User) -> None:
    seed = generate_totp_secret()
    TOTP.activate(person, seed)
    log_ins: Counter[str] = Counter()
    for _ in range(4):
        code = format_hotp_value(hotp_value(seed, int(time.time()) // 30))
        client = Client()
        client.post(reverse("account_login"), {"login": person.email, "password": "correct horse"})
        client.post(reverse("mfa_authenticate"), {"code": code})
        log_ins[code] += SESSION_KEY in client.session
        cache.clear()  # each process has its own
    assert max(log_ins.values()) == 1


@pytest.mark.django_db
def test_nobody_gets_more_attempts_by_an_address_that_they_claim(person: User, settings: Settings) -> None:
    """The proxy adds the address that it received at the end."""
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    for number in range(6):
        answer = Client().post(
            reverse("account_login"),
            {"login": person.email, "password": "wrong"},
            headers={"X-Forwarded-For": f"203.0.113.{number}, {THERE}"},
        )
    assert "Too many failed attempts." in answer.content.decode()
