"""Azure OpenAI at its v1 address, with an API key or with tokens of Microsoft Entra ID.

The names of models are those of deployments. The library for tokens is an optional extra, imported on use.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import httpx2

from chat.providers.addresses import check_own_host
from chat.providers.base import EndpointConfig
from chat.providers.errors import AuthenticationError, ConfigurationError
from chat.providers.failures import redact
from chat.providers.openai import Key, OpenAIProvider
from chat.providers.parameter_fallback import Body

_SCOPE = "https://cognitiveservices.azure.com/.default"

# The hosts that receive a token of the machine. Anyone can have a name under azure.com.
HOSTS = (
    *("openai.azure.com", "cognitiveservices.azure.com", "services.ai.azure.com"),
    *("openai.azure.us", "openai.azure.cn"),
)


class AzureProvider(OpenAIProvider):
    """The adapter for Azure OpenAI. Without a key, the SDK requests a token before each request: of the
    machine's managed identity, of a service principal in environment variables, or of a user who is logged in
    with Azure's command line, as in the example in "API version lifecycle" of Azure's documentation."""

    needs_key = False
    libraries = ("azure.identity.aio",)

    def __init__(self, endpoint: EndpointConfig) -> None:
        if not endpoint.base_url:
            raise ConfigurationError(detail="Azure OpenAI needs the address of the resource.")
        self._credential: Any = None
        super().__init__(replace(endpoint, base_url=_with_version(endpoint.base_url)))

    def key(self, endpoint: EndpointConfig) -> Key:
        if endpoint.api_key:
            return endpoint.api_key
        check_own_host(endpoint, endpoint.base_url or "", HOSTS)
        try:
            from azure.identity.aio import DefaultAzureCredential, get_bearer_token_provider
        except ModuleNotFoundError:
            raise ConfigurationError(
                detail="There is no key, and the library for tokens of Microsoft Entra ID is not installed. "
                "Give a key, or start Steady with the extra 'azure': uv run --extra azure manage.py serve "
                "(docs/providers.md)."
            ) from None
        self._credential = DefaultAzureCredential()
        return get_bearer_token_provider(self._credential, _SCOPE)

    async def aclose(self) -> None:
        await super().aclose()
        if self._credential is not None:
            await self._credential.close()

    async def _request(self, method: str, path: str, body: Body | None = None) -> httpx2.Response:
        if self._credential is None:
            return await super()._request(method, path, body)
        from azure.core.exceptions import AzureError

        try:
            return await super()._request(method, path, body)
        except AzureError as error:
            detail = redact(f"{type(error).__name__}: {error}", self.endpoint.secrets)
            raise AuthenticationError(detail=detail) from None


def _with_version(address: str) -> str:
    """Returns the address, with the path of the v1 API if it has none."""
    address = address.rstrip("/")
    return address if urlsplit(address).path.strip("/") else f"{address}/openai/v1"
