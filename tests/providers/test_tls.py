"""Providers with TLS, as all real ones."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from chat.providers import paced_reading
from chat.providers.base import EndpointConfig
from chat.providers.errors import ConnectionFailedError
from chat.providers.events import Finished, TextDelta
from chat.providers.registry import close_all, provider_for
from tests.providers.conftest import KEY, ask
from tests.providers.wire import Wire, serve

ADAPTERS = ["openai", "openai_compatible", "anthropic", "gemini"]


@pytest.fixture
async def wire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Wire]:
    """A server with a certificate of an authority that only this test trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(tls)
    async with serve(tls=tls) as server:
        yield server
        await close_all()


@pytest.mark.parametrize("kind", ADAPTERS)
async def test_a_tls_connection_that_is_cut_in_the_middle_keeps_the_text_so_far(
    wire: Wire, kind: str
) -> None:
    provider = provider_for(EndpointConfig(kind, kind, kind, base_url=wire.base_url(kind), api_key=KEY))
    text = ""
    with pytest.raises(ConnectionFailedError):
        async for event in provider.stream(ask("/wire tokens=9 drop=3 pace=50")):
            text += event.text if isinstance(event, TextDelta) else ""
    assert text == "word0 word1 word2 "


@pytest.mark.parametrize("kind", ADAPTERS)
async def test_an_untrusted_certificate_is_refused(
    wire: Wire, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    provider = provider_for(EndpointConfig(kind, kind, kind, base_url=wire.base_url(kind), api_key=KEY))
    with pytest.raises(ConnectionFailedError):
        _ = [event async for event in provider.stream(ask("/wire"))]
    assert wire.log == []


@pytest.mark.parametrize("kind", ADAPTERS)
async def test_a_tls_connection_that_is_reset_after_the_end_loses_nothing(
    wire: Wire, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the next read, what arrives stays in the socket: asyncio's TLS would take it, and drop it with
    the connection."""
    monkeypatch.setattr(paced_reading, "interval_seconds", lambda: 0.3)
    provider = provider_for(EndpointConfig(kind, kind, kind, base_url=wire.base_url(kind), api_key=KEY))
    found = [event async for event in provider.stream(ask("/wire tokens=6 pace=50 reset=1"))]
    assert "".join(event.text for event in found if isinstance(event, TextDelta)).split()[-1] == "word5"
    assert isinstance(found[-1], Finished)
