"""The catalog is filled from the providers' lists, and never overrides an administrator."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from decimal import Decimal

import pytest
from django.db import IntegrityError
from pytest_django.fixtures import Settings

from chat.actions import catalog
from chat.actions.catalog import store_models, sync_catalog, worth_enabling
from chat.actions.catalog_words import words_for_operators
from chat.models import ChatModel, Endpoint, User
from chat.providers.base import EndpointConfig, ModelInfo
from chat.providers.errors import AuthenticationError, ProviderError, UnsupportedOptionError

OWN = EndpointConfig("own", "openai_compatible", "Own server")


class Scripted:
    """A provider whose list of models is given."""

    def __init__(self, models: list[ModelInfo] | Exception | None = None) -> None:
        self.models = models

    async def list_models(self) -> list[ModelInfo]:
        if self.models is None:
            await asyncio.Event().wait()
        if isinstance(self.models, Exception):
            raise self.models
        assert self.models is not None
        return self.models


@pytest.mark.django_db
def test_a_first_sync_adds_what_is_listed() -> None:
    result = store_models(OWN, [ModelInfo("small", "Small", 8_000, input_price=0.5), ModelInfo("big")])
    assert (result.listed, result.added, result.error) == (2, 2, "")
    small = ChatModel.objects.get(name="small")
    assert (small.label, small.context_window, small.input_price) == ("Small", 8_000, Decimal("0.5"))
    assert small.enabled
    assert small.endpoint.name == "Own server"
    assert small.endpoint.synced_at is not None


@pytest.mark.django_db
def test_a_later_sync_changes_nothing_that_an_administrator_set() -> None:
    store_models(OWN, [ModelInfo("small", "Small", 8_000, input_price=0.5)])
    ChatModel.objects.update(display_name="Ours", enabled=False, input_price=Decimal(2), context_window=4_000)
    Endpoint.objects.update(name="Cellar", enabled=False)
    store_models(OWN, [ModelInfo("small", "Small v2", 16_000, 1_000, input_price=9, output_price=9)])
    small = ChatModel.objects.get()
    assert (small.display_name, small.enabled, small.input_price) == ("Ours", False, Decimal(2))
    assert small.context_window == 4_000
    assert (small.max_output_tokens, small.output_price) == (1_000, Decimal(9)), "what was empty is filled"
    assert (small.endpoint.name, small.endpoint.enabled) == ("Cellar", False)


@pytest.mark.django_db
def test_the_demo_is_last_if_there_is_a_real_model(settings: Settings) -> None:
    demo, openai = (
        EndpointConfig("demo", "demo", "Demo"),
        EndpointConfig("openai", "openai", "OpenAI", api_key="x"),
    )
    settings.CHAT_ENDPOINTS = {"demo": demo, "openai": openai}
    store_models(demo, [ModelInfo("demo")])
    store_models(openai, [ModelInfo("gpt-5")])
    person = User.objects.create_user("a@example.org")
    assert [model.name for model in ChatModel.objects.usable_by(person)] == ["gpt-5", "demo"]


@pytest.mark.django_db
def test_stated_features_of_a_model_are_stored_and_an_administrators_no_is_kept() -> None:
    store_models(OWN, [ModelInfo("seer"), ModelInfo("blind", takes_images=True)])
    seer, blind = ChatModel.objects.get(name="seer"), ChatModel.objects.get(name="blind")
    assert (seer.takes_images, seer.reasons, blind.takes_images) == (None, None, True)
    ChatModel.objects.filter(name="blind").update(takes_images=False)
    store_models(
        OWN, [ModelInfo("seer", takes_images=True, reasons=True), ModelInfo("blind", takes_images=True)]
    )
    seer.refresh_from_db()
    blind.refresh_from_db()
    assert (seer.takes_images, seer.reasons, blind.takes_images) == (True, True, False)


@pytest.mark.django_db
def test_no_price_is_negative() -> None:
    store_models(OWN, [ModelInfo("auto")])
    with pytest.raises(IntegrityError):
        ChatModel.objects.update(input_price=Decimal("-0.5"))


@pytest.mark.django_db
def test_a_model_that_is_no_longer_listed_is_kept_but_not_offered(settings: Settings) -> None:
    settings.CHAT_ENDPOINTS = {"own": OWN}
    person = User.objects.create_user("a@example.org")
    store_models(OWN, [ModelInfo("old"), ModelInfo("new")])
    store_models(OWN, [ModelInfo("new")])
    assert [model.name for model in ChatModel.objects.usable_by(person)] == ["new"]
    assert ChatModel.objects.get(name="old").enabled
    store_models(OWN, [ModelInfo("old"), ModelInfo("new")])
    assert ChatModel.objects.usable_by(person).count() == 2


@pytest.mark.django_db
def test_a_model_added_by_hand_is_kept_without_being_listed() -> None:
    store_models(OWN, [])
    ChatModel.objects.create(endpoint_id="own", name="fine-tuned")
    store_models(OWN, [ModelInfo("other")])
    assert ChatModel.objects.get(name="fine-tuned").available


def returning[T](find: Callable[[EndpointConfig], T]) -> Callable[[EndpointConfig], Awaitable[T]]:
    async def find_later(endpoint: EndpointConfig) -> T:
        return find(endpoint)

    return find_later


@pytest.mark.django_db(transaction=True)
async def test_a_failing_provider_is_reported_and_affects_no_other(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = EndpointConfig("bad", "openai", "Bad", api_key="sk-canary")
    settings.CHAT_ENDPOINTS = {"bad": bad, "own": OWN}
    providers = {
        bad: Scripted(AuthenticationError(detail="401 for sk-canary")),
        OWN: Scripted([ModelInfo("small")]),
    }
    monkeypatch.setattr(catalog, "ready_provider", returning(providers.__getitem__))
    results = {result.slug: result for result in await sync_catalog()}
    assert results["own"].added == 1
    stored = await Endpoint.objects.aget(slug="bad")
    assert stored.sync_error == results["bad"].error == words_for_operators(AuthenticationError())
    assert stored.sync_detail == "401 for [key]"
    assert stored.synced_at is not None, "it was asked"
    providers[bad] = Scripted([])
    await sync_catalog(["bad"])
    await stored.arefresh_from_db()
    assert (stored.sync_error, stored.sync_detail) == ("", "")


@pytest.mark.django_db(transaction=True)
async def test_a_provider_that_does_not_answer_is_abandoned(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CHAT_ENDPOINTS = {"own": OWN}
    monkeypatch.setattr(catalog, "LIST_SECONDS", 0.01)
    monkeypatch.setattr(catalog, "ready_provider", returning(lambda endpoint: Scripted()))
    (result,) = await sync_catalog()
    assert result.error
    assert (await Endpoint.objects.aget()).sync_error == result.error


@pytest.mark.django_db(transaction=True)
async def test_ollama_is_listed_when_it_runs_and_is_no_error_before(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setattr(catalog, "_PROBE_SECONDS", 60.0)
    settings.CHAT_ENDPOINTS = {
        "ollama": EndpointConfig("ollama", "openai_compatible", "Ollama", f"http://127.0.0.1:{port}/v1")
    }
    monkeypatch.setattr(catalog, "ready_provider", returning(lambda endpoint: Scripted([ModelInfo("llama")])))
    assert await sync_catalog() == []
    assert not await Endpoint.objects.aexists()
    with socket.create_server(("127.0.0.1", port)):
        await sync_catalog()
    assert await ChatModel.objects.filter(endpoint="ollama", name="llama").aexists()


def test_an_administrator_is_never_referred_to_an_administrator() -> None:
    def errors(base: type[ProviderError]) -> list[type[ProviderError]]:
        return [base, *(error for child in base.__subclasses__() for error in errors(child))]

    told = {
        words_for_operators(error("tools") if issubclass(error, UnsupportedOptionError) else error())
        for error in errors(ProviderError)
    }
    assert len(told) > 5
    assert [words for words in told if "dministrator" in words] == []


def test_of_a_long_list_the_newest_model_of_each_family_is_enabled() -> None:
    openai = {
        *("gpt-3.5-turbo", "gpt-3.5-turbo-0125", "gpt-4", "gpt-4-0613", "gpt-4o", "gpt-4o-2024-08-06"),
        *("gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini", "gpt-5", "gpt-5-2025-08-07", "gpt-5-mini", "gpt-5.1"),
        *("o1", "o3", "o3-mini", "o4-mini", "o4-mini-2025-04-16", "gpt-5.1-preview"),
        *("gpt-audio", "gpt-audio-mini"),
    }
    assert worth_enabling(openai) == {"gpt-5.1", "gpt-5-mini", "o3", "o4-mini"}


def test_a_dated_name_is_enabled_where_there_is_no_plain_one() -> None:
    anthropic = {
        *("claude-3-haiku-20240307", "claude-3-5-haiku-20241022", "claude-haiku-4-5-20251001"),
        *("claude-opus-4-1-20250805", "claude-opus-4-5-20251101", "claude-sonnet-4-5-20250929"),
    }
    assert worth_enabling(anthropic) == {
        "claude-haiku-4-5-20251001",
        "claude-opus-4-5-20251101",
        "claude-sonnet-4-5-20250929",
    }


def test_names_without_a_version_are_enabled() -> None:
    assert worth_enabling({"mystery", "riddle-large"}) == {"mystery", "riddle-large"}


@pytest.mark.django_db
def test_an_odd_entry_of_a_list_is_reported_and_affects_no_other_model() -> None:
    infos = [
        ModelInfo("", remark="Entry 1 is left out: it has no id."),
        ModelInfo("good", context_window=8_000),
        ModelInfo("odd", remark="odd: max_input_tokens '200k' is not a number of tokens."),
    ]
    result = store_models(OWN, infos)
    assert (result.listed, result.added, result.error) == (2, 2, "")
    assert result.remark.startswith("Entry 1 is left out: it has no id. odd: max_input_tokens")
    provider = Endpoint.objects.get()
    assert (provider.sync_error, provider.sync_detail) == ("", result.remark)
    store_models(OWN, infos[1:2])
    assert Endpoint.objects.get().sync_detail == ""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("fault", [ValueError("no such thing"), RecursionError("deep"), KeyError("id")])
async def test_no_provider_ends_the_process_whatever_it_raises(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    odd, huge = (
        EndpointConfig("odd", "openai_compatible", "Odd"),
        EndpointConfig("huge", "openai_compatible", "Huge"),
    )
    settings.CHAT_ENDPOINTS = {"odd": odd, "huge": huge, "own": OWN}
    providers = {
        odd: Scripted(fault),
        huge: Scripted([ModelInfo("vast", context_window=10**30)]),  # no column can store it
        OWN: Scripted([ModelInfo("small")]),
    }
    monkeypatch.setattr(catalog, "ready_provider", returning(providers.__getitem__))
    results = {result.slug: result for result in await sync_catalog()}
    assert results["own"].added == 1
    for slug in ("odd", "huge"):
        assert results[slug].error
        assert (await Endpoint.objects.aget(slug=slug)).sync_detail


@pytest.mark.django_db
def test_all_models_of_a_gateway_are_enabled_whatever_their_names() -> None:
    names = ["gpt-3.5-turbo", "gpt-5.1", "gpt-5.1-preview"]
    for slug, address in (("gateway", "https://gateway.example/v1"), ("own", "https://eu.api.openai.com/v1")):
        endpoint = EndpointConfig(slug, "openai", slug, address, "sk-canary-1234")
        store_models(endpoint, map(ModelInfo, names))
    enabled = {(it.endpoint_id, it.name) for it in ChatModel.objects.filter(enabled=True)}
    assert enabled == {*(("gateway", name) for name in names), ("own", "gpt-5.1")}
