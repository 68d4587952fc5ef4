"""Checks one endpoint step by step: its name, the connection, the list of models, and a short answer.

Each step names its time, and the cause and the fix where it fails. Nothing is stored.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

from chat.actions.catalog import worth_enabling
from chat.actions.catalog_words import words_for_operators
from chat.diagnosis.findings import Finding
from chat.models import ChatModel
from chat.providers.base import ChatRequest, EndpointConfig, ModelInfo, Provider, Turn
from chat.providers.errors import ConfigurationError, ProviderError, TimeoutExceededError
from chat.providers.events import VISIBLE, Finished, ReasoningDelta, TextDelta
from chat.providers.registry import WITHOUT_MODEL_LIST, adapter_class
from chat.rendering.words import translated

LIST_SECONDS = 15.0
ANSWER_SECONDS = 60.0
QUESTION = "Write the numbers from one to forty as words, separated by commas. Write nothing else."
_TOKENS = 400  # enough for some reasoning before the answer
_ENOUGH = 60  # characters; a shorter answer does not show whether it was streamed
_AT_ONCE = 0.1  # of the whole time: an answer that arrives within this part was not streamed
_SLOW = 0.3  # seconds until the first word; below, the part cannot be measured
# Errors whose fix is on the endpoint, not in the question or the model.
_ENDPOINT_CODES = {"configuration", "authentication", "permission", "billing", "connection", "timeout"}
_HOSTS = {
    "openai": "https://api.openai.com",
    "anthropic": "https://api.anthropic.com",
    "gemini": "https://generativelanguage.googleapis.com",
}


class _FailedError(Exception):
    """A step failed: what happened, and what to do."""

    def __init__(self, words: str, fix: str) -> None:
        super().__init__(words)
        self.words, self.fix = words, fix


async def check_endpoint(
    endpoint: EndpointConfig, *, asks: bool = True, models: Sequence[str] = ()
) -> list[Finding]:
    """Returns one finding for each step, up to the first that fails. With `asks` it asks a short question,
    which may cost a fraction of a cent, of one of `models`, or of a listed one if there are none."""
    found: list[Finding] = []
    try:
        if endpoint.kind != "demo":
            await _reach(found, endpoint)
        provider = await _provider(endpoint, found)
        try:
            infos: list[ModelInfo] = []
            if endpoint.kind not in WITHOUT_MODEL_LIST:
                await _step(found, _("Models"), lambda: _list(provider, infos))
            elif not models:
                words = _("This kind of provider has no list. Save it, and add its models by hand.")
                found.append(Finding(_("Models"), True, words))
                asks = False
            if asks:
                model = _model(models, infos)
                await _step(found, _("Answer"), lambda: _ask(provider, model))
        finally:
            await provider.aclose()
    except _FailedError:
        pass  # it is the last finding
    return found


async def check_connection(endpoint: EndpointConfig) -> list[Finding]:
    """Returns the findings of the name and of the connection alone."""
    found: list[Finding] = []
    with suppress(_FailedError):
        await _reach(found, endpoint)
    return found


def enabled_models(slug: str) -> list[str]:
    """Returns the names of the models that people may use on this endpoint."""
    models = ChatModel.objects.filter(endpoint=slug, enabled=True, available=True)
    return list(models.order_by("position", "name").values_list("name", flat=True)[:500])


async def fix_of(endpoint: EndpointConfig) -> str:
    """Returns how to mend an endpoint that cannot be asked for its models; "" if it can."""
    return next((finding.fix for finding in await check_endpoint(endpoint, asks=False) if finding.fix), "")


async def _reach(found: list[Finding], endpoint: EndpointConfig) -> None:
    await _step(found, _("Name"), lambda: _resolve(endpoint))
    await _step(found, _("Connection"), lambda: _connect(endpoint))


async def _step(found: list[Finding], name: str, run: Callable[[], Awaitable[str]]) -> None:
    """Adds the finding of one step. Raises `_FailedError` if it failed."""
    started = time.monotonic()
    try:
        words = await run()
    except _FailedError as error:
        found.append(Finding(name, False, error.words, error.fix, seconds=time.monotonic() - started))
        raise
    found.append(Finding(name, True, words, seconds=time.monotonic() - started))


def _target(endpoint: EndpointConfig) -> tuple[str, int, bool]:
    """Returns the host and the port that are connected to, and whether with TLS: the proxy's, if there is
    one."""
    region = endpoint.region
    hosts = {
        **_HOSTS,
        "bedrock": f"https://bedrock-runtime.{region}.amazonaws.com",
        "vertex": f"https://{'' if region == 'global' else f'{region}-'}aiplatform.googleapis.com",
    }
    parts = urlsplit(endpoint.proxy or endpoint.base_url or hosts.get(endpoint.kind, ""))
    has_tls = parts.scheme == "https"
    return parts.hostname or "", parts.port or (443 if has_tls else 80), has_tls


async def _resolve(endpoint: EndpointConfig) -> str:
    host, port, _tls = _target(endpoint)
    try:
        async with asyncio.timeout(endpoint.connect_seconds):
            rows = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError):
        raise _FailedError(
            _("The name {host} is not known to this server.").format(host=host),
            _("Check the spelling of the address, and the name server (DNS) of this machine."),
        ) from None
    addresses = list(dict.fromkeys(str(row[4][0]) for row in rows))
    return f"{host}: {', '.join(addresses[:3])}"


async def _connect(endpoint: EndpointConfig) -> str:
    from chat.providers.connection import ssl_context  # imports the HTTP client

    host, port, has_tls = _target(endpoint)
    at = f"{host}:{port}"
    try:
        async with asyncio.timeout(endpoint.connect_seconds):
            context = await asyncio.to_thread(ssl_context, endpoint) if has_tls else None
            _reader, writer = await asyncio.open_connection(host, port, ssl=context)
    except ConfigurationError as error:
        raise _FailedError(error.detail, _("Enter the certificates in the PEM format.")) from None
    except ssl.SSLCertVerificationError as error:
        raise _FailedError(
            _("The certificate of {at} is not trusted: {reason}.").format(at=at, reason=error.verify_message),
            _("Add the certificate authority of the server, or correct its certificate."),
        ) from None
    except ssl.SSLError:
        raise _FailedError(
            _("{at} does not speak TLS.").format(at=at),
            _("Write http:// if the server has no TLS, or check the port."),
        ) from None
    except TimeoutError:
        raise _FailedError(
            _("{at} does not answer within {seconds} s.").format(
                at=at, seconds=f"{endpoint.connect_seconds:g}"
            ),
            _("Check the address, the port, and the firewalls between this machine and the server."),
        ) from None
    except OSError as error:
        raise _FailedError(
            _("{at} refuses the connection ({reason}).").format(at=at, reason=type(error).__name__),
            _("Start the server there, or check the port. It must listen on more than 127.0.0.1."),
        ) from None
    version = writer.get_extra_info("ssl_object")
    writer.close()
    return f"{at}, {version.version()}" if version else at


async def _provider(endpoint: EndpointConfig, found: list[Finding]) -> Provider:
    """Returns an adapter for this check alone."""
    try:
        return (await asyncio.to_thread(adapter_class, endpoint.kind))(endpoint)
    except ProviderError as error:
        found.append(Finding(_("Settings"), False, error.detail, translated(words_for_operators(error))))
        raise _FailedError(error.detail, "") from None


async def _list(provider: Provider, infos: list[ModelInfo]) -> str:
    try:
        async with asyncio.timeout(LIST_SECONDS):
            infos += [info for info in await provider.list_models() if info.name]
    except TimeoutError:
        raise _failed(TimeoutExceededError(detail=f"No answer in {LIST_SECONDS:g} s.")) from None
    except ProviderError as error:
        if better := await _better_address(provider.endpoint, error):
            raise _FailedError(
                error.detail, _("Write the address as {address}").format(address=better)
            ) from None
        raise _failed(error) from None
    if not infos:
        raise _FailedError(
            _("The list of models is empty."),
            _("Load a model on the server, or add one by hand under Models."),
        )
    names = ", ".join(info.name for info in infos[:3])
    return _("{count} models: {names}").format(count=len(infos), names=names + (", …" if infos[3:] else ""))


async def _better_address(endpoint: EndpointConfig, error: ProviderError) -> str:
    """Returns the address at which the list is found, if /v1 is missing in it or too much; otherwise ""."""
    if not isinstance(error, ConfigurationError) or not endpoint.base_url:
        return ""
    address = endpoint.base_url.rstrip("/")
    other = address.removesuffix("/v1") if address.endswith("/v1") else f"{address}/v1"
    provider = adapter_class(endpoint.kind)(replace(endpoint, base_url=other))
    try:
        async with asyncio.timeout(LIST_SECONDS):
            return other if await provider.list_models() else ""
    except (ProviderError, TimeoutError):
        return ""
    finally:
        await provider.aclose()


def _model(wanted: Sequence[str], infos: Sequence[ModelInfo]) -> str:
    listed = [info.name for info in infos]
    useful = worth_enabling(listed)
    known = [name for name in wanted if name in listed]
    return next(iter([*known, *wanted, *(name for name in listed if name in useful), *listed]))


async def _ask(provider: Provider, model: str) -> str:
    started = time.monotonic()
    first, text, thought, ended = 0.0, "", "", False
    request = ChatRequest(model, [Turn("user", QUESTION)], max_output_tokens=_TOKENS)
    try:
        async with asyncio.timeout(ANSWER_SECONDS), aclosing(provider.stream(request)) as events:
            async for event in events:
                if not first and isinstance(event, VISIBLE):
                    first = time.monotonic() - started
                text += event.text if isinstance(event, TextDelta) else ""
                thought += event.text if isinstance(event, ReasoningDelta) else ""
                ended = isinstance(event, Finished)
    except TimeoutError:
        raise _failed(TimeoutExceededError(detail=f"{model}: no end in {ANSWER_SECONDS:g} s.")) from None
    except ProviderError as error:
        raise _failed(error, f"{model}: ") from None
    if not ended or not (text or thought):
        raise _FailedError(
            _("{model} ended its reply early.").format(model=model),
            _("Check the log of the server. A proxy in front of it may cut off long replies."),
        )
    total = time.monotonic() - started
    if len(text + thought) >= _ENOUGH and first >= _SLOW and total - first < _AT_ONCE * total:
        raise _FailedError(
            _("{model} answers, but the whole reply arrived at once after {seconds} s.").format(
                model=model, seconds=f"{first:.1f}"
            ),
            _(
                "The server does not stream, or a proxy in front of it buffers the reply. With nginx: "
                "proxy_buffering off;"
            ),
        )
    return _("{model} answers: first word after {first} s, the end after {total} s.").format(
        model=model, first=f"{first:.2f}", total=f"{total:.2f}"
    )


def _failed(error: ProviderError, model: str = "") -> _FailedError:
    """`model` is the one that was asked; "" for the list of models."""
    fix = translated(words_for_operators(error))
    if model and error.code not in _ENDPOINT_CODES:
        fix = translated(str(error))
    return _FailedError(model + (error.detail or translated(str(error))), fix)
