"""Gemini over its REST interface, with aiohttp.

Without Google's SDK, on purpose. What it does for a chat is one header and one address. It parses each
chunk, writes it out as text and parses that again (four times our cost); after a failed connection it
sleeps for up to ten seconds and tries again by itself; it cannot read a comment in a stream; it reads a
dozen environment variables; it brings seven packages and 40 MB of memory. The tests hold this adapter to
what the SDK sends and reads.
https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson

from chat.providers import failures
from chat.providers.base import Account, ChatRequest, ModelInfo
from chat.providers.concessions import Body, Concession, Negotiator, without
from chat.providers.errors import ConfigurationError, MalformedStreamError
from chat.providers.events import Notice, ProviderEvent
from chat.providers.gemini_content import ContentDecoder, content_body
from chat.providers.sse import TRANSPORT_ERRORS, read_stream

DEFAULT_BASE_URL = "https://generativelanguage.googleapis.com"
CONNECT_SECONDS = 10.0


class GeminiProvider:
    """The adapter for the Gemini API."""

    def __init__(self, account: Account) -> None:
        if not account.api_key:
            raise ConfigurationError(detail=f"Account {account.slug!r} has no key.")
        self.account = account
        self._negotiator = Negotiator(_CONCESSIONS)
        self._session: aiohttp.ClientSession | None = None

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ProviderEvent]:
        path = f"models/{quote(request.model.removeprefix('models/'), safe='')}:streamGenerateContent?alt=sse"

        async def post(body: Body) -> aiohttp.ClientResponse:
            return await self._request("POST", path, body)

        response = await self._negotiator.send(request.model, content_body(request), post)
        decoder = ContentDecoder(request.model, self.account.api_key)
        chunks = response.content.iter_any().__aiter__()
        async with _closing(response), aclosing(read_stream(chunks, decoder)) as events:
            yield Notice("waiting")
            try:
                async for event in events:
                    yield event
            except TRANSPORT_ERRORS as error:
                raise failures.from_transport(error, secret=self.account.api_key) from None

    async def list_models(self) -> list[ModelInfo]:
        async with _closing(await self._request("GET", "models?pageSize=1000")) as response:
            try:
                entries = orjson.loads(await response.read())["models"]
                return [info for entry in entries if (info := _model_info(entry))]
            except (ValueError, TypeError, AttributeError, LookupError) as error:
                raise MalformedStreamError(detail=f"The model list is unreadable: {error!r}") from None
            except TRANSPORT_ERRORS as error:
                raise failures.from_transport(error, secret=self.account.api_key) from None

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _request(self, method: str, path: str, body: Body | None = None) -> aiohttp.ClientResponse:
        """The response to be read and closed by the caller. Raises `ProviderError`."""
        secret = self.account.api_key
        url = f"{(self.account.base_url or DEFAULT_BASE_URL).rstrip('/')}/v1/{path}"
        data = None if body is None else orjson.dumps(body)
        if self._session is None:
            self._session = _session()
        headers = {"x-goog-api-key": secret, "content-type": "application/json"}
        try:
            # A redirect would carry the key's header to another host.
            response = await self._session.request(
                method, url, data=data, headers=headers, allow_redirects=False
            )
            if response.status == 200:
                return response
            async with _closing(response):
                text = await response.text(errors="replace")
        except TRANSPORT_ERRORS as error:
            raise failures.from_transport(error, secret=secret) from None
        raise failures.from_status(response.status, _json_or(text), secret=secret, headers=response.headers)


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),  # the pipeline's the rest
        trust_env=True,  # the machine's proxy, as the SDKs do
    )


@asynccontextmanager
async def _closing(response: aiohttp.ClientResponse) -> AsyncGenerator[aiohttp.ClientResponse]:
    try:
        yield response
    finally:
        response.release()  # to the pool, or closed if there is more to come


def _json_or(text: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _model_info(entry: Mapping[str, Any]) -> ModelInfo | None:
    name = str(entry["name"]).removeprefix("models/")
    if "generateContent" not in entry.get("supportedGenerationMethods", ()) or _DOES_NOT_CHAT.search(name):
        return None
    return ModelInfo(
        name,
        display_name=str(entry.get("displayName") or ""),
        context_window=entry.get("inputTokenLimit"),
        max_output_tokens=entry.get("outputTokenLimit"),
        takes_images=name.startswith("gemini"),
        reasons=bool(entry.get("thinking")),
    )


def _system_as_a_turn(body: Body) -> Body:
    """Gemma takes no system instruction."""
    if "systemInstruction" not in body:
        return body
    body = dict(body)
    first = {"role": "user", "parts": body.pop("systemInstruction")["parts"]}
    return {**body, "contents": [first, *body["contents"]]}


_CONCESSIONS = (
    Concession(re.compile(r"(?i)developer instruction"), _system_as_a_turn),
    Concession(re.compile(r"(?i)thinking"), without("generationConfig", "thinkingConfig")),
)

_DOES_NOT_CHAT = re.compile(r"embedding|image|tts|aqa|live|audio|computer-use|robotics")
