"""Endpoints of the administration: a key is typed once, kept encrypted, and goes to one server alone."""

from __future__ import annotations

import html
import logging
import re
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import Resolver404, resolve
from django.utils import timezone
from pytest_django.fixtures import Settings

from chat.actions import catalog
from chat.actions.endpoint import use_current_key
from chat.models import ChatModel, Conversation, Endpoint, Generation, Status, User
from chat.providers.base import EndpointConfig, ModelInfo
from chatproject.crypto import UnreadableSecretError, encrypt
from chatproject.provider_file import ProviderFile
from tests.generation.rows import a_reply

PROVIDERS = "/admin/chat/endpoint/"
KEY = "canary-4f9b2c7d1e8a"
FORM = {
    "name": "GPU one",
    "kind": "openai_compatible",
    "address": "https://gpu.example.org/v1",
    "key": KEY,
    "enabled": "on",
    "position": "100",
    "headers": "X-Team: canary-header-77\nX-Plain: abc",
    "query": "api-version=canary-query-99",
    "proxy": "http://u:canary-proxy-55@proxy.example.org:3128",
}
SECRETS = (KEY, "canary-header-77", "canary-query-99", "canary-proxy-55")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[EndpointConfig]:
    """The endpoints that were asked for their models. Each lists one."""
    found = []

    async def answer(endpoint: EndpointConfig) -> list[ModelInfo]:
        found.append(endpoint)
        return [ModelInfo("qwen")]

    monkeypatch.setattr(catalog, "_answer", answer)
    return found


@pytest.fixture
def admin(client: Client, administrator: User, settings: Settings) -> Client:
    settings.CHAT_ENDPOINTS = {}
    client.force_login(administrator)
    return client


def errors(client: Client, url: str, form: dict[str, str]) -> str:
    answer = client.post(url, form)
    assert answer.status_code == 200
    return str(answer.context["adminform"].form.errors.as_json()) + answer.content.decode()


def all_linked_pages(client: Client) -> dict[str, bytes]:
    """Returns one page, export or error of each route that links from page to page lead to, by the route's
    name, beginning at the chat, the settings and the administration."""
    chat = Conversation.objects.get()
    waiting = ["/export/?format=json", f"/conversations/{chat.pk}/export/?format=markdown", "/api/v1/models"]
    waiting += ["/admin/", "/settings/", "/"]
    found: dict[str, bytes] = {}
    while waiting:
        url = waiting.pop()
        try:
            route = resolve(url.partition("?")[0])
        except Resolver404:
            continue
        name = route.view_name or str(route.route)
        if name in found or "logout" in name:
            continue
        page = client.get(url, follow=True)
        found[name] = page.getvalue() if not getattr(page, "is_async", False) else b""
        links = re.findall(rb'href="(/[^"#]*)"', found[name])
        waiting += [html.unescape(link.decode()) for link in links]
    return found


@pytest.mark.django_db(transaction=True)
def test_an_endpoint_is_added_and_used_and_its_key_is_nowhere_in_clear_text(
    admin: Client,
    administrator: User,
    asked: list[EndpointConfig],
    caplog: pytest.LogCaptureFixture,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    caplog.set_level(logging.DEBUG)
    pages = [admin.post(f"{PROVIDERS}add/", FORM, follow=True)]
    assert "GPU one" in pages[0].content.decode()
    row = Endpoint.objects.get(slug="gpu-one")
    assert row.source == "administration"
    config = row.config()
    assert config is not None and asked == [config]
    assert (config.api_key, config.base_url) == (KEY, "https://gpu.example.org/v1")
    assert config.headers == (("X-Team", "canary-header-77"), ("X-Plain", "abc"))
    assert config.query == (("api-version", "canary-query-99"),)
    assert ChatModel.objects.usable().get().name == "qwen"
    pages += [admin.get(url) for url in (PROVIDERS, f"{PROVIDERS}gpu-one/change/", "/admin/")]
    pages += [admin.get(f"{PROVIDERS}gpu-one/history/"), admin.get(f"{PROVIDERS}gpu-one/delete/")]
    # A form that is shown again has its secrets no more.
    pages.append(admin.post(f"{PROVIDERS}gpu-one/change/", {**FORM, "name": ""}))
    shown = repr(config).encode() + b"".join(page.content for page in pages)
    a_reply(administrator, status=Status.COMPLETE)
    visited = all_linked_pages(admin)
    assert len(visited) > 40 and {
        "admin:chat_endpoint_change",
        "conversation",
        "export_chat",
        "export_chats",
    } <= set(visited)
    shown += b"".join(visited.values())
    call_command("dumpdata", "chat.endpoint", "admin.logentry")
    if connection.vendor == "sqlite":
        call_command("backup")
        call_command("backup", "--all")
        name = connection.settings_dict["NAME"]
        with sqlite3.connect(name) as database:
            shown += "\n".join(database.iterdump()).encode()
    shown += capfdbinary.readouterr().out + caplog.text.encode()
    assert shown.count(b"gpu-one") > 10
    assert [secret for secret in SECRETS if secret.encode() in shown] == []


@pytest.mark.django_db(transaction=True)
def test_a_change_keeps_the_key_unless_the_address_changes(
    admin: Client, asked: list[EndpointConfig]
) -> None:
    admin.post(f"{PROVIDERS}add/", FORM)
    url = f"{PROVIDERS}gpu-one/change/"
    same = {**FORM, "key": "", "headers": "", "query": "", "proxy": ""}
    assert admin.post(url, {**same, "address": "https://gpu.example.org/other"}).status_code == 302
    assert asked[-1].api_key == KEY and asked[-1].headers and asked[-1].proxy
    for other in (
        {"address": "https://evil.example.org/v1"},
        {"address": "http://gpu.example.org/v1"},
        {"kind": "openai"},
        {"proxy": "http://evil.example.org:3128"},
    ):
        assert "Type the key again" in errors(admin, url, {**same, **other})
    assert (
        admin.post(url, {**same, "address": "https://evil.example.org/v1", "key": "other"}).status_code == 302
    )
    assert asked[-1].api_key == "other"
    assert asked[-1].headers == asked[-1].query == ()  # They were typed for the other server.
    assert admin.post(url, {**same, "address": "https://b.example.org", "forget": "on"}).status_code == 302
    assert asked[-1].secrets == ()


def test_a_row_whose_address_was_changed_in_the_database_yields_no_key(admin: Client) -> None:
    row = Endpoint(slug="own", name="Own", kind="openai_compatible", address="https://a.example.org/v1")
    from chat.models.endpoint import Secrets

    row.set_secrets(Secrets(key=KEY))
    row.save()
    assert row.secrets().key == KEY
    row.address = "https://evil.example.org/v1"
    with pytest.raises(UnreadableSecretError):
        row.secrets()
    row.save()
    assert row.config() is None
    assert "cannot be read" in admin.get(PROVIDERS).content.decode()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"address": "ftp://x"}, "no web address"),
        ({"address": "https://u:p@gpu.example.org"}, "Leave the name and the password out"),
        ({"address": "https://gpu.example.org/?key=1"}, "query parameter"),
        ({"address": ""}, "Enter the address"),
        ({"kind": "azure", "address": ""}, "Enter the address"),
        ({"kind": "bedrock", "address": ""}, "Enter the region"),
        ({"kind": "vertex", "address": "", "region": "x.evil.example/"}, "Enter a valid value"),
        ({"kind": "openai", "key": ""}, "needs a key"),
        ({"headers": "no colon"}, "One line cannot be sent"),
        ({"headers": "X-A: b\x01"}, "One line cannot be sent"),
        ({"headers": "\n".join(f"X-{n}: 1" for n in range(21))}, "too many"),
        ({"proxy": "socks5://x"}, "Write the proxy like"),
        ({"authority": "-----BEGIN"}, "PEM"),
        ({"key": "schlüssel"}, "characters that no key has"),
        ({"at_once": "0"}, "greater than or equal to 1"),
        ({"kind": "demo"}, "not one of the available choices"),
    ],
)
def test_what_cannot_work_is_refused_in_words(admin: Client, change: dict[str, str], words: str) -> None:
    page = errors(admin, f"{PROVIDERS}add/", {**FORM, **change})
    assert words in page
    assert KEY not in page
    assert not Endpoint.objects.exists()


def test_keys_are_encrypted_again_with_a_new_secret_key(db: None, settings: Settings) -> None:
    from chat.models.endpoint import Secrets

    row = Endpoint(slug="own", name="Own", kind="openai_compatible", address="https://a.example.org/v1")
    row.set_secrets(Secrets(key=KEY))
    row.save()
    former, settings.SECRET_KEY = settings.SECRET_KEY, "n" * 60
    assert row.config() is None
    settings.SECRET_KEY_FALLBACKS = [former]
    assert row.secrets().key == KEY
    assert use_current_key() == 1
    assert use_current_key() == 0
    settings.SECRET_KEY_FALLBACKS = []
    row.refresh_from_db()
    assert row.secrets().key == KEY


def test_three_sources_are_one_list_and_the_environment_takes_precedence(
    admin: Client, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPU_KEY", "canary-of-the-file")
    path = tmp_path / "providers.toml"
    path.write_text(
        '[gpu]\nkind = "ollama"\nkey_env = "GPU_KEY"\n[both]\nkind = "openai_compatible"\naddress = "http://f"\n'
        '[cloud]\nkind = "vertex"\nregion = "global"\nproject = "p"\n'
    )
    settings.CHAT_PROVIDER_FILE = ProviderFile(str(path), 10)
    settings.CHAT_ENDPOINTS = {"both": EndpointConfig("both", "demo", "Both")}
    for slug in ("gpu", "both", "gone"):
        Endpoint.objects.create(slug=slug, name=slug)
    Endpoint.objects.create(slug="own", name="own", kind="ollama", address="http://10.0.0.7:11434")
    assert {row.slug: row.source for row in Endpoint.objects.all()} == {
        "gpu": "file",
        "both": "environment",
        "own": "administration",
        "gone": "",
    }
    configs = Endpoint.objects.configs()
    assert configs["gpu"].api_key == "canary-of-the-file"
    assert configs["own"].base_url == "http://10.0.0.7:11434/v1"
    assert configs["both"].kind == "demo"
    assert (configs["cloud"].region, configs["cloud"].project) == ("global", "p")
    listed = admin.get(PROVIDERS).content.decode()
    assert "canary-of-the-file" not in listed
    for word in ("environment", "file", "administration", "not set up any more"):
        assert word in listed
    fixed = admin.get(f"{PROVIDERS}gpu/change/").content.decode()
    assert 'name="key"' not in fixed
    assert admin.post(f"{PROVIDERS}gpu/change/", {"position": "7", "key": "x"}).status_code == 302
    assert Endpoint.objects.get(slug="gpu").position == 7
    path.write_text("[gpu]\nkind = 'ollama'\nkey = 'sk-in-the-file'\n")
    answer = admin.post(f"{PROVIDERS}read-file/", follow=True).content.decode()
    assert "holds a key" in answer and "sk-in-the-file" not in answer
    assert set(Endpoint.objects.configs()) == {"gpu", "both", "cloud", "own"}  # the former ones stay


def test_only_users_with_the_right_change_providers(client: Client, make_user: Callable[..., User]) -> None:
    user = make_user("clerk@example.org", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_endpoint"))
    client.force_login(user)
    Endpoint.objects.create(slug="own", name="own", kind="ollama", encrypted=encrypt("{}"))
    assert client.get(f"{PROVIDERS}own/change/").status_code == 200
    assert client.post(f"{PROVIDERS}own/change/", FORM).status_code == 403
    assert client.post(f"{PROVIDERS}add/", FORM).status_code == 403
    assert client.post(f"{PROVIDERS}read-file/").status_code == 403


def test_the_page_of_a_provider_shows_its_speed_and_its_last_failures(
    admin: Client, administrator: User
) -> None:
    """Failures in Steady's words and with their code, not with what the provider said about a prompt."""
    now = timezone.now()
    for first, whole in ((0.4, 2.0), (0.5, 4.0), (0.6, 6.0)):
        begun = now - timedelta(seconds=whole)
        reply = a_reply(administrator, status=Status.COMPLETE)
        times = {"started_at": begun, "first_token_at": begun + timedelta(seconds=first), "finished_at": now}
        Generation.objects.filter(pk=reply.pk).update(**times)
    failed = a_reply(administrator, status=Status.FAILED)
    said = {"error_message": "The provider refuses the key.", "error_detail": "canary of a prompt"}
    Generation.objects.filter(pk=failed.pk).update(finished_at=now, error_code="authentication", **said)
    page = admin.get(f"{PROVIDERS}demo/change/").content.decode().replace("\N{NO-BREAK SPACE}", " ")
    assert "half within 0.5 s, 95% within 0.6 s (of the last 3 replies)" in page
    assert "half within 4.0 s, 95% within 6.0 s (of the last 3 replies)" in page
    assert "The provider refuses the key. (authentication)" in page
    assert "canary of a prompt" not in page
