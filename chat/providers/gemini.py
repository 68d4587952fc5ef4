"""Gemini through Google's official SDK.

The SDK makes the request, authenticates and reports errors; the answer's bytes are decoded here, since
its typed stream costs several times as much (`benchmarks/providers.py`). It has no call that hands out
the bytes of a stream, so the transport it is given keeps each answer for the adapter and shows the SDK
an empty one: whatever the SDK would parse, continue or run by itself, it finds nothing.
https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing, asynccontextmanager
from contextvars import ContextVar
from urllib.parse import quote

import aiohttp
import httpx2
from google import genai
from google.genai import types
from google.genai.client import DebugConfig
from google.genai.errors import APIError

from chat.providers import failures
from chat.providers.addresses import reach
from chat.providers.base import ChatRequest, Endpoint, ModelInfo
from chat.providers.errors import ConfigurationError, MalformedStreamError
from chat.providers.events import Notice, ProviderEvent
from chat.providers.gemini_content import ContentDecoder, content_body
from chat.providers.model_list import Entry, read_models
from chat.providers.parameter_fallback import Body, Fallback, ParameterFallback, without
from chat.providers.sse import LIMITS, TRANSPORT_ERRORS, read_json, read_stream

DEFAULT_BASE_URL = "https://generativelanguage.googleapis.com"
DEFAULT_VERSION = "v1beta"


class GeminiProvider:
    """The adapter for the Gemini API."""

    def __init__(self, endpoint: Endpoint) -> None:
        if not endpoint.api_key:
            raise ConfigurationError(detail=f"Endpoint {endpoint.slug!r} has no key.")
        self.endpoint = endpoint
        self._negotiator = ParameterFallback(_FALLBACKS)
        self._transport = _Transport(endpoint.connect_seconds)
        self._models = _client(endpoint, self._transport).aio.models

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ProviderEvent]:
        async def post(body: Body) -> aiohttp.ClientResponse:
            return await self._answer(self._generate(request.model, body))

        response = await self._negotiator.send(request.model, content_body(request), post)
        decoder = ContentDecoder(request.model, self.endpoint.api_key)
        chunks = response.content.iter_any().__aiter__()
        async with _closing(response), aclosing(read_stream(chunks, decoder)) as events:
            yield Notice("waiting")
            try:
                async for event in events:
                    yield event
            except TRANSPORT_ERRORS as error:
                raise failures.from_transport(error, secret=self.endpoint.api_key) from None

    async def list_models(self) -> list[ModelInfo]:
        async with _closing(await self._answer(self._models.list(config={"page_size": 1000}))) as response:
            try:
                return read_models(read_json(await response.read())["models"], _model_info)
            except (ValueError, TypeError, AttributeError, LookupError) as error:
                raise MalformedStreamError(detail=f"The model list is unreadable: {error!r}") from None
            except TRANSPORT_ERRORS as error:
                raise failures.from_transport(error, secret=self.endpoint.api_key) from None

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def _generate(self, model: str, body: Body) -> None:
        """Lets the SDK send `body` as it is: typed models would write its bytes and signatures anew."""
        stream = await self._models.generate_content_stream(
            model=f"models/{quote(model.removeprefix('models/'), safe='')}",
            contents=" ",  # the body's take its place
            config={
                "http_options": {"extra_body": body},
                "automatic_continuation": False,
                "automatic_function_calling": {"disable": True},
            },
        )
        async for _ in stream:  # sends the request; there is nothing in it
            pass

    async def _answer(self, call: Awaitable[object]) -> aiohttp.ClientResponse:
        """What the SDK's `call` was answered, to be read and closed by the caller. Raises `ProviderError`."""
        secret = self.endpoint.api_key
        answers: list[aiohttp.ClientResponse] = []
        _answers.set(answers)
        try:
            await call
            return answers.pop()
        except APIError as error:
            headers = error.response.headers
            raise failures.from_status(error.code, error.details, secret=secret, headers=headers) from None
        except TRANSPORT_ERRORS as error:
            raise failures.from_transport(error, secret=secret) from None
        except (ValueError, httpx2.InvalidURL) as error:  # no request can be made of that address or model
            raise ConfigurationError(detail=failures.redact(str(error), secret)) from None
        finally:
            for unread in answers:
                unread.close()


_answers: ContextVar[list[aiohttp.ClientResponse]] = ContextVar("answers")


class _Transport(httpx2.AsyncBaseTransport):
    """Sends the SDK's requests with aiohttp. A good answer is kept unread in `_answers`, for the SDK there
    is an empty one; any other goes to the SDK, which makes an error of it."""

    def __init__(self, connect_seconds: float) -> None:
        self._connect_seconds = connect_seconds
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self._session = self._session or _session(self._connect_seconds)
        request.headers.pop("accept-encoding", None)  # aiohttp names what it can decode
        # A redirect would carry the key's header to another host.
        response = await self._session.request(
            request.method,
            str(request.url),
            headers=request.headers,
            data=request.content or None,
            allow_redirects=False,
        )
        if response.status == 200:
            _answers.get().append(response)
            return httpx2.Response(200)
        async with _closing(response):
            text = await response.text(errors="replace")
        waits = {name: value for name, value in response.headers.items() if "retry-after" in name.lower()}
        return httpx2.Response(response.status, headers=waits, text=text)

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()


def _session(connect_seconds: float) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=LIMITS.keepalive_expiry,
            ssl=httpx2.create_ssl_context(),  # trusts whom the others do
        ),
        timeout=aiohttp.ClientTimeout(total=None, connect=connect_seconds),  # the pipeline's the rest
        trust_env=True,  # the machine's proxy, as the other SDKs do
    )


def _client(endpoint: Endpoint, transport: _Transport) -> genai.Client:
    """An SDK client that takes everything from the endpoint and nothing from the environment."""
    address, headers = reach(endpoint, DEFAULT_BASE_URL)
    address, version = _without_version(address)
    options = types.HttpOptions(
        base_url=address,
        api_version=version,
        headers=headers,
        retry_options=types.HttpRetryOptions(attempts=1),  # the pipeline retries
        httpx_async_client=httpx2.AsyncClient(transport=transport, timeout=None, trust_env=False),
        # Never used; without them the SDK reads certificates for each, 50 ms on the event loop.
        httpx_client=httpx2.Client(transport=httpx2.BaseTransport(), trust_env=False),
        async_client_args={"ssl": True},
    )
    debug = DebugConfig(client_mode=None, replays_directory=None, replay_id=None)
    try:
        return genai.Client(
            api_key=endpoint.api_key, enterprise=False, debug_config=debug, http_options=options
        )
    except ImportError as error:  # GOOGLE_GENAI_HTTP_CLIENT has no switch of its own
        raise ConfigurationError(detail=str(error)) from None


def _without_version(address: str) -> tuple[str, str]:
    """An address that ends with a version of the API asks for that one; else it is the SDK's own."""
    found = re.fullmatch(r"(.*)/(v\d\w*)/?", address)
    return (found[1], found[2]) if found else (address, DEFAULT_VERSION)


@asynccontextmanager
async def _closing(response: aiohttp.ClientResponse) -> AsyncGenerator[aiohttp.ClientResponse]:
    try:
        yield response
    finally:
        response.release()  # to the pool, or closed if there is more to come


def _model_info(entry: Entry) -> ModelInfo | None:
    name = entry.name("name").removeprefix("models/")
    methods = entry.value.get("supportedGenerationMethods") or ()
    if "generateContent" not in methods or _DOES_NOT_CHAT.search(name):
        return None
    return ModelInfo(
        name,
        display_name=entry.text("displayName"),
        context_window=entry.tokens("inputTokenLimit"),
        max_output_tokens=entry.tokens("outputTokenLimit"),
        takes_images=name.startswith("gemini"),
        reasons=bool(entry.value.get("thinking")),
    )


def _system_as_a_turn(body: Body) -> Body:
    """Gemma takes no system instruction."""
    if "systemInstruction" not in body:
        return body
    body = dict(body)
    first = {"role": "user", "parts": body.pop("systemInstruction")["parts"]}
    return {**body, "contents": [first, *body["contents"]]}


_FALLBACKS = (
    Fallback(re.compile(r"(?i)developer instruction"), _system_as_a_turn),
    Fallback(re.compile(r"(?i)thinking"), without("generationConfig", "thinkingConfig")),
)

_DOES_NOT_CHAT = re.compile(r"embedding|image|tts|aqa|live|audio|computer-use|robotics")
