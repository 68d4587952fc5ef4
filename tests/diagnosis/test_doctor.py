"""The connection check finds faults and names their fixes."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import DatabaseError
from django.test import Client

from chat.diagnosis import server_checks
from chat.diagnosis.connection_token import is_token, new_token
from chat.diagnosis.server_checks import check_server
from chat.models import ChatModel, Endpoint, User
from chat.providers.base import EndpointConfig
from chat.providers.registry import close_all
from tests.faults.stack import free_port, wait_for_port
from tests.forked import run
from tests.servers import ROOT, ServerProcess

PROXY = """
daemon off; pid %(folder)s/nginx.pid; worker_processes 1; error_log %(folder)s/nginx.log;
events { worker_connections 64; }
http {
  access_log off; client_body_temp_path %(folder)s/body; proxy_temp_path %(folder)s/proxy;
  fastcgi_temp_path %(folder)s/fastcgi; uwsgi_temp_path %(folder)s/uwsgi; scgi_temp_path %(folder)s/scgi;
  server { listen 127.0.0.1:%(port)d; location / { proxy_pass http://127.0.0.1:%(to)d; %(lines)s } }
}
"""
RIGHT = (
    'proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";'
    " proxy_set_header Host $http_host;"
)
HELD_BACK = (
    " } location /connection-check/events/ { proxy_pass http://127.0.0.1:%(to)d; proxy_http_version 1.0;"
    " proxy_ignore_headers X-Accel-Buffering;"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("doctor") / "data").start()
    yield process
    process.stop()


def doctor(server: ServerProcess, url: str = "", silence: str = "1.5") -> dict[str, str]:
    """Returns the finding of `manage.py doctor` for each check."""
    arguments = ["doctor", "--no-color", "--url", url or server.url, "--silence", silence]
    said = run(arguments, ROOT, server.env).stdout
    parts = re.split(r"^(ok  |FAIL) ", said, flags=re.MULTILINE)[1:]
    return {
        text.partition(":")[0]: mark.strip() + text
        for mark, text in zip(parts[::2], parts[1::2], strict=True)
    }


def test_a_good_installation_is_well(server: ServerProcess) -> None:
    found = doctor(server)
    names = {"Database", "Clock", "Redis", "Demo", "Address", "WebSocket", "Idle time", "Fallback (SSE)"}
    assert set(found) == names
    assert all(words.startswith("ok") for words in found.values()), found


def test_a_server_that_does_not_run_is_reported_as_unreachable(server: ServerProcess) -> None:
    found = doctor(server, f"http://127.0.0.1:{free_port()}")
    assert found["Address"].startswith("FAIL")
    assert "proxy_pass" in found["Address"]


@pytest.mark.needs_nginx
@pytest.mark.parametrize(
    ("lines", "silence", "name", "fix"),
    [
        ("proxy_set_header Host $http_host;", "1.5", "WebSocket", "proxy_set_header Upgrade"),
        (RIGHT + HELD_BACK, "1.5", "Fallback (SSE)", "proxy_buffering off"),
        (RIGHT + " proxy_read_timeout 1s;", "4", "Idle time", "proxy_read_timeout"),
    ],
)
def test_a_misconfigured_proxy_is_found(
    server: ServerProcess, tmp_path: Path, lines: str, silence: str, name: str, fix: str
) -> None:
    port = free_port()
    config = tmp_path / "nginx.conf"
    config.write_text(
        PROXY % {"folder": tmp_path, "port": port, "to": server.port, "lines": lines % {"to": server.port}}
    )
    nginx = subprocess.Popen(["nginx", "-c", str(config), "-e", str(tmp_path / "nginx.log")])
    try:
        wait_for_port(port)
        found = doctor(server, f"http://127.0.0.1:{port}", silence)
    finally:
        nginx.terminate()
        nginx.wait()
    assert [key for key, words in found.items() if words.startswith("FAIL")] == [name]
    assert fix in found[name]


@pytest.mark.django_db(transaction=True)
async def test_a_provider_that_refuses_the_key_and_an_unreachable_database_are_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endpoint = EndpointConfig(
        "compatible", "openai_compatible", "Own server", f"http://127.0.0.1:{free_port()}/v1"
    )
    monkeypatch.setattr(settings, "CHAT_ENDPOINTS", {"compatible": endpoint})
    found = {finding.name: finding for finding in await check_server()}
    assert found["Database"].ok
    assert not found["Own server"].ok
    assert found["Own server"].fix

    def away() -> None:
        raise DatabaseError("connection refused")

    monkeypatch.setattr(server_checks, "_clock", away)
    found = {finding.name: finding for finding in await check_server()}
    await close_all()
    assert not found["Database"].ok
    assert "connection refused" in found["Database"].words


@pytest.mark.django_db(transaction=True)
def test_the_page_of_the_connection_check_writes_nothing(
    client: Client, administrator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoints = {
        "demo": EndpointConfig("demo", "demo", "Demo"),
        "openai": EndpointConfig("openai", "openai", "OpenAI"),
    }
    monkeypatch.setattr(settings, "CHAT_ENDPOINTS", endpoints)
    Endpoint.objects.create(slug="demo", name="Demo", sync_error="as it was")
    client.force_login(administrator)
    page = client.get("/connection-check/").content.decode()
    assert "Lists 2 models." in page
    assert list(Endpoint.objects.values_list("slug", "sync_error", "synced_at")) == [
        ("demo", "as it was", None)
    ]
    assert not ChatModel.objects.exists()


def test_the_page_is_for_administrators(client: Client, person: User, administrator: User) -> None:
    assert client.get("/connection-check/").status_code == 302
    client.force_login(person)
    assert client.get("/connection-check/").status_code == 404


def test_only_a_fresh_token_opens_the_endpoints(client: Client) -> None:
    assert is_token(new_token())
    assert not is_token(new_token() + "x")
    assert client.get("/connection-check/events/").status_code == 403


def test_a_redis_that_is_down_is_reported_and_no_proxy_is_blamed(tmp_path: Path) -> None:
    env = {"REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}
    server = ServerProcess(tmp_path / "data", env).start()
    try:
        found = doctor(server)
    finally:
        server.stop()
    assert [name for name, words in found.items() if words.startswith("FAIL")] == ["Redis"]
    assert "REDIS_URL" in found["Redis"]
