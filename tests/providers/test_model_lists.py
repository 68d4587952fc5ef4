"""Model lists of gateways, and addresses as users type them."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from chat.providers import errors
from chat.providers.base import EndpointConfig, ModelInfo
from chat.providers.registry import close_all, provider_for
from tests.providers.conftest import KEY, Connect, ask, collect
from tests.providers.wire import FORMATS, Wire

ODD = ["200k", {}, [], 10**20, -1, 1e30, True, "-5", 4096.5, "Infinity"]


def entries(name: str, **fields: Any) -> list[Any]:
    """A list of one good model, one with `fields`, and four that have no name, as this format writes it."""
    good: dict[str, Any] = {"name": "models/good"} if name == "gemini" else {"id": "good"}
    odd = {**{key: f"{value[:-4]}odd" for key, value in good.items()}, **fields}
    nameless: list[Any] = [{}, {"id": None, "name": None}, "good", {"id": "a\x00b", "name": "models/a\x00b"}]
    if name == "gemini":
        for entry in (good, odd, *(it for it in nameless if isinstance(it, dict))):
            entry["supportedGenerationMethods"] = ["generateContent"]
    return [*nameless, odd, good]


async def listed(connect: Connect, wire: Wire, name: str, found: list[Any]) -> dict[str, ModelInfo]:
    wire.models = found
    provider = connect(name)
    if name == "openai":
        provider._speaks_responses = False  # type: ignore[attr-defined]  (its own list is filtered by names)
    return {info.name: info for info in await provider.list_models()}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("value", ODD, ids=str)
async def test_one_odd_entry_costs_no_other_and_is_reported(
    connect: Connect, wire: Wire, name: str, value: object
) -> None:
    field = "inputTokenLimit" if name == "gemini" else "max_input_tokens"
    models = await listed(connect, wire, name, entries(name, **{field: value}))
    assert set(models) == {"good", "odd", ""}
    assert models["odd"].context_window is None
    assert field in models["odd"].remark
    assert models["good"].remark == ""
    assert "Entry" in models[""].remark


@pytest.mark.parametrize("name", FORMATS)
async def test_numbers_may_be_written_as_text(connect: Connect, wire: Wire, name: str) -> None:
    field = "inputTokenLimit" if name == "gemini" else "max_input_tokens"
    models = await listed(connect, wire, name, entries(name, **{field: "200000"}))
    assert (models["odd"].context_window, models["odd"].remark) == (200_000, "")


async def test_a_gateways_list_is_not_filtered_by_names_but_by_what_it_says_of_them(
    connect: Connect, wire: Wire
) -> None:
    lite = {"max_input_tokens": 8192, "max_output_tokens": 1024}
    found = [
        {"id": "team-chat", "mode": "chat", **lite},
        {"id": "plain"},
        {"id": "team-embed", "mode": "embedding", **lite},
        {"id": "painter", "mode": "image_generation"},
        {"id": "answers", "mode": "responses"},
    ]
    for name in ("openai_chat", "openai_compatible"):
        models = await listed(connect, wire, name, found)
        assert list(models) == ["team-chat", "plain", "answers"]
        assert (models["team-chat"].context_window, models["team-chat"].max_output_tokens) == (8192, 1024)


async def test_a_list_may_say_what_a_model_accepts(connect: Connect, wire: Wire) -> None:
    found = [{"id": "a", "architecture": {"input_modalities": ["text", "image", "audio"]}}]
    model = (await listed(connect, wire, "openai_compatible", found))["a"]
    assert (model.takes_images, model.takes_audio) == (True, True)
    wire.models = [{"id": "gpt-audio"}, {"id": "gpt-5"}]
    taken = [(it.name, it.takes_images, it.takes_audio) for it in await connect("openai").list_models()]
    assert taken == [("gpt-audio", False, True), ("gpt-5", True, False)]


async def test_a_list_may_name_the_price_of_cached_input(connect: Connect, wire: Wire) -> None:
    pricing = {"prompt": "0.000001", "completion": "0.000002", "input_cache_read": "0.0000001"}
    models = await listed(connect, wire, "openai_compatible", [{"id": "a", "pricing": pricing}])
    assert (models["a"].input_price, models["a"].cached_input_price) == (1, 0.1)


@pytest.mark.parametrize("name", FORMATS)
async def test_a_web_page_instead_of_a_list_is_reported_as_such(
    connect: Connect, wire: Wire, name: str
) -> None:
    wire.models_page = True
    with pytest.raises(errors.ConfigurationError, match="address") as raised:
        await connect(name).list_models()
    assert "web page" in raised.value.detail


@pytest.mark.parametrize("name", FORMATS)
async def test_an_address_with_a_name_and_a_password_is_used_or_reported(
    connect: Connect, wire: Wire, name: str
) -> None:
    address = wire.base_url(name).replace("//", "//ada:p%40ss@")
    basic = "Basic " + base64.b64encode(b"ada:p@ss").decode()
    if name.startswith("openai"):  # the key needs the same header
        with pytest.raises(errors.ConfigurationError) as raised:
            await connect(name, base_url=address).list_models()
        assert "ada" not in raised.value.detail and "key" in raised.value.detail
        provider = provider_for(EndpointConfig("free", "openai_compatible", "Free", base_url=address))
    else:
        provider = connect(name, base_url=address)
    await provider.list_models()
    await collect(provider, ask("hello"))
    assert wire.log[-1].headers["Authorization"] == basic
    if not name.startswith("openai"):
        assert KEY in wire.log[-1].headers.values()
    await close_all()


@pytest.mark.parametrize(
    "name", [name for name in FORMATS if name != "anthropic"]
)  # which writes it as UTF-8
async def test_a_key_that_no_header_can_hold_is_reported(connect: Connect, name: str) -> None:
    with pytest.raises(errors.ConfigurationError) as raised:
        await connect(name, api_key="sk-canary-“quoted”-0123456789").list_models()
    assert "canary" not in raised.value.detail


@pytest.mark.parametrize(
    ("end", "path"), [("", "v1beta"), ("/v1", "v1"), ("/v1beta/", "v1beta"), ("/v1alpha", "v1alpha")]
)
async def test_geminis_version_is_that_of_its_address_else_the_sdks(
    connect: Connect, wire: Wire, end: str, path: str
) -> None:
    provider = connect("gemini", base_url=wire.origin + end)
    await collect(provider, ask("hello"))
    assert wire.log[-1].path == f"/{path}/models/wire:streamGenerateContent"
    assert await provider.list_models()


@pytest.mark.parametrize("name", FORMATS)
async def test_a_list_without_end_is_read_to_a_limit(connect: Connect, wire: Wire, name: str) -> None:
    wire.flood = 200
    with pytest.raises(errors.MalformedStreamError) as raised:
        await connect(name).list_models()
    assert "larger than" in raised.value.detail
    assert wire.flooded < 64 * 1024 * 1024, "a part of a gigabyte, because of the buffers on the way"
