"""A running server process within the test, with a scripted provider, and a client with a token."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from django.conf import settings

from chat import runtime as runtime_module
from chat.actions.api_token import make_token
from chat.database import run_unit
from chat.models import ChatModel, Endpoint, User
from chat.providers import registry
from chat.runtime import Runtime
from tests.api.streaming import Program
from tests.files.conftest import storage  # noqa: F401 - a fixture for each test here
from tests.live.scripted import ACCOUNT, ScriptedProvider


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> type[ScriptedProvider]:
    monkeypatch.setitem(registry.KINDS, "scripted", "tests.live.scripted.ScriptedProvider")
    monkeypatch.setitem(settings.CHAT_ENDPOINTS, "scripted", ACCOUNT)
    ScriptedProvider.open.clear()
    return ScriptedProvider


@pytest.fixture
def models(scripted: object, db: None) -> list[ChatModel]:
    provider = Endpoint.objects.create(slug="scripted", name="Scripted")
    return [ChatModel.objects.create(endpoint=provider, name=name) for name in ("first", "second")]


@pytest_asyncio.fixture
async def serving(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Runtime]:
    # A test client may leave a stream open. Its end is not what these tests are about.
    monkeypatch.setattr(runtime_module, "DISMISS_SECONDS", 0.0)
    runtime.start()
    yield runtime
    await runtime.stop(0)


@pytest.fixture
def secret(person: User) -> str:
    return make_token(person, name="Test", scopes=["chat"])[1]


@pytest.fixture
def program(secret: str) -> Program:
    """A client with a token for chats."""
    return Program(secret)


async def make_secret(person: User, *scopes: str) -> str:
    return (await run_unit(make_token, person, name="Test", scopes=scopes))[1]
