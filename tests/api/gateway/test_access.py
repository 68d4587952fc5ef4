"""Who may use the gateway, and what it does with requests that are wrong."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import aiohttp
import openai
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.db import DataError
from django.utils import timezone
from pytest_django.fixtures import Settings

from chat.actions import call
from chat.actions.api_token import make_token, revoke_tokens
from chat.actions.errors import LimitReachedError
from chat.actions.preferences import set_preferences
from chat.actions.send import send_message
from chat.database import run_unit
from chat.models import ApiToken, ChatModel, Conversation, Scope, Status, UsageEntry, User
from tests.api.gateway.conftest import Gateway

CHAT = "/v1/chat/completions"
MESSAGE = "/v1/messages"
RESPONSE = "/v1/responses"
ROUTES = [
    ("POST", CHAT),
    ("POST", MESSAGE),
    ("POST", RESPONSE),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/demo"),
]
BODIES: dict[str, dict[str, Any]] = {
    CHAT: {"model": "demo", "messages": [{"role": "user", "content": "/demo instant /demo echo Hi"}]},
    RESPONSE: {"model": "demo", "input": "/demo instant"},
    MESSAGE: {"model": "demo", "max_tokens": 9, "messages": [{"role": "user", "content": "/demo instant"}]},
}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def headers_of(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def secrets_of(person: User, administrator: User, other: User) -> dict[str, str]:
    """Tokens of each scope, and those that do not count any more."""
    secrets = {scope.value: make_token(administrator, name=scope.value, scopes=[scope])[1] for scope in Scope}
    gone = {"revoked": person, "expired": person, "deactivated": other}
    made = {name: make_token(user, name=name, scopes=[Scope.GATEWAY]) for name, user in gone.items()}
    revoke_tokens(ApiToken.objects.filter(name="revoked"), by=None)
    ApiToken.objects.filter(name="expired").update(expires_at=timezone.now() - timedelta(seconds=1))
    User.objects.filter(pk=other.pk).update(is_active=False)
    secrets |= {name: secret for name, (_token, secret) in made.items()}
    return {**secrets, "unknown": "sty_" + "x" * 43, "none": ""}


async def test_only_a_valid_token_with_the_scope_opens_a_route(
    gateway: Gateway, http: aiohttp.ClientSession, administrator: User, make_user: Callable[..., User]
) -> None:
    other = await sync_to_async(make_user)("other@example.org")
    secrets = await sync_to_async(secrets_of)(gateway.person, administrator, other)
    for name, secret in secrets.items():
        expected = {"gateway": 200, "read": 403, "chat": 403, "admin": 403}.get(name, 401)
        for method, path in ROUTES:
            headers = headers_of(secret) if secret else {"Cookie": "sessionid=x"}
            async with http.request(
                method, gateway.url + path, json=BODIES.get(path), headers=headers
            ) as answer:
                assert answer.status == expected, (name, path)
                assert answer.headers["Cache-Control"] == "no-store"
                if expected != 200:
                    assert (await answer.json())["error"]["message"]
    assert await UsageEntry.objects.acount() == len(BODIES)


async def test_the_key_may_be_in_either_header(gateway: Gateway, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{gateway.url}/v1/models", headers={"x-api-key": gateway.key}) as answer:
        assert answer.status == 200
        assert answer.headers["RateLimit"].startswith('"token"')


async def test_other_methods_and_paths_do_not_exist(gateway: Gateway, http: aiohttp.ClientSession) -> None:
    for method, path, status in (
        ("GET", CHAT, 405),
        ("DELETE", "/v1/models/demo", 405),
        ("OPTIONS", CHAT, 405),
        ("POST", "/v1/embeddings", 404),
        ("GET", "/v1/", 404),
        ("GET", "/v1/models/%00", 404),
    ):
        async with http.request(method, gateway.url + path, headers=headers_of(gateway.key)) as answer:
            assert answer.status == status, (method, path)


async def test_the_list_shows_the_models_that_the_person_may_use(gateway: Gateway) -> None:
    def prepare() -> None:
        closed = ChatModel.objects.create(endpoint_id="demo", name="for-few", for_everyone=False)
        closed.groups.add(Group.objects.create(name="Few"))
        ChatModel.objects.create(endpoint_id="demo", name="twice")
        ChatModel.objects.create(endpoint_id="gemini", name="twice")
        ChatModel.objects.create(endpoint_id="demo", name="off", enabled=False)

    await sync_to_async(prepare)()
    async with openai.AsyncOpenAI(api_key=gateway.key, base_url=f"{gateway.url}/v1", max_retries=0) as sdk:
        listed = [model.id async for model in sdk.models.list()]
        assert {"demo", "demo/twice", "gemini/twice", "wire-anthropic"} <= set(listed)
        assert not {"for-few", "off", "twice"} & set(listed)
        assert (await sdk.models.retrieve("demo/twice")).owned_by == "demo"
        for name in ("for-few", "off", "twice", "nothing", "a\x00b"):
            with pytest.raises(openai.NotFoundError) as refused:
                await sdk.chat.completions.create(
                    model=name, messages=[{"role": "user", "content": "/demo instant"}]
                )
            assert refused.value.code == "model_not_found"


MESSAGES = [{"role": "user", "content": "Hi"}]
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"messages": "Hi"}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": [None]}, "messages[0]"),
    ({"messages": [{"role": "king", "content": "Hi"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages[0].content[0].type"),
    (
        {
            "messages": [
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///x"}}]}
            ]
        },
        "messages[0].content[0].image_url.url",
    ),
    (
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,!"}}],
                }
            ]
        },
        "messages[0].content[0].image_url.url",
    ),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
    ({"stream": "yes"}, "stream"),
    ({"temperature": "hot"}, "temperature"),
    ({"temperature": 3}, "temperature"),
    ({"max_tokens": 1.5}, "max_tokens"),
    ({"max_tokens": True}, "max_tokens"),
    ({"seed": 10**30}, "seed"),
    ({"n": 2}, "n"),
    ({"logprobs": True}, "logprobs"),
    ({"stop": [1]}, "stop"),
    ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    ({"tools": [{"type": "function"}]}, "tools[0].function.name"),
    ({"tool_choice": "perhaps"}, "tool_choice"),
    ({"response_format": {"type": "xml"}}, "response_format.type"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ({"functions": []}, "functions"),
    ({"novelty": 1}, "novelty"),
    ({"model": 7}, "model"),
    ({"model": None}, "model"),
]


async def test_what_is_wrong_or_unknown_is_refused_by_its_name(
    gateway: Gateway, http: aiohttp.ClientSession
) -> None:
    for wrong, param in WRONG:
        body = {"model": "wire-openai_chat", "messages": MESSAGES, **wrong}
        async with http.post(gateway.url + CHAT, json=body, headers=headers_of(gateway.key)) as answer:
            error = (await answer.json())["error"]
            assert (answer.status, error["param"]) == (400, param), wrong
    assert gateway.wire.log == [] and not await UsageEntry.objects.aexists()


async def test_what_a_provider_cannot_do_is_refused(gateway: Gateway, http: aiohttp.ClientSession) -> None:
    limited = ChatModel.objects.filter(name="wire-openai_chat")
    await limited.aupdate(uses_tools=False, gives_json=False)
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    for model, option in (
        ("wire-openai_chat", {"tools": [tool]}),
        ("wire-openai_chat", {"response_format": {"type": "json_object"}}),
        ("wire-openai", {"stop": ["x"]}),
        ("wire-anthropic", {"seed": 1}),
        ("wire-anthropic", {"response_format": {"type": "json_object"}}),
        ("wire-gemini", {"parallel_tool_calls": False}),
        ("demo", {"stop": ["x"]}),
    ):
        for stream in (False, True):
            body = {"model": model, "messages": MESSAGES, "stream": stream, **option}
            async with http.post(gateway.url + CHAT, json=body, headers=headers_of(gateway.key)) as answer:
                error = (await answer.json())["error"]
                assert (answer.status, error["code"]) == (400, "unsupported_option"), option
                assert error["param"] == next(iter(option)) and error["param"] in error["message"]
    assert gateway.wire.log == []


async def test_hostile_bodies_are_refused(gateway: Gateway, http: aiohttp.ClientSession) -> None:
    schema: dict[str, Any] = {}
    for _ in range(200):
        schema = {"items": schema}
    deep = {
        "model": "demo",
        "messages": MESSAGES,
        "tools": [{"function": {"name": "x", "parameters": schema}}],
    }
    for body, status in (
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"null", 400),
        (b"\xff\xfe", 400),
        (b'"\\ud800"', 400),
        (b'{"model": "demo", "messages": ' + b"[" * 100_000, 400),
        (b'{"model": "demo", "messages": ' + b"[" * 900 + b"]" * 900 + b"}", 400),
        (json.dumps(deep).encode(), 400),
        (
            b'{"model": "demo", "' + b"x" * 100_000 + b'": 1, "messages": [{"role":"user","content":"x"}]}',
            400,
        ),
        (b'{"model": "demo", "messages": [' + b"{}," * 20_000 + b"{}]}", 400),
        (b'{"model": "' + b" " * (8 * 1024 * 1024) + b'"}', 413),
    ):
        async with http.post(
            gateway.url + CHAT, data=io.BytesIO(body), headers=headers_of(gateway.key)
        ) as answer:
            assert answer.status == status, body[:60]
            assert len((await answer.json())["error"]["message"]) < 500


async def test_more_calls_than_one_person_may_have_are_refused(
    gateway: Gateway, http: aiohttp.ClientSession, settings: Settings, settled: Callable[[], Any]
) -> None:
    settings.CHAT_RUNNING_PER_PERSON = 1
    body = {
        "model": "wire-openai_chat",
        "stream": True,
        "messages": [{"role": "user", "content": "/wire hang=2"}],
    }
    async with http.post(gateway.url + CHAT, json=body, headers=headers_of(gateway.key)) as running:
        assert running.status == 200
        async with http.post(gateway.url + CHAT, json=body, headers=headers_of(gateway.key)) as refused:
            assert refused.status == 429 and refused.headers["Retry-After"]
            assert (await refused.json())["error"]["code"] == "limit_reached"
    await settled()
    async with http.post(gateway.url + CHAT, json=BODIES[CHAT], headers=headers_of(gateway.key)) as again:
        assert again.status == 200


@pytest.mark.parametrize(("end", "code"), [("revoked", "revoked"), ("restart", "restart")])
async def test_a_revoked_token_and_a_stop_end_the_stream_with_an_error(
    gateway: Gateway, http: aiohttp.ClientSession, end: str, code: str
) -> None:
    body = {
        "model": "wire-openai_chat",
        "stream": True,
        "messages": [{"role": "user", "content": "/wire hang=2"}],
    }
    async with http.post(gateway.url + CHAT, json=body, headers=headers_of(gateway.key)) as answer:
        await gateway.wire.reached(2)
        if end == "revoked":
            await sync_to_async(revoke_tokens)(ApiToken.objects.all(), by=None)
            await gateway.runtime.session_monitor.check()
        else:
            asyncio.get_running_loop().create_task(gateway.runtime.stop(0))
        text = await answer.text()
    last = text.strip().split("\n\n")[-1].removeprefix("data: ")
    assert json.loads(last)["error"]["code"] == code
    assert "word1" in text and "[DONE]" not in text
    await gateway.wire.settled()
    entry = await UsageEntry.objects.aget()
    assert (entry.status, entry.error_code) == (Status.INTERRUPTED, code)


async def test_a_call_that_a_stop_cuts_off_is_not_repeated_by_the_sdks(
    gateway: Gateway, http: aiohttp.ClientSession
) -> None:
    body = {"model": "wire-openai_chat", "messages": [{"role": "user", "content": "/wire hang=2"}]}
    call = asyncio.ensure_future(http.post(gateway.url + CHAT, json=body, headers=headers_of(gateway.key)))
    await gateway.wire.reached(2)
    asyncio.get_running_loop().create_task(gateway.runtime.stop(0))
    async with await call as answer:
        assert (answer.status, answer.headers["X-Should-Retry"]) == (503, "false")
        assert "Retry-After" not in answer.headers
        assert (await answer.json())["error"]["code"] == "restart"
    await gateway.wire.settled()


async def test_a_setting_stores_calls_and_a_header_overrides_it(
    gateway: Gateway, http: aiohttp.ClientSession
) -> None:
    await sync_to_async(set_preferences)(gateway.person, {"keeps_calls": True})
    for wish, kept in (({"X-Steady-Keep": "false"}, 0), ({}, 1)):
        headers = headers_of(gateway.key) | wish
        async with http.post(gateway.url + CHAT, json=BODIES[CHAT], headers=headers) as answer:
            assert answer.status == 200
        assert await Conversation.objects.acount() == kept


async def test_the_report_of_usage_counts_calls_once(gateway: Gateway, http: aiohttp.ClientSession) -> None:
    def token() -> str:
        return make_token(gateway.person, name="Both", scopes=[Scope.GATEWAY, Scope.READ])[1]

    headers = headers_of(await sync_to_async(token)())
    body = {"model": "wire-gemini", "messages": [{"role": "user", "content": "/wire tokens=5"}]}
    for keep in ("false", "true"):
        async with http.post(
            gateway.url + CHAT, json=body, headers=headers | {"X-Steady-Keep": keep}
        ) as answer:
            assert answer.status == 200
    async with http.get(f"{gateway.url}/api/v1/usage", headers=headers) as answer:
        (item,) = (await answer.json())["items"]
    assert item["model"]["name"] == "wire-gemini"
    assert (item["replies"], item["calls"]) == (0, 2)
    assert (item["input_tokens"], item["output_tokens"], item["cost"]) == (22, 10, "0.00004200")


async def test_plain_http_is_refused_where_the_address_is_https(
    gateway: Gateway, http: aiohttp.ClientSession, settings: Settings
) -> None:
    settings.HTTPS = settings.TRUST_PROXY = True
    headers = headers_of(gateway.key)
    async with http.get(f"{gateway.url}/v1/models", headers=headers) as answer:
        assert answer.status == 403
    headers["X-Forwarded-Proto"] = "https"
    async with http.get(f"{gateway.url}/v1/models", headers=headers) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("error", [DataError, ValueError])
async def test_a_call_that_cannot_be_stored_has_a_usage_entry(
    gateway: Gateway,
    http: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: type[Exception],
) -> None:
    def refuse(*_args: object) -> None:
        Conversation.objects.create(owner=gateway.person)
        raise error

    monkeypatch.setattr(call, "make_chat", refuse)
    headers = headers_of(gateway.key) | {"X-Steady-Keep": "true"}
    async with http.post(gateway.url + CHAT, json=BODIES[CHAT], headers=headers) as answer:
        assert answer.status == 200
    entry = await UsageEntry.objects.aget()
    assert entry.status == Status.COMPLETE and entry.generation_id is None
    assert not await Conversation.objects.aexists()
    assert "was not kept as a chat" in caplog.text


async def test_as_many_calls_at_once_as_one_person_may_have_are_answered(
    gateway: Gateway, http: aiohttp.ClientSession, settled: Callable[[], Any]
) -> None:
    messages = [{"role": "user", "content": "/wire hang=2"}]
    body = {"model": "wire-openai_chat", "stream": True, "messages": messages}

    async def post() -> aiohttp.ClientResponse:
        return await http.post(gateway.url + CHAT, json=body, headers=headers_of(gateway.key))

    answers = await asyncio.gather(*[post() for _ in range(12)])
    assert sorted(answer.status for answer in answers) == [200] * 8 + [429] * 4
    for answer in answers:
        answer.close()
    await settled()


async def test_calls_count_among_the_replies_that_one_person_may_have(
    gateway: Gateway, settings: Settings
) -> None:
    def send() -> None:
        model = ChatModel.objects.get(name="demo")
        send_message(gateway.person, uuid4(), client_id=uuid4(), text="Hi", model_ids=[model.pk])

    settings.CHAT_RUNNING_PER_PERSON = 1
    call_id = uuid4()
    permit = await run_unit(call.begin_call, gateway.key, "demo", call_id)
    with call.counted(permit, call_id), pytest.raises(LimitReachedError):
        await sync_to_async(send)()
