"""OpenAI through its official SDK: the Responses API, and Chat Completions for other addresses.

The SDK builds the first request to each path, authenticates and reports errors. Later requests reuse its
address and headers. The bytes of the response are decoded here, because the SDK's typed stream takes several
times as much CPU (`benchmarks/providers.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx2
import openai

from chat.providers import failures
from chat.providers.addresses import split_credentials
from chat.providers.base import ChatRequest, EndpointConfig, ModelInfo
from chat.providers.connection import REQUEST_ERRORS, TRANSPORT_ERRORS, client_options
from chat.providers.errors import ConfigurationError, MalformedStreamError, ProviderError
from chat.providers.events import Notice, ProviderEvent
from chat.providers.model_list import Entry, read_models
from chat.providers.openai_chat import ChatDecoder, chat_body
from chat.providers.openai_responses import ResponsesDecoder, reasons, responses_body
from chat.providers.options import refuse
from chat.providers.paced_reading import chunks_of
from chat.providers.parameter_fallback import CANNOT_CONTINUE, Body, Fallback, ParameterFallback, without
from chat.providers.sse import Decoder, read_body, read_json, read_stream, read_whole

DEFAULT_BASE_URL = "https://api.openai.com/v1"

type Key = str | Callable[[], Awaitable[str]]


class _RequestTemplate(NamedTuple):
    """The common fields of all requests to one path, as the SDK set them in the first one."""

    url: httpx2.URL
    headers: httpx2.Headers
    extensions: dict[str, Any]  # the time limits

    @classmethod
    def of(cls, request: httpx2.Request, own: Iterable[tuple[str, str]]) -> _RequestTemplate:
        """Returns the template of a request. `own` are the headers of the endpoint."""
        headers = httpx2.Headers(request.headers)
        for name in ("Content-Length", "Cookie"):  # a proxy sets cookies that expire
            headers.pop(name, None)
        headers.update([(name, value) for name, value in own if name.lower() == "cookie"])
        return cls(request.url, headers, request.extensions)

    def request(self, body: Body) -> httpx2.Request:
        """Returns a request with this body. Raises ValueError for NaN and infinity."""
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        return httpx2.Request(
            "POST", self.url, headers=self.headers, content=content, extensions={**self.extensions}
        )


class OpenAIProvider:
    """The adapter for api.openai.com, and for servers that differ only in the address."""

    needs_key = True

    def __init__(self, endpoint: EndpointConfig) -> None:
        if self.needs_key and not endpoint.api_key:
            raise ConfigurationError(detail=f"Endpoint {endpoint.slug!r} has no key.")
        self.endpoint = endpoint
        address, headers = split_credentials(endpoint, DEFAULT_BASE_URL)
        if headers and endpoint.api_key:
            raise ConfigurationError(
                detail="The address contains a user name and a password, and there is a key too: both need "
                "the same header. Leave one of them out."
            )
        key = self.key(endpoint)
        self._http = openai.DefaultAioHttpClient(**client_options(endpoint))
        self._client = _client(endpoint, address, key, self._http)
        self._has_fixed_key = isinstance(key, str)
        self._templates: dict[str, _RequestTemplate] = {}  # by path
        self._fallbacks = ParameterFallback(_FALLBACKS)
        # Without a key, the SDK requires an explicit omission.
        own = {name: value for name, value in endpoint.headers if name.lower() == "authorization"}
        no_key: dict[str, Any] = {"headers": headers or own or {"Authorization": openai.omit}}
        self._options = {"security": {"bearer_auth": True}} if key else no_key
        # Regional hosts such as eu.api.openai.com are OpenAI's. Any other host is a gateway.
        host = urlsplit(address).hostname or ""
        self._speaks_responses = f".{host}".endswith(".api.openai.com")

    def key(self, endpoint: EndpointConfig) -> Key:
        """Returns the key, or a function that the SDK calls for one before each request."""
        return endpoint.api_key

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ProviderEvent]:
        path, body, decoder = self.wire(request)
        body = {**body, **request.extra}

        async def post(body: Body) -> httpx2.Response:
            return await self._request("post", path, body)

        response = await self._fallbacks.send(request.model, body, post, exact=request.exact)
        if "/json" in response.headers.get("content-type", ""):
            reading = read_whole(response.aiter_bytes(), decoder)
        else:
            chunks, reader = chunks_of(response)
            reading = read_stream(chunks, decoder, reader)
        async with aclosing(response), aclosing(reading) as events:
            yield Notice("waiting")
            try:
                async for event in events:
                    yield event
            except TRANSPORT_ERRORS as error:
                raise failures.from_transport(error, secrets=self.endpoint.secrets) from None

    async def list_models(self) -> list[ModelInfo]:
        response = await self._request("get", "/models")
        async with aclosing(response):
            try:
                found = read_json(await read_body(response.aiter_bytes()))
                return read_models(found["data"], self.model_info)
            except (ValueError, TypeError, AttributeError, LookupError) as error:
                raise MalformedStreamError(detail=f"The model list is unreadable: {error!r}") from None
            except TRANSPORT_ERRORS as error:
                raise failures.from_transport(error, secrets=self.endpoint.secrets) from None

    async def aclose(self) -> None:
        await self._client.close()

    def wire(self, request: ChatRequest) -> tuple[str, Body, Decoder]:
        """Returns the path, the body and the decoder for one request."""
        if self._speaks_responses and not _uses_audio(request):
            decoder = ResponsesDecoder(request.model, self.endpoint.secrets)
            return "/responses", responses_body(request), decoder
        refuse(request, "top_k")
        body = chat_body(request, limit_name="max_completion_tokens")
        return "/chat/completions", body, ChatDecoder(self.endpoint.secrets)

    def model_info(self, entry: Entry) -> ModelInfo | None:
        """Returns one entry of the model list, None for a model that cannot chat. The names of OpenAI's
        models say which can; those on a gateway are arbitrary."""
        name = entry.name("id")
        if not self._speaks_responses:
            return gateway_model_info(entry)
        if not _CHATS.match(name) or _DOES_NOT_CHAT.search(name):
            return None
        base = re.sub(r"-(\d{4}-\d\d-\d\d|latest)$", "", name)
        context, output = _WINDOWS.get(base, (None, None))
        audio = "audio" in name
        has_images = not (audio or name.startswith(("gpt-3.5", "o1-mini", "o3-mini")) or base == "gpt-4")
        return ModelInfo(
            name,
            context_window=context,
            max_output_tokens=output,
            takes_images=has_images,
            takes_audio=audio,
            reasons=reasons(name),
        )

    async def _request(self, method: str, path: str, body: Body | None = None) -> httpx2.Response:
        """Returns the response, which the caller reads and closes. Raises `ProviderError`."""
        if body is not None and (template := self._templates.get(path)):
            return await self._post_from_template(template, body)
        call = self._client.post if method == "post" else self._client.get
        options: dict[str, Any] = {"cast_to": httpx2.Response, "stream": True, "options": self._options}
        options |= {"stream_cls": openai.AsyncStream[Any]} | ({"body": body} if body is not None else {})
        try:
            response: httpx2.Response = await call(path, **options)
        except openai.APIStatusError as error:
            raise self._status_error(error) from None
        except (openai.APIError, *REQUEST_ERRORS) as error:
            raise failures.from_transport(error, secrets=self.endpoint.secrets) from None
        if body is not None and self._has_fixed_key:
            self._templates[path] = _RequestTemplate.of(response.request, self.endpoint.headers)
        return response

    async def _post_from_template(self, template: _RequestTemplate, body: Body) -> httpx2.Response:
        """Like `_request`, without the SDK, which takes longer to build a request than to send it."""
        try:
            response = await self._http.send(template.request(body), stream=True)
            if response.is_success:
                return response
            async with aclosing(response):
                await response.aread()
        except REQUEST_ERRORS as error:
            raise failures.from_transport(error, secrets=self.endpoint.secrets) from None
        raise self._status_error(self._client._make_status_error_from_response(response))

    def _status_error(self, error: openai.APIStatusError) -> ProviderError:
        return failures.from_status(
            error.status_code, error.body, secrets=self.endpoint.secrets, headers=error.response.headers
        )


def gateway_model_info(entry: Entry) -> ModelInfo | None:
    """Returns an entry in the formats of LiteLLM, OpenRouter, vLLM, llama.cpp and others, None for a model
    with another purpose than chat."""
    kind, mode = entry.text("type").lower(), entry.text("mode").lower()
    if kind in _OTHER_TYPES or (mode and mode not in _CHAT_MODES):
        return None
    details = Entry(entry.object("meta"))
    window = entry.tokens(*_WINDOW_NAMES) or details.tokens(*_WINDOW_NAMES)
    entry.remarks.extend(details.remarks)
    modalities = str(entry.object("architecture").get("input_modalities") or "")
    return ModelInfo(
        entry.name("id"),
        display_name=entry.text("name"),
        context_window=window,
        max_output_tokens=entry.tokens("max_output_tokens", "max_completion_tokens")
        or Entry(entry.object("top_provider")).tokens("max_completion_tokens"),
        input_price=_price(entry, "prompt"),
        output_price=_price(entry, "completion"),
        cached_input_price=_price(entry, "input_cache_read"),
        takes_images="image" in modalities,
        takes_audio="audio" in modalities,
    )


def _uses_audio(request: ChatRequest) -> bool:
    """Returns whether the request contains audio, which the Responses API does not support."""
    files = (file for turn in request.turns for file in turn.files)
    return "audio" in request.model or any(file.media_type.startswith("audio/") for file in files)


def _price(entry: Entry, name: str) -> float | None:
    """Returns the price of a million tokens from the price of one token (OpenRouter's format), None if it is
    missing or negative. A negative price means that it varies."""
    try:
        price = float(entry.object("pricing")[name]) * 1_000_000
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return round(price, 4) if 0 <= price < 1_000_000 else None


def _client(
    endpoint: EndpointConfig, address: str, key: Key, http: openai.DefaultAioHttpClient
) -> openai.AsyncOpenAI:
    """Returns an SDK client configured by the endpoint alone, never by the environment."""
    client = openai.AsyncOpenAI(
        # With None, the SDK reads environment variables.
        api_key=key,
        admin_api_key="",
        organization="",
        project="",
        webhook_secret="",
        base_url=address,
        max_retries=0,  # the pipeline retries
        # The pipeline limits the rest. With aiohttp, "pool" is the whole time to connect, including the name
        # lookup.
        timeout=openai.Timeout(None, connect=endpoint.connect_seconds, pool=endpoint.connect_seconds),
        http_client=http,
    )
    client.organization = client.project = None
    client._custom_headers = dict(endpoint.headers)  # otherwise the SDK adds those of OPENAI_CUSTOM_HEADERS
    client._custom_query = dict(endpoint.query)
    return client


_FALLBACKS = (
    CANNOT_CONTINUE,
    Fallback(re.compile(r"stream_options|include_obfuscation"), without("stream_options")),
    Fallback(re.compile(r"(?i)summar"), without("reasoning", "summary")),
    Fallback(re.compile(r"(?i)'include'|encrypted"), without("include")),
    Fallback(re.compile(r"reasoning_effort"), without("reasoning_effort"), is_requested=True),
    Fallback(re.compile(r"'reasoning"), without("reasoning"), is_requested=True),
    Fallback(re.compile(r"temperature"), without("temperature"), is_requested=True),
)

# Values of `type` and of `mode` (LiteLLM) that name a model's purpose.
_OTHER_TYPES = {"embedding", "embeddings", "image", "audio", "rerank", "moderation"}
_CHAT_MODES = {"chat", "completion", "responses"}
_WINDOW_NAMES = (
    *("context_length", "max_model_len", "max_context_length", "context_window"),
    *("max_input_tokens", "n_ctx", "n_ctx_train"),
)

_CHATS = re.compile(r"(ft:)?(gpt-|chatgpt-|o\d)")
_DOES_NOT_CHAT = re.compile(
    r"realtime|transcribe|tts|image|embed|moderation|instruct|search|deep-research|live"
)

# Context window and output limit in tokens, as published for models that no longer change.
_WINDOWS: dict[str, tuple[int, int]] = {
    "gpt-3.5-turbo": (16_385, 4_096),
    "gpt-4": (8_192, 8_192),
    "gpt-4-turbo": (128_000, 4_096),
    "gpt-4o": (128_000, 16_384),
    "gpt-4o-mini": (128_000, 16_384),
    "gpt-4.1": (1_047_576, 32_768),
    "gpt-4.1-mini": (1_047_576, 32_768),
    "gpt-4.1-nano": (1_047_576, 32_768),
    "o1": (200_000, 100_000),
    "o3": (200_000, 100_000),
    "o3-mini": (200_000, 100_000),
    "o4-mini": (200_000, 100_000),
    "gpt-5": (400_000, 128_000),
    "gpt-5-mini": (400_000, 128_000),
    "gpt-5-nano": (400_000, 128_000),
    "gpt-5.1": (400_000, 128_000),
    "gpt-5.2": (400_000, 128_000),
}
