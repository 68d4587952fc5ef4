"""Rules for every response: links with our own address, nothing stored by browsers."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from chat.models import User


@pytest.fixture
def person(db: None) -> User:
    return User.objects.create_user("ada@example.org", "long enough a password")


@pytest.fixture
def with_mail(settings: Settings) -> None:
    settings.MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
    settings.STEADY_URL = "https://chat.example.org"
    settings.ALLOWED_HOSTS = ["chat.example.org", "evil.example", "testserver"]


@pytest.mark.usefixtures("with_mail")
def test_a_reset_link_uses_the_address_of_the_server_whatever_host_is_requested(
    person: User, client: Client
) -> None:
    client.post(reverse("account_reset_password"), {"email": person.email}, headers={"host": "evil.example"})
    (message,) = mail.outbox
    text = f"{message.subject} {message.body}"
    assert "evil.example" not in text
    assert re.search(r"https://chat\.example\.org/accounts/password/reset/key/\S+", text)


@pytest.mark.usefixtures("with_mail", "db")
def test_an_address_that_nobody_has_gets_no_mail(client: Client) -> None:
    answer = client.post(reverse("account_reset_password"), {"email": "nobody@example.org"})
    assert answer.status_code == 302
    assert mail.outbox == []


def test_no_private_page_is_kept_by_a_browser(person: User, client: Client) -> None:
    client.force_login(person)
    for name in ("home", "settings", "conversations", "account_email", "account_change_password"):
        answer = client.get(reverse(name), follow=True)
        assert "no-store" in answer.headers["Cache-Control"], name
    assert "no-store" in client.get("/nowhere/").headers["Cache-Control"]


@pytest.mark.parametrize(
    ("url", "prefix"), [("https://chat.example.org", "__Host-"), ("http://10.0.0.7", "")]
)
def test_over_https_cookies_belong_to_this_host_alone(url: str, prefix: str) -> None:
    code = (
        "import django; django.setup(); from django.conf import settings as s;"
        "print(s.SESSION_COOKIE_NAME, s.CSRF_COOKIE_NAME, s.SESSION_COOKIE_SECURE, s.SESSION_COOKIE_PATH)"
    )
    env = {"STEADY_URL": url, "DJANGO_SETTINGS_MODULE": "chatproject.settings", "SECRET_KEY": "x" * 60}
    said = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert said.stdout.split() == [f"{prefix}sessionid", f"{prefix}csrftoken", str(bool(prefix)), "/"]


@pytest.mark.usefixtures("person")
def test_over_https_every_answer_has_the_headers_that_browsers_need(
    client: Client, settings: Settings
) -> None:
    """The same for pages, errors and responses for programs."""
    settings.SECURE_SSL_REDIRECT, settings.SECURE_HSTS_SECONDS = True, 31_536_000
    settings.SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    for path in ("/accounts/login/", "/nowhere/", "/admin/", "/readyz", "/connection-check/events/"):
        headers = client.get(path, secure=True).headers
        assert headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains", path
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["Referrer-Policy"] == "same-origin", path
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin", path
        policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
        for directive in ("default-src", "base-uri", "frame-ancestors"):
            assert policy[directive] == "'none'", path
        assert policy["script-src"].split(" ")[0] == "'self'", path
        assert "Access-Control-Allow-Origin" not in headers, path


def test_plain_http_is_sent_to_https(client: Client, settings: Settings) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert client.get("/accounts/login/").headers["Location"] == "https://testserver/accounts/login/"
    assert client.get("/healthz").status_code == 200
