"""The states and messages of failed replies, for users and administrators, and their costs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from pytest_django.fixtures import Settings

from chat.database import run_unit
from chat.models import ChatModel, Generation, Status, User
from chat.parts import ToolCall, loaded
from chat.providers.base import EndpointConfig
from chat.providers.registry import close_all
from chat.runtime import current
from tests.generation.test_run import again, model, queued
from tests.providers.conftest import KEY
from tests.providers.wire import Wire, serve

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def wire(settings: Settings) -> AsyncIterator[Wire]:
    """A scripted provider, configured as `own`."""
    async with serve() as server:
        settings.CHAT_ENDPOINTS = {
            "own": EndpointConfig("own", "openai_compatible", "Own", f"{server.origin}/v1", KEY)
        }
        yield server
        await close_all()


async def replied(person: User, script: str, **fields: Decimal | int) -> Generation:
    """Returns the reply to a prompt after its end."""
    runtime = current()
    runtime.journal.start()
    own = await ChatModel.objects.filter(endpoint="own").afirst() or await run_unit(model, "own", **fields)
    (generation,) = await run_unit(queued, person, f"/wire {script}", own)
    await runtime.runner.run_of(generation.pk)()
    await runtime.journal.stop()
    return await again(generation)


@pytest.mark.parametrize(
    ("script", "status", "words"),
    [
        ("tokens=0", Status.FAILED, "empty reply"),
        ("tokens=0 reasoning=3", Status.FAILED, "empty reply"),
        ("text=___", Status.FAILED, "empty reply"),
        ("tokens=0 tools=1", Status.FAILED, "called a tool"),
        ("tokens=0 reasoning=3 length=1", Status.LENGTH, "before the first word"),
        ("tokens=1 tools=1", Status.COMPLETE, ""),
    ],
)
async def test_a_reply_without_a_word_says_so_and_offers_another_attempt(
    person: User, wire: Wire, client: Client, script: str, status: Status, words: str
) -> None:
    done = await replied(person, script)
    calls = [part for part in loaded(done.message.parts) if isinstance(part, ToolCall)]
    assert len(calls) == script.count("tools=1")
    assert (done.status, bool(done.error_message)) == (status, bool(words))
    assert done.input_tokens == 11, "what the provider reported is what was paid"
    await run_unit(client.force_login, person)
    page = (await run_unit(client.get, f"/conversations/{done.conversation_id}/")).content.decode()
    state = page.partition('data-role="assistant"')[2].partition("</article>")[0]
    assert words in state
    assert "Retry" in state
    assert ("Continue" in state) is False
    assert len(wire.log) == 1


async def test_a_refused_key_costs_nothing_and_its_sentence_is_for_administrators(
    person: User, administrator: User, wire: Wire, client: Client
) -> None:
    done = await replied(person, "fail=401 leak=1", input_price=Decimal(1000), output_price=Decimal(1000))
    assert (done.status, done.error_code) == (Status.FAILED, "authentication")
    assert (done.input_tokens, done.output_tokens, done.usage_estimated) == (None, None, False)
    assert not done.cost
    assert "It went wrong." in done.error_detail
    own, theirs, providers = (
        f"/conversations/{done.conversation_id}/",
        f"/admin/chat/conversation/{done.conversation_id}/change/",
        "/admin/chat/endpoint/own/change/",
    )
    reviewer = await User.objects.acreate(email="reviewer@example.org", is_staff=True)
    await reviewer.user_permissions.aadd(await Permission.objects.aget(codename="view_conversation"))

    def seen(user: User, url: str) -> bool:
        client.force_login(user)
        page = client.get(url)
        assert page.status_code == 200
        assert KEY not in page.content.decode()
        return "HTTP 401: It went wrong." in page.content.decode()

    assert not await run_unit(seen, person, own)
    assert not await run_unit(seen, reviewer, theirs)
    assert await run_unit(seen, administrator, theirs)
    assert not await run_unit(seen, administrator, providers)  # the page of the provider is not recorded


@pytest.mark.parametrize("script", ["fail=500", "fail=400", "cut=0", "drop=0", "error=0"])
async def test_a_failure_before_the_first_word_invents_no_usage(
    person: User, wire: Wire, script: str
) -> None:
    done = await replied(person, script, input_price=Decimal(1000), output_price=Decimal(1000))
    assert done.status == Status.FAILED
    assert (done.input_tokens, done.output_tokens) == (None, None)
    assert not done.cost


async def test_cached_tokens_cost_their_own_price(person: User, wire: Wire) -> None:
    prices = {"input_price": Decimal(1000), "output_price": Decimal(0)}
    whole = await replied(person, "tokens=1", **prices)
    assert (whole.input_tokens, whole.cached_input_tokens) == (11, 4)
    assert whole.cost == Decimal("0.011"), "the input price, where there is none of their own"
    await ChatModel.objects.aupdate(cached_input_price=Decimal(100))
    assert (await replied(person, "tokens=1")).cost == Decimal("0.0074")


async def test_a_web_page_instead_of_an_answer_is_reported_as_such(person: User, wire: Wire) -> None:
    done = await replied(person, "page=1")
    assert done.error_code == "configuration"
    assert "web page" in done.error_detail and "/v1" in done.error_detail


async def test_the_output_limit_of_the_catalog_is_requested_and_kept(
    person: User, wire: Wire, settings: Settings
) -> None:
    await replied(person, "tokens=1", max_output_tokens=50)
    assert wire.log[-1].body["max_tokens"] == 50
    settings.CHAT_MAX_OUTPUT_TOKENS = 20
    await replied(person, "tokens=1")
    assert wire.log[-1].body["max_tokens"] == 20
    settings.CHAT_MAX_OUTPUT_TOKENS = 0
    ignored = await replied(person, "tokens=1000")
    assert ignored.status == Status.LENGTH
    assert 0 < len(ignored.message.text.split()) < 200


async def test_the_request_and_its_output_limit_fit_the_window_together(person: User, wire: Wire) -> None:
    await replied(person, "tokens=1 " + "word " * 400, max_output_tokens=900, context_window=1000)
    assert 60 <= wire.log[-1].body["max_tokens"] <= 600
