"""Each wrong setting is found by a check, and a correct configuration gives no message."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from pytest_django.fixtures import Settings

from chat.actions.catalog import store_models
from chat.models import Endpoint
from chat.providers.base import EndpointConfig, ModelInfo
from tests.forked import run
from tests.servers import ROOT

DEMO = {"demo": EndpointConfig("demo", "demo", "Demo")}
GOOD: dict[str, Any] = {
    "SECRET_KEY": "a mixture of many characters, longer than fifty of them",
    "DEBUG": False,
    "STEADY_URL": "https://chat.example.org",
    "HTTPS": True,
    "LOCAL": False,
    "TRUST_PROXY": True,
    "ALLOWED_HOSTS": ["chat.example.org"],
    "CSRF_TRUSTED_ORIGINS": ["https://chat.example.org"],
    "CHAT_ENDPOINTS": DEMO,
    "CHAT_DEFAULT_MODEL": "",
    "SQLITE": True,
    "REDIS_URL": "",
    "STEADY_ADMIN_EMAIL": "",
    "STEADY_ADMIN_PASSWORD": "",
    "METRICS_TOKEN": "",
}


@pytest.fixture
def good(settings: Settings, tmp_path: Path) -> Settings:
    for name, value in {**GOOD, "DATA_DIR": tmp_path, "STATIC_ROOT": tmp_path / "new" / "static"}.items():
        setattr(settings, name, value)
    return settings


def _found() -> list[str]:
    return [str(message.id) for message in run_checks(tags=["steady"])]


def test_a_good_configuration_is_silent(good: Settings) -> None:
    assert _found() == []


@pytest.mark.parametrize(
    ("found", "changes"),
    [
        ("steady.E001", {"SECRET_KEY": "short"}),
        ("steady.E001", {"SECRET_KEY": "a" * 60}),
        ("steady.E001", {"SECRET_KEY": "django-insecure-" + "abcdefgh" * 8}),
        ("steady.E002", {"ALLOWED_HOSTS": ["other.example.org"]}),
        ("steady.E003", {"CSRF_TRUSTED_ORIGINS": ["https://chat.example.org:8443"]}),
        ("steady.E004", {"DEBUG": True}),
        ("steady.E005", {"TRUST_PROXY": False}),
        (
            "steady.W001",
            {
                "STEADY_URL": "http://chat.example.org:8000",
                "HTTPS": False,
                "CSRF_TRUSTED_ORIGINS": ["http://chat.example.org:8000"],
            },
        ),
        ("steady.W004", {"REDIS_URL": "redis://127.0.0.1"}),
        ("steady.W008", {"METRICS_TOKEN": "short"}),
        ("steady.W006", {"STEADY_ADMIN_EMAIL": "ada@example.org"}),
        ("steady.W006", {"STEADY_ADMIN_PASSWORD": "a long enough phrase"}),
        ("steady.E006", {"STEADY_ADMIN_EMAIL": "ada", "STEADY_ADMIN_PASSWORD": "a long enough phrase"}),
        ("steady.W005", {"DATA_DIR": Path(__file__) / "data"}),
    ],
)
def test_a_misconfiguration_is_found(good: Settings, found: str, changes: dict[str, Any]) -> None:
    for name, value in changes.items():
        setattr(good, name, value)
    assert _found() == [found]


def test_a_weak_key_is_let_pass_while_debugging_on_this_machine(good: Settings) -> None:
    good.SECRET_KEY, good.DEBUG, good.LOCAL = "short", True, True
    assert _found() == []


def _found_in_catalog() -> list[str]:
    return [str(message.id) for message in run_checks(tags=["catalog"], databases=["default"])]


@pytest.mark.django_db
def test_a_catalog_without_a_usable_model_is_found(good: Settings) -> None:
    store_models(DEMO["demo"], [ModelInfo("demo", "Demo")])
    assert _found_in_catalog() == []
    Endpoint.objects.update(enabled=False)
    assert _found_in_catalog() == ["steady.W002"]


@pytest.mark.django_db
def test_a_default_model_that_is_none_is_found(good: Settings) -> None:
    store_models(DEMO["demo"], [ModelInfo("demo", "Demo")])
    for name, found in {"demo": [], "Demo": [], "gpt": ["steady.W003"]}.items():
        good.CHAT_DEFAULT_MODEL = name
        assert _found_in_catalog() == found


def _manage(data: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return run(arguments, ROOT, {**inherited, "STEADY_DATA_DIR": str(data), **environment})


@pytest.mark.parametrize("command", ["changepassword", "createsuperuser", "sync_models", "shell", "doctor"])
def test_a_command_in_the_wrong_place_says_so_and_leaves_nothing_there(tmp_path: Path, command: str) -> None:
    refused = _manage(tmp_path / "data", command)
    assert refused.returncode == 2
    assert f"No database at {tmp_path}/data/steady.sqlite3. Set STEADY_DATA_DIR" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "steady.sqlite3").touch()
    assert "No database at" in _manage(tmp_path, "changepassword").stderr


def test_a_command_finds_what_migrate_made(tmp_path: Path) -> None:
    assert _manage(tmp_path, "migrate", "--verbosity=0").returncode == 0
    assert "does not exist" in _manage(tmp_path, "changepassword", "nobody@example.org").stderr


def test_production_settings_pass_djangos_deployment_checks(tmp_path: Path) -> None:
    checked = _manage(
        *(tmp_path, "check", "--deploy", "--fail-level", "WARNING"),
        STEADY_URL="https://chat.example.org",
        SECRET_KEY=str(GOOD["SECRET_KEY"]),
    )
    assert checked.returncode == 0, checked.stderr
    assert "no issues" in checked.stdout


@pytest.mark.parametrize(("url", "found"), [("", "steady.W007"), ("http://chat.example.org", "steady.W001")])
def test_an_http_address_is_one_finding_that_names_the_setting(tmp_path: Path, url: str, found: str) -> None:
    said = _manage(tmp_path, "check", "--deploy", STEADY_URL=url).stderr
    assert [line for line in said.splitlines() if line.startswith("?:")] == [
        line for line in said.splitlines() if line.startswith(f"?: ({found}) STEADY_URL is http")
    ]
    assert found in said


@pytest.mark.parametrize("url", ["", "https://chat.example.org", "http://192.0.2.1:8000"])
def test_the_server_refuses_to_start_with_a_weak_key(tmp_path: Path, url: str) -> None:
    refused = _manage(tmp_path, "serve", "127.0.0.1:0", SECRET_KEY="hidden", STEADY_URL=url)
    assert refused.returncode == 2
    assert refused.stderr.startswith("A setting is wrong. SECRET_KEY is a default or too short")
    assert "Traceback" not in refused.stderr
    assert "hidden" not in refused.stderr + refused.stdout
