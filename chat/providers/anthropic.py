"""Anthropic through its official SDK: the Messages API.

The SDK sends the request, authenticates and reports errors. The bytes of the response are decoded here,
because the SDK's typed stream takes several times as much CPU (`benchmarks/providers.py`).
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import anthropic
import httpx2

from chat.providers import failures
from chat.providers.addresses import split_credentials
from chat.providers.anthropic_messages import MessagesDecoder, messages_body, search_bytes_before
from chat.providers.base import ChatRequest, EndpointConfig, ModelInfo
from chat.providers.connection import REQUEST_ERRORS, TRANSPORT_ERRORS, client_options
from chat.providers.errors import ConfigurationError, MalformedStreamError
from chat.providers.events import Notice, ProviderEvent
from chat.providers.model_list import Entry, read_models
from chat.providers.paced_reading import PacedReader, chunks_of
from chat.providers.parameter_fallback import CANNOT_CONTINUE, Body, Fallback, ParameterFallback, without
from chat.providers.sse import read_body, read_json, read_stream

type Client = anthropic.AsyncAnthropic | anthropic.AsyncAnthropicBedrock | anthropic.AsyncAnthropicVertex

DEFAULT_BASE_URL = "https://api.anthropic.com"


class AnthropicProvider:
    """The adapter for api.anthropic.com and for gateways that speak its Messages API."""

    needs_key = True

    def __init__(self, endpoint: EndpointConfig) -> None:
        if self.needs_key and not endpoint.api_key:
            raise ConfigurationError(detail=f"Endpoint {endpoint.slug!r} has no key.")
        self.endpoint = endpoint
        self._client = self.connect(endpoint, _options(endpoint))
        self._fallbacks = ParameterFallback(_FALLBACKS)

    def connect(self, endpoint: EndpointConfig, options: dict[str, Any]) -> Client:
        """Returns an SDK client configured by the endpoint alone, never by the environment."""
        address, headers = split_credentials(endpoint, DEFAULT_BASE_URL)
        # With None, the SDK reads environment variables and files.
        client = anthropic.AsyncAnthropic(
            api_key=endpoint.api_key, webhook_key="", base_url=address, **options
        )
        # Some gateways accept only the key's older header.
        key_headers = {"x-api-key": endpoint.api_key, **headers} if endpoint.base_url else {}
        return configured(client, endpoint, key_headers)

    def chunks(self, response: httpx2.Response) -> tuple[AsyncIterator[bytes], PacedReader | None]:
        """Returns the bytes of the server-sent events, and the reader of the socket."""
        return chunks_of(response)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ProviderEvent]:
        async def post(body: Body) -> httpx2.Response:
            return await self._request("post", "/v1/messages", body)

        body = {**messages_body(request), **request.extra}
        response = await self._fallbacks.send(request.model, body, post, exact=request.exact)
        decoder = MessagesDecoder(
            request.model, self.endpoint.secrets, search_bytes=search_bytes_before(request)
        )
        chunks, reader = self.chunks(response)
        async with aclosing(response), aclosing(read_stream(chunks, decoder, reader)) as events:
            yield Notice("waiting")
            try:
                async for event in events:
                    yield event
            except TRANSPORT_ERRORS as error:
                raise failures.from_transport(error, secrets=self.endpoint.secrets) from None

    async def list_models(self) -> list[ModelInfo]:
        response = await self._request("get", "/v1/models?limit=1000")
        async with aclosing(response):
            try:
                return read_models(read_json(await read_body(response.aiter_bytes()))["data"], _model_info)
            except (ValueError, TypeError, AttributeError, LookupError) as error:
                raise MalformedStreamError(detail=f"The model list is unreadable: {error!r}") from None
            except TRANSPORT_ERRORS as error:
                raise failures.from_transport(error, secrets=self.endpoint.secrets) from None

    async def aclose(self) -> None:
        await self._client.close()

    async def _request(self, method: str, path: str, body: Body | None = None) -> httpx2.Response:
        """Returns the response, which the caller reads and closes. Raises `ProviderError`."""
        call = self._client.post if method == "post" else self._client.get
        options: dict[str, Any] = {"cast_to": httpx2.Response, "stream": True}
        options |= {"stream_cls": anthropic.AsyncStream[Any]} | ({"body": body} if body is not None else {})
        secrets = self.endpoint.secrets
        try:
            response: httpx2.Response = await call(path, **options)
        except anthropic.APIStatusError as error:
            headers = error.response.headers
            raise failures.from_status(
                error.status_code, error.body, secrets=secrets, headers=headers
            ) from None
        except (anthropic.APIError, *REQUEST_ERRORS) as error:
            raise failures.from_transport(error, secrets=secrets) from None
        return response


def _options(endpoint: EndpointConfig) -> dict[str, Any]:
    """Returns the options of the SDK's clients."""
    return {
        "open_telemetry": False,
        "max_retries": 0,  # the pipeline retries
        # The pipeline limits the rest. With aiohttp, "pool" is the whole time to connect, including the name
        # lookup.
        "timeout": anthropic.Timeout(None, connect=endpoint.connect_seconds, pool=endpoint.connect_seconds),
        "http_client": anthropic.DefaultAioHttpClient(**client_options(endpoint)),
    }


def configured(client: Client, endpoint: EndpointConfig, headers: dict[str, str] | None = None) -> Client:
    """Returns the client with the headers and parameters of its endpoint alone. Otherwise the SDK adds those
    of ANTHROPIC_CUSTOM_HEADERS."""
    client._custom_headers = {**(headers or {}), **dict(endpoint.headers)}
    client._custom_query = dict(endpoint.query)
    return client


def _model_info(entry: Entry) -> ModelInfo:
    capabilities = Entry(entry.object("capabilities"))

    def supports(name: str) -> bool:
        return bool(capabilities.object(name).get("supported"))

    return ModelInfo(
        entry.name("id"),
        display_name=entry.text("display_name"),
        context_window=entry.tokens("max_input_tokens"),
        max_output_tokens=entry.tokens("max_tokens", "max_output_tokens"),
        takes_images=supports("image_input") if capabilities.value else True,
        reasons=supports("thinking"),
    )


def _think_with_a_budget(body: Body) -> Body:
    """Returns the body with a number of tokens instead of an effort, for older models without adaptive
    thinking."""
    if body.get("thinking", {}).get("type") != "adaptive":
        return body
    output = dict(body.get("output_config", {}))
    effort = output.pop("effort", "medium")
    budget = min({"low": 2_048, "medium": 8_192, "high": 16_384}[effort], body["max_tokens"] // 2)
    body = {key: value for key, value in body.items() if key not in {"thinking", "output_config"}}
    body = {**body, "output_config": output} if output else body
    return {**body, "thinking": {"type": "enabled", "budget_tokens": budget}} if budget >= 1_024 else body


_FALLBACKS = (
    CANNOT_CONTINUE,
    # No model takes a temperature while it thinks, and the newest models never take one.
    Fallback(re.compile(r"temperature"), without("temperature"), is_requested=True),
    Fallback(re.compile(r"cache_control"), without("cache_control"), is_requested=True),
    Fallback(re.compile(r"adaptive"), _think_with_a_budget),
    Fallback(re.compile(r"display"), without("thinking", "display")),
    Fallback(re.compile(r"effort|output_config"), without("output_config"), is_requested=True),
    Fallback(re.compile(r"thinking"), without("thinking"), is_requested=True),
)
