"""What an administrator sets for a model: what its requests have, a model behind its name, a fallback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from decimal import Decimal
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from chat.actions.send import send_message
from chat.actions.tools import sync_own_tools
from chat.database import run_unit
from chat.models import ChatModel, Endpoint, Generation, Message, Status, Tool, User
from chat.models.catalog import check_extra_body
from chat.providers.base import ChatRequest
from chat.providers.errors import AuthenticationError, RateLimitError
from chat.providers.events import ProviderEvent, TextDelta
from chat.providers.registry import _instances, close_all
from chat.runtime import Runtime
from tests.generation.recorded import ACCOUNT, RecordedProvider

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def models(settings: Settings) -> dict[str, ChatModel]:
    """`best` and `spare`, at one provider."""
    settings.CHAT_ENDPOINTS = {"recorded": ACCOUNT}
    settings.CHAT_SYSTEM_PROMPT = "Be brief."
    endpoint = Endpoint.objects.create(slug="recorded", name="Recorded")
    return {
        name: ChatModel.objects.create(endpoint=endpoint, name=name, input_price=price, output_price=price)
        for name, price in (("best", 100), ("spare", 1))
    }


@pytest.fixture
async def say(person: User, runtime: Runtime) -> AsyncIterator[Callable[..., object]]:
    """Sends "Hi" to a model whose provider gives these answers, and returns the provider and the reply."""
    runtime.journal.start()

    async def say(
        model: ChatModel, *answers: str | Exception, **options: object
    ) -> tuple[RecordedProvider, Generation]:
        provider = RecordedProvider(*answers)
        _instances.setdefault(asyncio.get_running_loop(), {})[ACCOUNT] = provider  # type: ignore[assignment]
        ids = {"client_id": uuid4(), "model_ids": [model.pk], **options}
        sent = await run_unit(send_message, person, uuid4(), text="Hi", **ids)  # type: ignore[arg-type]
        reply = await Message.objects.aget(parent=sent.message)
        await runtime.runner.run_of((await Generation.objects.aget(message=reply)).pk)()
        return provider, await Generation.objects.select_related("message", "model").aget(message=reply)

    yield say
    await runtime.journal.stop()
    await close_all()


async def test_a_request_has_the_settings_of_its_model(models: dict[str, ChatModel], say: Callable) -> None:  # type: ignore[type-arg]
    await ChatModel.objects.filter(name="best").aupdate(
        system_prompt="Answer in rhymes.",
        temperature=0.3,
        reasoning_effort="low",
        extra_body={"top_k": 20},
    )
    provider, _reply = await say(models["best"], "Yes")
    (request,) = provider.requests
    assert request.system == "Be brief.\n\nAnswer in rhymes."
    assert (request.temperature, request.reasoning_effort, request.extra) == (0.3, "low", {"top_k": 20})


async def test_a_reply_is_made_with_the_parameters_of_its_chat(
    models: dict[str, ChatModel],
    say: Callable,  # type: ignore[type-arg]
    client: Client,
    person: User,
) -> None:
    """It remembers them, and another model gets the nearest that it allows."""
    best = ChatModel.objects.filter(name="best")
    await best.aupdate(temperature=0.3, default_output_tokens=700, reasons=True)
    wanted = {"temperature": 1.5, "max_output_tokens": 900, "reasoning_effort": "high"}
    provider, reply = await say(models["best"], "Yes", parameters=wanted)
    (request,) = provider.requests
    assert (request.temperature, request.max_output_tokens) == (1.5, 900)
    assert (request.reasoning_effort, reply.parameters) == ("high", wanted)
    await run_unit(client.force_login, person)
    answer = await run_unit(client.get, reverse("conversation", args=[reply.conversation_id]))
    page = answer.content.decode()
    assert "temperature 1.5" in page and "at most 900 tokens" in page and "effort high" in page

    await ChatModel.objects.filter(name="best").aupdate(
        highest_temperature=0.5, max_output_tokens=800, highest_effort="low"
    )
    provider, reply = await say(models["best"], "Yes", parameters=wanted)
    (request,) = provider.requests
    nearest = {"temperature": 0.5, "max_output_tokens": 800, "reasoning_effort": "low"}
    assert (request.temperature, request.max_output_tokens) == (0.5, 800)
    assert (request.reasoning_effort, reply.parameters) == ("low", nearest)
    assert "nearest" in reply.message.parts[-1]["text"]

    provider, reply = await say(models["best"], "Yes", parameters={})
    assert (provider.requests[0].temperature, provider.requests[0].max_output_tokens) == (0.3, 700)
    assert reply.parameters is None


async def test_the_fallback_answers_with_what_it_allows(
    models: dict[str, ChatModel],
    say: Callable,  # type: ignore[type-arg]
) -> None:
    await ChatModel.objects.filter(name="best").aupdate(fallback=models["spare"], takes_temperature=True)
    await ChatModel.objects.filter(name="spare").aupdate(takes_temperature=False)
    provider, reply = await say(
        models["best"], AuthenticationError(), "Yes", parameters={"temperature": 1, "max_output_tokens": 50}
    )
    assert [request.temperature for request in provider.requests] == [1, None]
    assert reply.parameters == {"max_output_tokens": 50}


async def test_a_model_without_tools_is_offered_none_and_the_reply_says_so(
    models: dict[str, ChatModel],
    say: Callable,  # type: ignore[type-arg]
) -> None:
    await run_unit(sync_own_tools)
    await Tool.objects.aupdate(enabled=True, for_everyone=True)
    name = (await Tool.objects.afirst()).name  # type: ignore[union-attr]
    provider, reply = await say(models["best"], "Yes", tools=[name])
    assert [tool.name for tool in provider.requests[0].tools] == [name]
    await ChatModel.objects.filter(name="best").aupdate(uses_tools=False)
    provider, reply = await say(models["best"], "Yes", tools=[name])
    assert not provider.requests[0].tools
    assert "without them" in reply.message.parts[-1]["text"]


def test_writing_to_a_cache_costs_its_price(models: dict[str, ChatModel]) -> None:
    best = models["best"]  # 100 dollars per million
    assert best.cost(1_000, 0, 0, 1_000) == Decimal("0.125")
    best.cache_write_price = Decimal(200)
    best.cached_input_price = Decimal(10)
    assert best.cost(3_000, 0, 1_000, 1_000) == Decimal("0.31")
    best.search_price = Decimal(10)  # per thousand
    alias = ChatModel(name="alias", endpoint=best.endpoint, alias_of=best)
    assert alias.cost(0, 0, searches=5) == best.cost(0, 0, searches=5) == Decimal("0.05")


async def test_an_alias_calls_its_model_at_its_price_and_keeps_its_name(
    models: dict[str, ChatModel],
    say: Callable,  # type: ignore[type-arg]
) -> None:
    fast = await ChatModel.objects.acreate(
        endpoint_id="recorded", name="fast", display_name="Fast", alias_of=models["spare"]
    )
    provider, reply = await say(fast, "Yes")
    assert provider.requests[0].model == "spare"
    assert (reply.model_label, reply.status) == ("Fast", Status.COMPLETE)
    assert reply.cost is not None and reply.cost < Decimal("0.0001")
    await ChatModel.objects.filter(pk=fast.pk).aupdate(alias_of=models["best"])
    provider, reply = await say(fast, "Yes")
    assert provider.requests[0].model == "best"
    await ChatModel.objects.filter(name="best").aupdate(enabled=False)
    assert not await ChatModel.objects.usable().filter(pk=fast.pk).aexists()


@pytest.mark.parametrize("error", [AuthenticationError(), RateLimitError(retry_after=600)])
async def test_a_fallback_answers_and_the_reply_says_so(
    models: dict[str, ChatModel],
    say: Callable,  # type: ignore[type-arg]
    error: Exception,
    client: Client,
    person: User,
) -> None:
    await ChatModel.objects.filter(name="best").aupdate(fallback=models["spare"])
    provider, reply = await say(models["best"], error, "Yes")
    assert [request.model for request in provider.requests] == ["best", "spare"]
    assert (reply.status, reply.message.text, reply.error_code) == (Status.COMPLETE, "Yes", "")
    assert (reply.model.name, reply.model_label, reply.fell_back_from) == ("spare", "spare", "best")  # type: ignore[union-attr]
    await run_unit(client.force_login, person)
    page = await run_unit(client.get, reverse("conversation", args=[reply.conversation_id]))
    assert "best failed, so spare answered." in page.content.decode()
    endpoint = await Endpoint.objects.aget()
    assert (endpoint.slowed_until is not None) == isinstance(error, RateLimitError)


async def test_a_fallback_of_a_fallback_and_one_of_another_group_do_not_answer(
    models: dict[str, ChatModel],
    say: Callable,  # type: ignore[type-arg]
) -> None:
    await ChatModel.objects.filter(name="best").aupdate(fallback=models["spare"])
    await ChatModel.objects.filter(name="spare").aupdate(fallback=models["best"])
    provider, reply = await say(models["best"], AuthenticationError())
    assert [request.model for request in provider.requests] == ["best", "spare"]
    assert reply.status == Status.FAILED
    await ChatModel.objects.filter(name="spare").aupdate(for_everyone=False)
    provider, reply = await say(models["best"], AuthenticationError())
    assert [request.model for request in provider.requests] == ["best"]
    assert (reply.status, reply.fell_back_from) == (Status.FAILED, "")


@pytest.mark.parametrize("change", ["disable", "delete", "set another key"])
async def test_a_running_reply_ends_with_what_it_began_with(
    models: dict[str, ChatModel],
    say: Callable,  # type: ignore[type-arg]
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
) -> None:
    """And the next one uses the change, or says what is wrong."""
    streamed = RecordedProvider.stream

    async def stream(provider: RecordedProvider, request: ChatRequest) -> AsyncIterator[ProviderEvent]:
        async for event in streamed(provider, request):
            yield event
            if isinstance(event, TextDelta) and change == "disable":
                await Endpoint.objects.aupdate(enabled=False)
            elif isinstance(event, TextDelta) and change == "delete":
                await Endpoint.objects.all().adelete()
            elif isinstance(event, TextDelta):
                settings.CHAT_ENDPOINTS = {"recorded": replace(ACCOUNT, api_key="another")}

    monkeypatch.setattr(RecordedProvider, "stream", stream)
    _provider, reply = await say(models["best"], "Yes")
    assert (reply.status, reply.message.text, reply.model_label) == (Status.COMPLETE, "Yes", "best")
    if change == "set another key":
        config = await run_unit(lambda: Endpoint.objects.get().config())
        assert config is not None and config.api_key == "another"
    else:
        assert not await ChatModel.objects.usable().aexists()


@pytest.mark.parametrize("value", [[], "x", {"model": "other"}, {"stream": False}, {"a": "x" * 5_000}])
def test_an_extra_field_replaces_no_field_of_steady(value: object) -> None:
    with pytest.raises(ValidationError):
        check_extra_body(value)


def test_a_model_is_set_up_in_the_administration(
    models: dict[str, ChatModel], client: Client, administrator: User, person: User
) -> None:
    client.force_login(administrator)
    best, spare = models["best"], models["spare"]
    url = f"/admin/chat/chatmodel/{best.pk}/change/"
    group = Group.objects.create(name="Research")
    form = {
        "endpoint": "recorded",
        "name": "best",
        "display_name": "Our best",
        "description": "For hard questions",
        "position": "1",
        "enabled": "on",
        "groups": [group.pk],
        "fallback": spare.pk,
        "temperature": "0.5",
        **dict.fromkeys(
            ("takes_images", "reasons", "uses_tools", "gives_json", "takes_temperature"), "unknown"
        ),
        "highest_temperature": "1",
        "extra_body": '{"top_k": 5}',
    }
    assert client.post(url, form).status_code == 302
    best.refresh_from_db()
    assert (best.label, best.fallback, best.extra_body) == ("Our best", spare, {"top_k": 5})
    assert best.allowed.temperature == (0, 1)
    for wrong in (
        {"highest_temperature": "0.4"},
        {"lowest_effort": "high", "highest_effort": "low"},
        {"reasoning_effort": "low", "lowest_effort": "high"},
        {"default_output_tokens": "20", "max_output_tokens": "10"},
    ):
        assert client.post(url, {**form, **wrong}).status_code == 200, wrong
    assert "Choose another model" in client.post(url, {**form, "fallback": best.pk}).content.decode()
    ChatModel.objects.filter(pk=spare.pk).update(alias_of=best)
    refused = client.post(url, {**form, "alias_of": spare.pk})
    assert refused.context["adminform"].form.errors["alias_of"], "an alias of an alias"
    ChatModel.objects.filter(pk=spare.pk).update(alias_of=None)
    assert client.post(url, {**form, "extra_body": '{"model": "x"}'}).status_code == 200
    listed = "/admin/chat/chatmodel/"
    client.post(listed, {"action": "hide", "_selected_action": [spare.pk]})
    client.force_login(person)
    page = client.get("/", follow=True).content.decode()
    assert (
        "composer" in page and "Our best" not in page and "spare" not in page
    )  # of another group, and hidden
    person.groups.add(group)
    page = client.get("/", follow=True).content.decode()
    assert "Our best" in page and "For hard questions" in page and "spare" not in page
