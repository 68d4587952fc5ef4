"""Titles by a model: one call, which changes nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from chat.actions.conversation import delete_conversation, rename_conversation
from chat.actions.send import send_message
from chat.database import run_unit
from chat.generation.call_queue import MOST_SECONDS
from chat.generation.titles import AGAIN_SECONDS, AT_ONCE, SECONDS, TITLE_INSTRUCTIONS, title_in
from chat.live.process import process_name
from chat.models import (
    ChatModel,
    Conversation,
    Endpoint,
    Generation,
    Message,
    QueuedCall,
    ServerSettings,
    UsageEntry,
    User,
)
from chat.providers.base import ChatRequest, EndpointConfig, Turn
from chat.providers.demo import DemoProvider
from chat.providers.errors import UnavailableError
from chat.providers.events import ProviderEvent, TextDelta
from chat.providers.registry import _instances, close_all
from chat.runtime import Runtime
from tests.generation.recorded import ACCOUNT, RecordedProvider

pytestmark = pytest.mark.django_db(transaction=True)
TITLES = EndpointConfig("titles", "demo", "Titles")


class Held(RecordedProvider):
    """Answers once it is released."""

    def __init__(self, *answers: str | Exception) -> None:
        super().__init__(*answers)
        self.asked, self.released = asyncio.Event(), asyncio.Event()

    async def stream(self, request: ChatRequest) -> AsyncIterator[ProviderEvent]:
        self.asked.set()
        await self.released.wait()
        async for event in super().stream(request):
            yield event


class Chat:
    """One conversation, with a model for replies and another one for titles."""

    def __init__(self, person: User, runtime: Runtime, titles: RecordedProvider) -> None:
        self.id, self.person, self.runtime, self.titles = uuid4(), person, runtime, titles

    async def queued(self, text: str, **values: Any) -> Generation:
        model = await ChatModel.objects.aget(name="recorded")
        ids = {"client_id": uuid4(), "model_ids": [model.pk], **values}
        sent = await run_unit(send_message, self.person, self.id, text=text, **ids)  # type: ignore[arg-type]
        return await Generation.objects.aget(message__parent=sent.message)

    async def say(self, text: str, **values: Any) -> Generation:
        generation = await self.queued(text, **values)
        run = self.runtime.runner.run_of(generation.pk)
        await self.runtime.runner._drive(run)
        return generation

    async def titled(self) -> Conversation:
        await asyncio.gather(*self.runtime.titles._tasks)
        return await Conversation.objects.aget(pk=self.id)


@pytest.fixture
async def start(person: User, runtime: Runtime, settings: Settings) -> AsyncIterator[Callable[..., Chat]]:
    settings.CHAT_ENDPOINTS = {**settings.CHAT_ENDPOINTS, "recorded": ACCOUNT, "titles": TITLES}
    runtime.journal.start()

    def chosen() -> None:
        for slug in ("recorded", "titles"):
            provider = Endpoint.objects.create(slug=slug, name=slug)
            ChatModel.objects.create(endpoint=provider, name=slug, input_price=1, output_price=1)
        ServerSettings(title_model=ChatModel.objects.get(name="titles")).save()

    await run_unit(chosen)
    runtime.titles.start()  # after the settings are saved: it reads and remembers them

    def start(titles: RecordedProvider) -> Chat:
        providers = _instances.setdefault(asyncio.get_running_loop(), {})
        providers[ACCOUNT], providers[TITLES] = RecordedProvider("Because."), titles  # type: ignore[assignment]
        return Chat(person, runtime, titles)

    yield start
    await runtime.titles.drain(0)
    await runtime.journal.stop()
    await close_all()


async def test_the_first_reply_is_followed_by_a_title_whose_cost_is_the_owners(
    start: Callable[..., Chat], person: User
) -> None:
    chat = start(RecordedProvider('"Blue skies."\n'))
    await chat.say("Why is the sky blue? " * 200)
    conversation = await chat.titled()
    assert (conversation.title, conversation.titled) == ("Blue skies", "model")
    assert conversation.revision == 5, "viewers receive it"
    entry = await UsageEntry.objects.aget()
    assert (entry.user_id, entry.api, entry.status) == (person.pk, "title", "complete")
    assert entry.cost and entry.model_label == "titles"
    (request,) = chat.titles.requests
    assert "Because." in request.turns[0].text and len(request.turns[0].text) < 2_200
    await chat.say("And at night?")
    await chat.titled()
    assert len(chat.titles.requests) == 1, "there is one call for each chat"


async def test_a_first_prompt_that_is_edited_is_titled_by_its_reply(start: Callable[..., Chat]) -> None:
    chat = start(RecordedProvider("Blue skies", "Green skies"))
    model = await ChatModel.objects.aget(name="recorded")
    ids = {"client_id": uuid4(), "model_ids": [model.pk]}
    sent = await run_unit(send_message, chat.person, chat.id, text="Wyh?", **ids)  # type: ignore[arg-type]
    await Generation.objects.aupdate(status="failed")
    await chat.say("Why?", edits=sent.message.pk)
    assert (await chat.titled()).title == "Blue skies"
    assert "Why?" in chat.titles.requests[0].turns[0].text


async def test_a_chat_that_begins_with_a_file_alone_gets_a_title(start: Callable[..., Chat]) -> None:
    chat = start(RecordedProvider("Blue skies"))
    generation = await chat.queued("Why?")
    file = {"type": "file", "sha256": "0" * 64, "media_type": "image/png", "name": "sky.png"}
    prompts = Message.objects.filter(parent=None)
    await prompts.aupdate(text="", parts=[file])
    await Conversation.objects.aupdate(title="sky.png")
    await chat.runtime.runner._drive(chat.runtime.runner.run_of(generation.pk))
    assert (await chat.titled()).title == "Blue skies"


async def test_a_title_that_a_user_writes_during_the_call_is_kept(
    start: Callable[..., Chat],
) -> None:
    chat = start(titles := Held("Blue skies"))
    await chat.say("Why?")
    await titles.asked.wait()
    await run_unit(rename_conversation, chat.person, chat.id, "My own")
    titles.released.set()
    assert (await chat.titled()).title == "My own"


async def test_a_chat_that_a_user_titled_before_the_end_gets_no_title(
    start: Callable[..., Chat],
) -> None:
    chat = start(RecordedProvider("Blue skies"))
    model = await ChatModel.objects.aget(name="recorded")
    ids = {"client_id": uuid4(), "model_ids": [model.pk]}
    sent = await run_unit(send_message, chat.person, chat.id, text="Why?", **ids)  # type: ignore[arg-type]
    await Conversation.objects.aupdate(title="By an older release", titled="")
    generation = await Generation.objects.aget(message__parent=sent.message)
    await chat.runtime.runner._drive(chat.runtime.runner.run_of(generation.pk))
    assert ((await chat.titled()).title, chat.titles.requests) == ("By an older release", [])


@pytest.mark.parametrize("answer", [UnavailableError(), "", ' "" \n# \n'])
async def test_a_failure_leaves_the_first_words(start: Callable[..., Chat], answer: str | Exception) -> None:
    chat = start(RecordedProvider(answer))
    reply = await chat.say("Why is it so?")
    assert (await chat.titled()).title == "Why is it so?"
    await reply.arefresh_from_db()
    assert reply.status == "complete"
    assert await UsageEntry.objects.acount() == 1
    await chat.say("And?")
    await chat.titled()
    assert await UsageEntry.objects.acount() == 1


async def test_after_a_restart_only_a_chat_without_a_title_call_gets_one(
    start: Callable[..., Chat],
) -> None:
    chat = start(titles := Held("Blue skies"))
    await chat.say("Why?")
    await titles.asked.wait()
    await chat.runtime.titles.drain(0)
    assert (await Conversation.objects.aget()).titled == "asked"
    missed = Chat(chat.person, chat.runtime, titles)
    await missed.say("Why not?")  # no call: the process ends
    titles.released.set()
    chat.runtime.titles.start()
    while chat.runtime.titles._tasks:
        await asyncio.gather(*chat.runtime.titles._tasks)
    assert (await chat.titled()).title == "Why?"
    assert (await missed.titled()).title == "Blue skies"
    assert await UsageEntry.objects.acount() == 2, "the call that was cut is booked too"


async def waits(chat: Chat) -> None:
    """Returns when a call for a title waits in the queue, with its limit set."""
    while not chat.runtime.call_queue._waiting:
        await asyncio.sleep(0.01)


@pytest.fixture
async def busy(start: object, person: User, runtime: Runtime) -> AsyncIterator[QueuedCall]:
    """The endpoint for titles takes one call at once, and this one runs."""
    await Endpoint.objects.filter(slug="titles").aupdate(at_once=1)
    runtime.call_queue.start()
    yield await QueuedCall.objects.acreate(
        id=uuid4(), endpoint_id="titles", user=person, process=process_name(), begun_at=timezone.now()
    )
    await runtime.call_queue.stop()


async def test_the_deadline_of_a_title_begins_with_the_call_and_not_in_the_queue(
    start: Callable[..., Chat], busy: QueuedCall, later: Callable[[float], None]
) -> None:
    chat = start(RecordedProvider("Blue skies"))
    await chat.say("Why?")
    await waits(chat)
    assert (await Conversation.objects.aget()).titled == "", "it is made after a kill at this moment"
    await chat.say("And why?")
    assert len(chat.runtime.titles._tasks) == 1, "a further reply adds no call to the queue"
    later(SECONDS + 10)
    await busy.adelete()
    assert (await chat.titled()).title == "Blue skies"
    assert (await UsageEntry.objects.aget()).status == "complete"


async def test_titles_that_wait_in_the_queue_hold_no_slot_of_the_process(
    start: Callable[..., Chat], busy: QueuedCall
) -> None:
    chat = start(RecordedProvider("Blue skies"))
    for number in range(AT_ONCE + 1):
        chat.id = uuid4()
        await chat.say(f"Why {number}?")
    while len(chat.runtime.call_queue._waiting) <= AT_ONCE:
        await asyncio.sleep(0.01)
    await busy.adelete()
    while await Conversation.objects.filter(title="Blue skies").acount() <= AT_ONCE:
        await asyncio.sleep(0.01)


async def test_a_title_that_got_no_place_in_the_queue_is_tried_again_once(
    start: Callable[..., Chat], busy: QueuedCall, later: Callable[[float], None]
) -> None:
    chat = start(RecordedProvider("Blue skies"))
    await chat.say("Why?")
    await waits(chat)
    later(MOST_SECONDS + 1)
    await asyncio.gather(*chat.runtime.titles._tasks)
    assert not chat.titles.requests and not await UsageEntry.objects.aexists()
    await busy.adelete()
    later(AGAIN_SECONDS + 1)
    while not chat.titles.requests:
        await asyncio.sleep(0.01)
    assert (await chat.titled()).title == "Blue skies"


async def test_a_stopping_server_requests_no_queued_title(
    start: Callable[..., Chat], busy: QueuedCall
) -> None:
    chat = start(RecordedProvider("Blue skies"))
    await chat.say("Why?")
    await waits(chat)
    chat.runtime.call_queue.close()
    await busy.adelete()
    await chat.runtime.titles.drain(60)
    assert not chat.titles.requests
    await chat.runtime.call_queue.stop()
    chat.runtime.call_queue.start()
    chat.runtime.titles.start()
    while chat.runtime.titles._tasks:
        await asyncio.gather(*chat.runtime.titles._tasks)
    assert (await chat.titled()).title == "Blue skies", "the next start makes it"


async def test_a_deleted_chat_gets_no_title(start: Callable[..., Chat]) -> None:
    chat = start(titles := Held("Blue skies"))
    await chat.say("Why?")
    await titles.asked.wait()
    await run_unit(delete_conversation, chat.person, chat.id)
    titles.released.set()
    assert (await chat.titled()).title == "Why?"


async def test_without_a_chosen_model_no_title_is_requested(start: Callable[..., Chat]) -> None:
    chat = start(RecordedProvider("Blue skies"))
    await run_unit(ServerSettings().save)
    await chat.say("Why?")
    assert ((await chat.titled()).title, chat.titles.requests) == ("Why?", [])


async def test_the_demo_model_gives_the_first_words_without_commands() -> None:
    text = "<user>\n/demo long Why is the sky blue, and why?\n</user>\n\n<assistant>\nSo.\n</assistant>"
    request = ChatRequest("demo", [Turn("user", text)], system=TITLE_INSTRUCTIONS)
    events = [event async for event in DemoProvider(ACCOUNT).stream(request)]
    assert events[0] == TextDelta("Why is the sky blue")


@pytest.mark.parametrize(
    ("answer", "title"),
    [
        ("Blue skies", "Blue skies"),
        ("\n## **Title: “Blue skies.”**\nMore", "Blue skies"),
        ("Titel: Blauer Himmel", "Blauer Himmel"),
        ("\u202eBlue\x00 skies\u202c", "Blue� skies"),
        ("word " * 100, "word word word word word word word word word word word word…"),
        ("---\n", ""),
    ],
)
def test_what_small_models_add_around_a_title_is_removed(answer: str, title: str) -> None:
    assert title_in(answer) == title
