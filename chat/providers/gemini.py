"""Gemini through its REST API, with aiohttp.

Google's SDK cannot return the bytes of a stream, and takes 0.6-1.4 s and 32-40 MB to import. The tests use it
as the reference for requests and responses.
https://ai.google.dev/api/generate-content and https://ai.google.dev/api/models
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any
from urllib.parse import quote

import aiohttp

from chat.providers import failures
from chat.providers.addresses import split_credentials
from chat.providers.base import ChatRequest, EndpointConfig, ModelInfo
from chat.providers.connection import LIMITS, REQUEST_ERRORS, TRANSPORT_ERRORS, ssl_context
from chat.providers.errors import ConfigurationError, MalformedStreamError, ProviderError
from chat.providers.events import Notice, ProviderEvent
from chat.providers.gemini_content import ContentDecoder, content_body
from chat.providers.model_list import Entry, read_models
from chat.providers.paced_reading import PacedReader, pieces_of
from chat.providers.parameter_fallback import Body, Fallback, ParameterFallback, without
from chat.providers.sse import read_body, read_error, read_json, read_stream

DEFAULT_BASE_URL = "https://generativelanguage.googleapis.com"
DEFAULT_VERSION = "v1beta"


class GeminiProvider:
    """The adapter for the Gemini API and for gateways that speak it."""

    def __init__(self, endpoint: EndpointConfig) -> None:
        if not endpoint.api_key:
            raise ConfigurationError(detail=f"Endpoint {endpoint.slug!r} has no key.")
        if not (endpoint.api_key.isascii() and endpoint.api_key.isprintable()):
            raise ConfigurationError(
                detail=f"The key of endpoint {endpoint.slug!r} has characters that HTTP headers cannot have."
            )
        self.endpoint = endpoint
        self._fallbacks = ParameterFallback(_FALLBACKS)
        address, headers = split_credentials(endpoint, DEFAULT_BASE_URL)
        self._models_url = f"{_with_version(address)}/models"
        self._session = _session(endpoint, {**headers, "x-goog-api-key": endpoint.api_key})
        # An empty mapping would make aiohttp quote the address again.
        self._request_options: dict[str, Any] = {"params": list(endpoint.query)} if endpoint.query else {}
        if endpoint.proxy:
            self._request_options["proxy"] = endpoint.proxy

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ProviderEvent]:
        url = self._stream_url(request.model)

        async def post(body: Body) -> aiohttp.ClientResponse:
            return await self._request("POST", url, body)

        body = {**content_body(request), **request.extra}
        response = await self._fallbacks.send(request.model, body, post, exact=request.exact)
        decoder = ContentDecoder(request.model, self.endpoint.secrets)
        reading = read_stream(pieces_of(response), decoder, PacedReader(response))
        async with _releasing(response), aclosing(reading) as events:
            yield Notice("waiting")
            try:
                async for event in events:
                    yield event
            except TRANSPORT_ERRORS as error:
                raise failures.from_transport(error, secrets=self.endpoint.secrets) from None

    async def list_models(self) -> list[ModelInfo]:
        response = await self._request("GET", f"{self._models_url}?pageSize=1000")
        async with _releasing(response):
            try:
                return read_models(
                    read_json(await read_body(response.content.iter_any()))["models"], _model_info
                )
            except (ValueError, TypeError, AttributeError, LookupError) as error:
                raise MalformedStreamError(detail=f"The model list is unreadable: {error!r}") from None
            except TRANSPORT_ERRORS as error:
                raise failures.from_transport(error, secrets=self.endpoint.secrets) from None

    async def aclose(self) -> None:
        await self._session.close()

    def _stream_url(self, model: str) -> str:
        """Returns the address of a stream. Raises `ConfigurationError` for a name that changes the path."""
        name = model.removeprefix("models/")
        if not {".", ".."}.isdisjoint(name.split("/")):
            raise ConfigurationError(detail=f"The model name {name!r} cannot be part of an address.")
        return f"{self._models_url}/{quote(name, safe='')}:streamGenerateContent?alt=sse"

    async def _request(self, method: str, url: str, body: Body | None = None) -> aiohttp.ClientResponse:
        """Returns the response, which the caller reads and releases. Raises `ProviderError`."""
        try:
            data = None if body is None else json.dumps(body, ensure_ascii=False).encode()
            response = await self._session.request(
                method,
                url,
                data=data,
                headers={"Content-Type": "application/json"},
                allow_redirects=False,  # a redirect would send the key to another host
                **self._request_options,
            )
            if response.status == 200:
                return response
            async with _releasing(response):
                text = await read_error(response.content.iter_any())
        except REQUEST_ERRORS as error:
            raise failures.from_transport(error, secrets=self.endpoint.secrets) from None
        raise self._status_error(response, text)

    def _status_error(self, response: aiohttp.ClientResponse, text: str) -> ProviderError:
        try:
            body = json.loads(text)
        except ValueError:
            body = text
        return failures.from_status(
            response.status, body, secrets=self.endpoint.secrets, headers=response.headers
        )


def _session(endpoint: EndpointConfig, headers: dict[str, str]) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=LIMITS.keepalive_expiry,
            ssl=ssl_context(endpoint),  # the same certificate authorities as the other adapters
        ),
        headers={**headers, **dict(endpoint.headers)},
        # "connect" covers the name lookup, TCP and TLS. The pipeline limits the rest.
        timeout=aiohttp.ClientTimeout(total=None, connect=endpoint.connect_seconds),
        trust_env=True,  # the machine's proxy, as in the SDKs of the other adapters
    )


def _with_version(address: str) -> str:
    """Returns the address, with the default version of the API if it does not end with one."""
    address = address.rstrip("/")
    return address if re.search(r"/v\d\w*$", address) else f"{address}/{DEFAULT_VERSION}"


@asynccontextmanager
async def _releasing(response: aiohttp.ClientResponse) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        response.release()  # to the pool, or closed if the body was not read to its end


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
        takes_audio=name.startswith("gemini"),
        reasons=bool(entry.value.get("thinking")),
    )


def _system_as_a_turn(body: Body) -> Body:
    """Returns the body with the system instruction as a turn, for Gemma."""
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
