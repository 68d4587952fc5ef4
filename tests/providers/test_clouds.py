"""The ways to models in clouds: Azure OpenAI, and Anthropic's models at Amazon Bedrock and Google Vertex AI.

The official clients talk to local servers. Not tried here: the services themselves, and whether they accept
the signatures and tokens.
"""

from __future__ import annotations

import builtins
import json
import sys
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from chat.providers import anthropic_clouds, azure, errors, registry
from chat.providers.base import EndpointConfig
from chat.providers.events import Finished, Outcome, Usage
from chat.providers.registry import close_all, provider_for
from tests.providers.conftest import ask, collect
from tests.providers.test_contract import last_usage, text_of
from tests.providers.wire import BedrockFormat, MessagesFormat, Script, framed

SECRET = "canary/secret+key/0123456789abcdef"
ACCESS = f"AKIACANARY0123456789:{SECRET}:canary-session-token=="
BEARER = "bedrock-canary-api-key-0123456789"


@pytest.fixture(autouse=True)
async def closed(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    # What a machine may have set, and no endpoint may use.
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "canary-of-the-machine")
    monkeypatch.setenv("ANTHROPIC_BEDROCK_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("ANTHROPIC_VERTEX_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "X-Machine: canary")
    yield
    await close_all()


@asynccontextmanager
async def served(answer: Any) -> AsyncIterator[tuple[str, list[Any]]]:
    """A server that answers all requests with `answer(request, body)`: its address, and what it received."""
    asked: list[Any] = []

    async def handle(request: web.Request) -> web.Response:
        text = await request.text()
        asked.append(SimpleNamespace(path=request.raw_path, headers=request.headers, body=text))
        response: web.Response = answer(request)
        return response

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


def messages(words: int = 3) -> list[Any]:
    """The events of an answer in Anthropic's format."""
    wire = MessagesFormat(Script(tokens=words), "claude")
    return [value for _step, items in wire.steps() for item in items for value in [item[-1]]]


def event_stream(events: Iterable[Any]) -> bytes:
    return b"".join(BedrockFormat.framed(json.dumps(event)) for event in events)


def bedrock(address: str, key: str = ACCESS, **fields: Any) -> Any:
    values = {"base_url": address, "region": "eu-central-1", "api_key": key, **fields}
    return provider_for(EndpointConfig("cloud", "bedrock", "Bedrock", **values))


def streams(body: bytes, status: int = 200) -> Any:
    kind = "application/vnd.amazon.eventstream" if status == 200 else "application/json"
    return lambda _request: web.Response(body=body, status=status, content_type=kind)


@pytest.mark.parametrize("key", [ACCESS, BEARER])
async def test_an_answer_of_bedrock_is_read_from_its_event_stream(key: str) -> None:
    async with served(streams(event_stream(messages()))) as (address, asked):
        events = await collect(bedrock(address, key), ask("Hi", model="eu.anthropic.claude-x:0"))
    assert text_of(events) == "word0 word1 word2 "
    assert isinstance(events[-1], Finished) and events[-1].outcome is Outcome.COMPLETE
    assert last_usage(events) == Usage(11, 3, 4, 3)
    (request,) = asked
    assert request.path == "/model/eu.anthropic.claude-x:0/invoke-with-response-stream"
    body = json.loads(request.body)
    assert "model" not in body and "stream" not in body and body["anthropic_version"]
    assert "X-Machine" not in request.headers
    if key == BEARER:
        assert request.headers["Authorization"] == f"Bearer {BEARER}"
    else:
        signed = request.headers["Authorization"]
        assert signed.startswith("AWS4-HMAC-SHA256 Credential=AKIACANARY0123456789/")
        assert "/eu-central-1/bedrock/aws4_request" in signed
        assert request.headers["X-Amz-Security-Token"] == "canary-session-token=="
        assert SECRET not in str(request.headers) + request.body


async def test_an_end_without_a_marker_an_exception_and_a_broken_frame_are_told_apart() -> None:
    exception = {":exception-type": "throttlingException", ":message-type": "exception"}
    whole = messages()
    busy = event_stream(whole[:3]) + framed(exception, json.dumps({"message": f"Slow {SECRET}"}).encode())
    broken = event_stream(whole)
    async with served(streams(event_stream(whole[:-1]))) as (address, _asked):
        assert not isinstance((await collect(bedrock(address), ask("Hi")))[-1], Finished)
    async with served(streams(busy)) as (address, _asked):
        with pytest.raises(errors.RateLimitError) as raised:
            await collect(bedrock(address), ask("Hi"))
    assert "Slow" in raised.value.detail and SECRET not in raised.value.detail
    async with served(streams(broken[:-20] + b"x" * 20)) as (address, _asked):
        with pytest.raises(errors.MalformedStreamError):
            await collect(bedrock(address), ask("Hi"))


async def test_a_refused_key_of_bedrock_is_reported_without_the_key() -> None:
    refused = json.dumps({"message": f"The security token {SECRET} is invalid."}).encode()
    async with served(streams(refused, 403)) as (address, _asked):
        with pytest.raises(errors.PermissionDeniedError) as raised:
            await collect(bedrock(address), ask("Hi"))
    assert "invalid" in raised.value.detail and SECRET not in raised.value.detail


def account(token_address: str) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return json.dumps(
        {
            "type": "service_account",
            "project_id": "canary-project",
            "private_key_id": "1",
            "private_key": text.decode(),
            "client_email": "steady@canary-project.iam.gserviceaccount.com",
            "token_uri": token_address,
        }
    )


async def test_vertex_is_called_with_the_token_of_a_service_account() -> None:
    sse = b"".join(MessagesFormat(Script(), "claude").encode(("x", event)) for event in messages())

    def answer(request: web.Request) -> web.Response:
        if request.path == "/token":
            return web.json_response({"access_token": "canary-access", "expires_in": 3600})
        return web.Response(body=sse, content_type="text/event-stream")

    async with served(answer) as (address, asked):
        values: dict[str, Any] = {"base_url": f"{address}/v1", "region": "europe-west1"}
        endpoint = EndpointConfig("v", "vertex", "V", api_key=account(f"{address}/token"), **values)
        provider = provider_for(endpoint)
        for _ in range(2):
            assert text_of(await collect(provider, ask("Hi", model="claude-x"))) == "word0 word1 word2 "
        assert await provider.list_models() == []
    where = "projects/canary-project/locations/europe-west1/publishers/anthropic/models"
    path = f"/v1/{where}/claude-x:streamRawPredict"
    assert [request.path for request in asked] == ["/token", path, path], "the token is kept"
    assert asked[1].headers["Authorization"] == "Bearer canary-access"
    assert "model" not in json.loads(asked[1].body)
    private = json.loads(endpoint.api_key)["private_key"]
    assert private not in "".join(request.body for request in asked)


async def test_azure_takes_a_key_or_a_token_of_its_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    chunk = {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]}
    sse = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode()

    def answer(request: web.Request) -> web.Response:
        if request.path == "/identity":
            token = {"access_token": "canary-entra", "expires_on": "9999999999", "token_type": "Bearer"}
            return web.json_response({**token, "resource": request.query["resource"]})
        return web.Response(body=sse, content_type="text/event-stream")

    async with served(answer) as (address, asked):
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{address}/identity")  # as in Azure's App Service
        monkeypatch.setenv("IDENTITY_HEADER", "canary-identity-header")
        monkeypatch.setattr(azure, "check_own_host", lambda *_: None)
        for key in ("", "canary-azure-key"):
            endpoint = EndpointConfig("a", "azure", "A", base_url=address, api_key=key)
            assert text_of(await collect(provider_for(endpoint), ask("Hi", model="our-deployment"))) == "Hi"
    path = "/openai/v1/chat/completions"
    assert [request.path.split("?")[0] for request in asked] == ["/identity", path, path]
    assert [request.headers.get("Authorization") for request in asked[1:]] == [
        "Bearer canary-entra",
        "Bearer canary-azure-key",
    ]
    assert json.loads(asked[1].body)["model"] == "our-deployment"


@pytest.mark.parametrize(
    ("kind", "module", "fields"),
    [
        ("bedrock", "boto3", {"region": "eu-central-1"}),
        ("vertex", "google.auth", {"region": "global", "project": "p"}),
        ("azure", "azure.identity.aio", {"base_url": "https://x.openai.azure.com"}),
    ],
)
async def test_missing_libraries_are_named_with_their_extra(
    monkeypatch: pytest.MonkeyPatch, kind: str, module: str, fields: dict[str, str]
) -> None:
    monkeypatch.setattr(anthropic_clouds, "find_spec", lambda _name: None)
    monkeypatch.delitem(sys.modules, module, raising=False)
    imported = builtins.__import__

    def without(name: str, *args: Any, **options: Any) -> Any:
        if name == module:
            raise ModuleNotFoundError(name)
        return imported(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(errors.ConfigurationError) as raised:
        provider_for(EndpointConfig("c", kind, "C", **fields))  # type: ignore[arg-type]
    assert f"--extra {kind}" in raised.value.detail


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("bedrock", {}),
        ("vertex", {}),
        ("vertex", {"region": "global"}),
        ("vertex", {"region": "global", "api_key": '{"private_key": "canary"}'}),
        ("azure", {"api_key": "k"}),
        # What the machine may do is not for another host.
        ("azure", {"base_url": "https://azure.com.evil.example"}),
        ("azure", {"base_url": "http://x.openai.azure.com"}),
        ("azure", {"base_url": "https://evil.westeurope.cloudapp.azure.com"}),
        ("vertex", {"region": "global", "project": "p", "authority": "of my own"}),
        ("bedrock", {"region": "eu-central-1", "base_url": "https://evil.example/amazonaws.com"}),
        (
            "bedrock",
            {"region": "eu-central-1", "base_url": "https://e.execute-api.eu-central-1.amazonaws.com"},
        ),
        ("vertex", {"region": "global", "project": "p", "base_url": "https://notgoogleapis.com"}),
        ("bedrock", {"region": "x.evil.example/", "api_key": "canary"}),
        ("vertex", {"region": "x.evil.example/", "project": "p", "api_key": "canary"}),
    ],
)
async def test_missing_settings_are_reported_before_a_request(kind: str, fields: dict[str, str]) -> None:
    with pytest.raises(errors.ConfigurationError) as raised:
        provider_for(EndpointConfig("c", kind, "C", **fields))  # type: ignore[arg-type]
    assert "canary" not in raised.value.detail


@pytest.mark.parametrize(
    ("kind", "library", "fields"),
    [
        ("bedrock", "boto3", {"region": "eu-central-1"}),
        ("vertex", "google.oauth2.service_account", {"region": "global", "project": "p"}),
        ("azure", "azure.identity.aio", {"base_url": "https://x.openai.azure.com"}),
    ],
)
async def test_the_libraries_of_a_cloud_are_imported_on_a_thread(
    monkeypatch: pytest.MonkeyPatch, kind: str, library: str, fields: dict[str, str]
) -> None:
    threads: dict[str, threading.Thread] = {}

    def recorded(name: str) -> Any:
        threads.setdefault(name, threading.current_thread())
        return import_module(name)

    monkeypatch.setattr(registry, "import_module", recorded)
    await registry.ready_provider(EndpointConfig("c", kind, "C", **fields))  # type: ignore[arg-type]
    assert threads[library] is not threading.main_thread()
