"""Fills the catalog from the model lists of the providers.

Existing values belong to an administrator. A sync fills empty fields, adds new models and marks models that
are no longer listed. It never changes an existing name, price, limit or switch.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.db import DataError, IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from chat.actions.catalog_words import words_for_operators
from chat.database import run_unit, run_write
from chat.models import ChatModel, Endpoint
from chat.models.endpoint import DETAIL_LENGTH
from chat.providers.base import EndpointConfig, ModelInfo
from chat.providers.errors import ProviderError, TimeoutExceededError
from chat.providers.registry import ready_provider
from chat.runtime import current

logger = logging.getLogger(__name__)

LIST_SECONDS = 15.0
_PROBE_SECONDS = 0.5
_ABILITIES = ("takes_images", "takes_audio", "reasons")
_PRICES = ("input_price", "cached_input_price", "output_price")
_FILLED = ("display_name", "context_window", "max_output_tokens", *_PRICES, *_ABILITIES)
# The demo is used until a real provider is configured. It sorts last, so it is nobody's default after that.
_DEMO_POSITION = 1000
# These providers list every model they ever had. Other providers and gateways list what their administrator
# chose.
_LONG_LISTS = {
    "openai": "api.openai.com",
    "anthropic": "api.anthropic.com",
    "gemini": "generativelanguage.googleapis.com",
}


@dataclass(frozen=True, slots=True)
class SyncResult:
    """The result for one provider: the number of listed models, the number of new ones, and a `remark` about
    list entries that cannot be used. For a provider that could not be asked: the reason for people, and the
    provider's own sentence (`detail`)."""

    slug: str
    listed: int = 0
    added: int = 0
    error: str = ""
    remark: str = ""
    detail: str = ""


async def sync_catalog(slugs: Collection[str] | None = None) -> list[SyncResult]:
    """Asks the endpoints named by `slugs`, or all of them, at the same time, and stores their lists. A
    failing endpoint does not affect the others, whatever it raises. An Ollama that does not run is not a
    failure and gives no result. Raises DatabaseError after all endpoints were asked."""
    configured = await run_unit(Endpoint.objects.configs)
    endpoints = [endpoint for endpoint in configured.values() if slugs is None or endpoint.slug in slugs]
    results = await asyncio.gather(*map(_sync, endpoints), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if isinstance(result, SyncResult)]


async def ask_providers() -> list[SyncResult]:
    """Returns what `sync_catalog` would find, and stores nothing."""
    endpoints = (await run_unit(Endpoint.objects.configs)).values()
    answers = await asyncio.gather(*map(_answer, endpoints))
    results = []
    for endpoint, answer in zip(endpoints, answers, strict=True):
        if isinstance(answer, ProviderError):
            results.append(_refusal(endpoint, answer))
        elif answer is not None:
            results.append(SyncResult(endpoint.slug, listed=len(_by_name(answer)), remark=_remarks(answer)))
    return results


async def _sync(endpoint: EndpointConfig) -> SyncResult | None:
    answer = await _answer(endpoint)
    if answer is None:
        return None
    if isinstance(answer, ProviderError):
        return await run_write(_store_error, endpoint, answer)
    try:
        return await run_write(store_models, endpoint, answer)
    except (DataError, IntegrityError, ValueError, OverflowError) as error:
        logger.exception("The models of %s could not be stored.", endpoint.name)
        return await run_write(
            _store_error, endpoint, ProviderError(detail=f"Its list cannot be stored: {error}")
        )


async def _answer(endpoint: EndpointConfig) -> list[ModelInfo] | ProviderError | None:
    """Returns the list of one endpoint, or the error; None for an Ollama that does not run."""
    if endpoint.slug == "ollama" and not await _listens(endpoint.base_url or ""):
        return None
    try:
        provider = await ready_provider(endpoint)
        async with asyncio.timeout(LIST_SECONDS):
            return await provider.list_models()
    except TimeoutError:
        return TimeoutExceededError(detail=f"No answer in {LIST_SECONDS:g} s.")
    except ProviderError as error:
        logger.warning("The models of %s could not be listed: %s (%s)", endpoint.name, error, error.detail)
        return error
    except Exception as error:  # a defect in one adapter must not end the loop for all
        logger.exception("The request for the models of %s failed unexpectedly.", endpoint.name)
        return ProviderError(detail=f"{type(error).__name__}: {error}")


async def _listens(url: str) -> bool:
    """Returns whether a server accepts connections at `url`. This is cheaper than importing an SDK."""
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            _, writer = await asyncio.open_connection(
                parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
            )
    except (OSError, TimeoutError, ValueError):
        return False
    writer.close()
    return True


def enable_models(models: QuerySet[ChatModel], *, enabled: bool) -> int:
    """Enables or disables these models, also for calls of programs that begin at this moment. Returns their
    number."""
    count = models.update(enabled=enabled)
    transaction.on_commit(lambda: current().calls.permits.clear())
    return count


def store_models(endpoint: EndpointConfig, infos: Iterable[ModelInfo]) -> SyncResult:
    """Updates the catalog from the list of one endpoint, in one transaction."""
    infos = list(infos)
    listed, remark = _by_name(infos), _remarks(infos)
    wanted = worth_enabling(listed) if _lists_all_it_ever_had(endpoint) else set(listed)
    now = timezone.now()
    with transaction.atomic():
        row, _ = Endpoint.objects.get_or_create(slug=endpoint.slug, defaults=_new(endpoint))
        limit = {} if endpoint.at_once is None else {"at_once": endpoint.at_once}  # the file's
        Endpoint.objects.filter(pk=row.pk).update(synced_at=now, sync_error="", sync_detail=remark, **limit)
        known = {model.name: model for model in row.models.all()}
        added = [
            ChatModel(endpoint=row, enabled=name in wanted, listed_at=now, **_values(info))
            for name, info in listed.items()
            if name not in known
        ]
        ChatModel.objects.bulk_create(added)
        for name, model in known.items():
            if name in listed:
                _fill(model, listed[name])
                model.listed_at = now
                model.available = True
            elif model.listed_at is not None:  # Models added by hand were never listed. They stay.
                model.available = False
        ChatModel.objects.bulk_update(known.values(), [*_FILLED, "listed_at", "available"])
    return SyncResult(endpoint.slug, listed=len(listed), added=len(added), remark=remark)


def _by_name(infos: Iterable[ModelInfo]) -> dict[str, ModelInfo]:
    return {info.name: info for info in infos if info.name}


def _remarks(infos: Iterable[ModelInfo]) -> str:
    """Describes the list entries that cannot be used, as far as there is space for it."""
    words = " ".join(info.remark for info in infos if info.remark)
    return words if len(words) <= DETAIL_LENGTH else f"{words[: DETAIL_LENGTH - 1]}…"


def _lists_all_it_ever_had(endpoint: EndpointConfig) -> bool:
    maker = _LONG_LISTS.get(endpoint.kind)
    host = urlsplit(endpoint.base_url or "").hostname
    return maker is not None and (host is None or f".{host}".endswith(f".{maker}"))


def worth_enabling(names: Iterable[str]) -> set[str]:
    """Selects the useful models of a long list: the newest of each model line, unless the whole line is two
    major versions behind; no previews, no models that answer audio alone, and no dated snapshot if the plain
    name is listed too."""
    names = set(names)
    newest_of_line: dict[str, tuple[int, ...]] = {}
    newest_of_family: dict[str, int] = {}
    for name in names:
        line, family, version = _line(name), _family(name), _version(name)
        newest_of_line[line] = max(newest_of_line.get(line, ()), version)
        newest_of_family[family] = max(newest_of_family.get(family, 0), _major(version))
    return {
        name
        for name in names
        if _version(name) == newest_of_line[_line(name)]
        and _major(_version(name)) >= newest_of_family[_family(name)] - 1
        and not re.search(r"preview|-exp\b|experimental|audio", name)
        and (_without_date(name) == name or _without_date(name) not in names)
    }


def _family(name: str) -> str:
    """Returns the letters at the front: `gpt`, `o`, `claude`, `gemini`."""
    return re.sub(r"[^a-z].*", "", name.lower())


def _line(name: str) -> str:
    """Returns the words of a name without its version: `claude haiku` for claude-3-5-haiku-20241022, `gpt
    mini`."""
    return " ".join([_family(name), *re.findall(r"(?<=-)[a-z]+(?![^-])", name.lower())])


def _version(name: str) -> tuple[int, ...]:
    """Returns (4, 5) for claude-opus-4-5-20251101, (5, 1) for gpt-5.1-mini, () for a name without a
    version."""
    found = re.search(r"\d+(?:[.-]\d+)*", _without_date(name))
    return tuple(int(number) for number in re.findall(r"\d+", found[0])) if found else ()


def _major(version: tuple[int, ...]) -> int:
    return version[0] if version else 0


def _without_date(name: str) -> str:
    return re.sub(r"-(\d{4}-\d{2}-\d{2}|\d{8}|\d{4}|\d{3})$", "", name)


def _values(info: ModelInfo) -> dict[str, object]:
    return {"name": info.name, **{field: _known(info, field) for field in _FILLED}}


def _fill(model: ChatModel, info: ModelInfo) -> None:
    for field in _FILLED:
        if getattr(model, field) in (None, ""):
            setattr(model, field, _known(info, field))


def _known(info: ModelInfo, field: str) -> object:
    """Returns the listed value, or None if the list does not say. For an ability a list only ever says
    "yes"."""
    value: object = getattr(info, field)
    return value or None if field in _ABILITIES else value


def _new(endpoint: EndpointConfig) -> dict[str, object]:
    """Returns the first values of an endpoint's row."""
    return {"name": endpoint.name, **({"position": _DEMO_POSITION} if endpoint.kind == "demo" else {})}


def _store_error(endpoint: EndpointConfig, error: ProviderError) -> SyncResult:
    result = _refusal(endpoint, error)
    values = {"synced_at": timezone.now(), "sync_error": result.error, "sync_detail": result.detail}
    Endpoint.objects.update_or_create(
        slug=endpoint.slug,
        defaults=values,
        create_defaults={**_new(endpoint), **values},
    )
    return result


def _refusal(endpoint: EndpointConfig, error: ProviderError) -> SyncResult:
    # Imported late: it costs half a second, and a failure has imported it already.
    from chat.providers.failures import redact

    detail = redact(error.detail, endpoint.secrets)
    storable = "".join(character if character.isprintable() else " " for character in detail)
    return SyncResult(endpoint.slug, error=words_for_operators(error), detail=storable[:DETAIL_LENGTH])
