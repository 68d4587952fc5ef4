"""The system prompts of a request, and the page that shows what was sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from chat.actions.send import send_message
from chat.database import run_unit
from chat.models import (
    ChatModel,
    Endpoint,
    Generation,
    Message,
    Preferences,
    SentRequest,
    Summary,
    User,
)
from chat.providers.registry import _instances, close_all
from chat.runtime import Runtime
from tests.generation.recorded import ACCOUNT, RecordedProvider

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def say(person: User, runtime: Runtime, settings: Settings) -> AsyncIterator[Callable[..., object]]:
    settings.CHAT_ENDPOINTS = {**settings.CHAT_ENDPOINTS, "recorded": ACCOUNT}
    settings.CHAT_SYSTEM_PROMPT = "Be brief."
    runtime.journal.start()
    provider = RecordedProvider("Fine.")
    _instances.setdefault(asyncio.get_running_loop(), {})[ACCOUNT] = provider  # type: ignore[assignment]
    endpoint = await Endpoint.objects.acreate(slug="recorded", name="Recorded")
    model = await ChatModel.objects.acreate(
        endpoint=endpoint, name="recorded", system_prompt="You are small.", max_output_tokens=900
    )
    chat = uuid4()

    async def say(text: str) -> tuple[str, Generation]:
        ids = {"client_id": uuid4(), "model_ids": [model.pk]}
        sent = await run_unit(send_message, person, chat, text=text, **ids)  # type: ignore[arg-type]
        generation = await Generation.objects.aget(message__parent=sent.message)
        await runtime.runner.run_of(generation.pk)()
        return provider.requests[-1].system, generation

    yield say
    await runtime.journal.stop()
    await close_all()


async def test_the_prompts_of_server_model_and_person_are_sent_in_this_order_and_shown(
    say: Callable[..., object], client: Client, person: User, make_user: Callable[..., User]
) -> None:
    await run_unit(client.force_login, person)
    saved = await run_unit(client.post, "/settings/instructions/", {"instructions": "Call me <b>Ada</b>."})
    assert saved.status_code == 302
    system, generation = await say("Why?")  # type: ignore[misc]
    assert system == "Be brief.\n\nYou are small.\n\nCall me <b>Ada</b>."
    await Preferences.objects.aupdate(instructions="Changed since")
    url = f"/messages/{generation.message_id}/sent/"
    page = (await run_unit(client.get, url)).content.decode()
    assert "Call me &lt;b&gt;Ada&lt;/b&gt;." in page and "Changed since" not in page
    assert page.index("Of the server") < page.index("Of the model") < page.index("Call me")
    assert "Why?" in page and "max_output_tokens" in page and "900" in page
    assert (
        url in (await run_unit(client.get, f"/conversations/{generation.conversation_id}/")).content.decode()
    )
    fragment = await run_unit(client.get, url, headers={"HX-Request": "true"})
    assert b"<html" not in fragment.content and b"What was sent" in fragment.content
    await run_unit(client.force_login, await run_unit(make_user, "other@example.org"))
    assert (await run_unit(client.get, url)).status_code == 404


async def test_a_chat_can_do_without_them(say: Callable[..., object], client: Client, person: User) -> None:
    await Preferences.objects.acreate(user=person, instructions="Call me Ada.")
    _, generation = await say("Why?")  # type: ignore[misc]
    await run_unit(client.force_login, person)
    url = f"/conversations/{generation.conversation_id}/"
    await run_unit(client.post, url, {"instructions": ""})
    assert (await say("Why?"))[0] == "Be brief.\n\nYou are small."  # type: ignore[misc]
    await run_unit(client.post, url, {"instructions": "1"})
    assert (await say("Why?"))[0].endswith("Call me Ada.")  # type: ignore[misc]


async def test_what_was_left_out_and_a_summary_are_shown_and_a_missing_record_is_said(
    say: Callable[..., object], client: Client, person: User
) -> None:
    await say("First words")  # type: ignore[misc]
    _, generation = await say("And now?")  # type: ignore[misc]
    first = await Message.objects.aget(position=2)
    summary = await Summary.objects.acreate(
        conversation_id=generation.conversation_id, covers=first, text="In short."
    )
    await Generation.objects.filter(pk=generation.pk).aupdate(sent_from=3, summary=summary)
    await SentRequest.objects.all().adelete()
    await run_unit(client.force_login, person)
    page = (await run_unit(client.get, f"/messages/{generation.message_id}/sent/")).content.decode()
    assert "2 earlier messages were left out" in page and "First words" not in page
    assert "In short." in page and "And now?" in page
    assert "were not recorded" in page


async def test_instructions_have_a_limit_and_no_characters_that_cannot_be_stored(
    client: Client, person: User
) -> None:
    await run_unit(client.force_login, person)
    url = "/settings/instructions/"
    answer = await run_unit(client.post, url, {"instructions": "a" * 8_001})
    assert answer.status_code == 400 and b"8000" in answer.content
    assert (await run_unit(client.post, url, {"instructions": "Call me \x00Ada."})).status_code == 400
    assert not await Preferences.objects.aexists()
