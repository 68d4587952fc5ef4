"""The check of one endpoint names the step that fails, its cause and the fix."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import trustme
from django.test import Client
from django.utils.translation import override
from pytest_django.fixtures import Settings

from chat.diagnosis.endpoint_checks import check_endpoint
from chat.diagnosis.findings import Finding
from chat.models import Endpoint, User
from chat.providers.base import EndpointConfig
from tests.faults.stack import free_port
from tests.providers.test_contract import answering
from tests.providers.wire import Wire, serve

KEY = "canary-4f9b2c7d1e8a"


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with serve() as server:
        yield server


def endpoint(wire: Wire, kind: str = "openai_compatible", **fields: object) -> EndpointConfig:
    found = EndpointConfig("own", kind, "Own", wire.base_url(kind), KEY)
    return replace(found, **fields)  # type: ignore[arg-type]


async def last_of(config: EndpointConfig, *models: str) -> Finding:
    found = await check_endpoint(config, models=models or ("/wire tokens=40 pace=200 first=0.4",))
    assert all(finding.ok for finding in found[:-1])
    assert KEY not in repr(found)
    return found[-1]


@pytest.mark.parametrize("kind", ["openai_compatible", "anthropic", "gemini"])
async def test_a_healthy_endpoint_passes_each_step_with_its_time(wire: Wire, kind: str) -> None:
    found = await check_endpoint(endpoint(wire, kind), models=("/wire tokens=40 pace=100 first=0.4",))
    assert [finding.name for finding in found] == ["Name", "Connection", "Models", "Answer"]
    assert all(finding.ok and finding.seconds is not None and not finding.fix for finding in found), found
    assert "first word after" in found[-1].words


async def test_a_buffered_answer_is_distinguished_from_a_streamed_one(wire: Wire) -> None:
    finding = await last_of(endpoint(wire), "/wire tokens=40 first=1.5")
    assert not finding.ok and "arrived at once" in finding.words and "proxy_buffering off" in finding.fix


async def test_a_missing_v1_is_found(wire: Wire) -> None:
    base = wire.base_url("openai_compatible")
    assert base.endswith("/v1")
    finding = await last_of(endpoint(wire, base_url=base.removesuffix("/v1")))
    assert (finding.name, finding.ok) == ("Models", False)
    assert finding.fix == f"Write the address as {base}"


async def test_a_refused_key_is_reported(wire: Wire) -> None:
    refused = b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"
    async with answering(refused) as (origin, _asked):
        finding = await last_of(endpoint(wire, base_url=f"{origin}/v1"))
    assert (finding.name, finding.ok) == ("Models", False)
    assert finding.fix == "The provider refuses the key. Check that it is whole, and not revoked."


async def test_an_empty_list_is_reported(wire: Wire) -> None:
    empty = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"data":[]}'
    async with answering(empty) as (origin, _asked):
        finding = await last_of(endpoint(wire, base_url=f"{origin}/v1"))
    assert "is empty" in finding.words and "Load a model" in finding.fix


async def test_each_reason_for_an_unreachable_server_has_its_message(wire: Wire) -> None:
    closed = await last_of(endpoint(wire, base_url=f"http://127.0.0.1:{free_port()}/v1"))
    assert (closed.name, closed.ok) == ("Connection", False)
    assert "refuses the connection" in closed.words
    unknown = await last_of(endpoint(wire, base_url="http://gpu.invalid/v1"))
    assert (unknown.name, unknown.ok) == ("Name", False)
    assert "gpu.invalid is not known" in unknown.words
    plain = await last_of(
        endpoint(wire, base_url=wire.base_url("openai_compatible").replace("http", "https"))
    )
    assert (plain.name, plain.ok) == ("Connection", False)
    assert "does not speak TLS" in plain.words

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            pass
        writer.close()

    async with await asyncio.start_server(hold, "127.0.0.1", 0) as server:
        silent = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        late = await last_of(endpoint(wire, base_url=silent, connect_seconds=0.3))
    assert "within 0.3 s" in late.words


async def test_an_untrusted_certificate_is_reported() -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority = trustme.CA()
    authority.issue_cert("localhost").configure_cert(tls)
    async with serve(tls=tls) as wire:
        finding = await last_of(endpoint(wire))
        assert "is not trusted" in finding.words and "certificate authority" in finding.fix
        trusting = endpoint(wire, authority=authority.cert_pem.bytes().decode())
        assert (await last_of(trusting)).ok


async def test_a_failed_answer_names_the_model(wire: Wire) -> None:
    finding = await last_of(endpoint(wire), "/wire fail=500")
    assert (finding.name, finding.ok) == ("Answer", False)
    assert finding.words.startswith("/wire fail=500: HTTP 500")
    assert "early" in (await last_of(endpoint(wire), "/wire tokens=40 cut=3")).words


def test_the_form_is_tested_before_it_is_saved(
    client: Client, administrator: User, person: User, settings: Settings
) -> None:
    settings.CHAT_ENDPOINTS = {"demo": EndpointConfig("demo", "demo", "Demo")}
    Endpoint.objects.create(slug="demo", name="Demo")
    url = "/admin/chat/endpoint/"
    form = {"name": "Own", "kind": "openai_compatible", "position": "1", "key": KEY}
    client.force_login(person)
    assert client.post(f"{url}add/test/", form).status_code == 302  # to the log-in
    client.force_login(administrator)
    assert client.get(f"{url}add/test/").status_code == 405
    page = client.post(f"{url}add/test/", {**form, "address": f"http://127.0.0.1:{free_port()}/v1"})
    assert b"refuses the connection" in page.content
    assert b"<html" in page.content and KEY.encode() not in page.content
    fetched = client.post(f"{url}add/test/", form, headers={"X-Requested-With": "fetch"})
    assert b"Address: Enter the address of the server." in fetched.content
    assert b"<html" not in fetched.content
    with override("de"):
        answered = client.post(f"{url}demo/change/test/", headers={"X-Requested-With": "fetch"})
    assert answered.content.count(b"passed") == 2
    assert client.post(f"{url}nothing/change/test/").status_code == 403
    assert [row.slug for row in Endpoint.objects.all()] == ["demo"]
