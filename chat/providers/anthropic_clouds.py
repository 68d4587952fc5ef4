"""Models of Anthropic at Amazon Bedrock and Google Vertex AI, through the clients of the official SDK.

The clients sign the requests and know the addresses. Their libraries are optional extras, which are imported
on use. Neither service lists its models for these clients, so an administrator adds them by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from importlib.util import find_spec
from typing import Any

import anthropic
import httpx2

from chat.providers.addresses import check_own_host
from chat.providers.anthropic import AnthropicProvider, Client, configured
from chat.providers.base import EndpointConfig, ModelInfo
from chat.providers.errors import AuthenticationError, ConfigurationError, MalformedStreamError
from chat.providers.failures import redact
from chat.providers.paced_reading import PacedReader, chunks_of
from chat.providers.parameter_fallback import Body

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
# The hosts that receive the credentials of the machine. Anyone can have an API under amazonaws.com.
AWS_HOSTS = (
    *("bedrock-runtime.{}.amazonaws.com", "bedrock-runtime-fips.{}.amazonaws.com"),
    *("bedrock-runtime.{}.vpce.amazonaws.com", "bedrock-runtime.{}.api.aws"),
)
GOOGLE_HOSTS = ("googleapis.com",)
_REGION = re.compile("[a-z0-9-]+")  # these characters cannot change the host
_UNUSED = "-"  # without a value, the SDK reads environment variables


class BedrockProvider(AnthropicProvider):
    """The key is `ACCESS_KEY_ID:SECRET_ACCESS_KEY`, with `:SESSION_TOKEN` for temporary ones, or an API key
    of Bedrock. Without a key the machine's own credentials are used, as the AWS libraries find them."""

    needs_key = False
    libraries = ("boto3", "botocore.eventstream")

    def connect(self, endpoint: EndpointConfig, options: dict[str, Any]) -> Client:
        _require("boto3", "bedrock")
        if not _REGION.fullmatch(endpoint.region):
            raise ConfigurationError(detail="Amazon Bedrock needs a region, such as eu-central-1.")
        address = endpoint.base_url or f"https://bedrock-runtime.{endpoint.region}.amazonaws.com"
        if not endpoint.api_key:
            hosts = tuple(host.format(endpoint.region) for host in AWS_HOSTS)
            check_own_host(endpoint, address, hosts)
        key = endpoint.api_key or _UNUSED
        client = anthropic.AsyncAnthropicBedrock(
            aws_region=endpoint.region, base_url=address, api_key=key, **options
        )
        access, sign, rest = endpoint.api_key.partition(":")
        if not endpoint.api_key or sign:
            client.api_key = None
        if sign:
            secret, _, token = rest.partition(":")
            client.aws_access_key, client.aws_secret_key = access, secret
            client.aws_session_token = token or None
        return configured(client, endpoint)

    async def list_models(self) -> list[ModelInfo]:
        return []

    def chunks(self, response: httpx2.Response) -> tuple[AsyncIterator[bytes], PacedReader | None]:
        chunks, reader = chunks_of(response)
        return _unframed(chunks), reader

    async def _request(self, method: str, path: str, body: Body | None = None) -> httpx2.Response:
        from botocore.exceptions import BotoCoreError

        try:
            return await super()._request(method, path, body)
        except (BotoCoreError, RuntimeError) as error:  # no credentials were found, or they are invalid
            raise _no_credentials(error, self.endpoint) from None


class VertexProvider(AnthropicProvider):
    """The key is the JSON of a service account, or an access token. Without a key the machine's own
    credentials are used, as the Google libraries find them."""

    needs_key = False
    libraries = ("google.oauth2.service_account",)

    def connect(self, endpoint: EndpointConfig, options: dict[str, Any]) -> Client:
        _require("google.auth", "vertex")
        if not _REGION.fullmatch(endpoint.region):
            raise ConfigurationError(detail="Google Vertex AI needs a region, such as europe-west1.")
        account = _service_account(endpoint.api_key) if endpoint.api_key.startswith("{") else None
        project = endpoint.project or getattr(account, "project_id", None)
        if not project:
            raise ConfigurationError(detail="Google Vertex AI needs the ID of a project.")
        address = endpoint.base_url or _vertex_address(endpoint.region)
        if not endpoint.api_key:
            check_own_host(endpoint, address, GOOGLE_HOSTS)
        token = endpoint.api_key if endpoint.api_key and account is None else None
        client = anthropic.AsyncAnthropicVertex(
            region=endpoint.region,
            project_id=project,
            access_token=token,
            credentials=account,
            base_url=address,
            **options,
        )
        return configured(client, endpoint)

    async def list_models(self) -> list[ModelInfo]:
        return []

    async def _request(self, method: str, path: str, body: Body | None = None) -> httpx2.Response:
        from google.auth.exceptions import GoogleAuthError

        try:
            return await super()._request(method, path, body)
        except (GoogleAuthError, RuntimeError) as error:
            raise _no_credentials(error, self.endpoint) from None


def _vertex_address(region: str) -> str:
    """Returns the address that the SDK uses if its environment variables are not set."""
    host = {
        "global": "aiplatform.googleapis.com",
        "us": "aiplatform.us.rep.googleapis.com",
        "eu": "aiplatform.eu.rep.googleapis.com",
    }
    return f"https://{host.get(region, f'{region}-aiplatform.googleapis.com')}/v1"


def _service_account(text: str) -> Any:
    from google.oauth2.service_account import Credentials

    try:
        return Credentials.from_service_account_info(  # type: ignore[no-untyped-call]
            json.loads(text), scopes=[_SCOPE]
        )
    except (ValueError, TypeError, LookupError):
        # The message of the error may contain the private key.
        raise ConfigurationError(
            detail="The key is not the JSON of a service account. Enter it again."
        ) from None


async def _unframed(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yields the events of AWS's binary event stream as server-sent events, which the decoder reads. Raises
    `MalformedStreamError`."""
    from anthropic.lib.bedrock._stream_decoder import AWSEventStreamDecoder
    from botocore.eventstream import ParserError

    try:
        async for event in AWSEventStreamDecoder().aiter_bytes(chunks):
            yield f"data: {event.data}\n\n".encode()
    except (ParserError, ValueError, LookupError) as error:
        raise MalformedStreamError(detail=f"The event stream is unreadable: {type(error).__name__}") from None


def _require(module: str, extra: str) -> None:
    """Raises `ConfigurationError` if the libraries of this extra are not installed."""
    try:
        found = find_spec(module)
    except ModuleNotFoundError:  # the parent package is missing
        found = None
    if found is None:
        raise ConfigurationError(
            detail=f"The libraries for this kind of provider are not installed. Start Steady with its extra "
            f"{extra!r}: uv run --extra {extra} manage.py serve (docs/providers.md)."
        )


def _no_credentials(error: Exception, endpoint: EndpointConfig) -> AuthenticationError:
    return AuthenticationError(detail=redact(f"{type(error).__name__}: {error}", endpoint.secrets))
