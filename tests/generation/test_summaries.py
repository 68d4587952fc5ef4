"""Summaries of what does not fit the window: made before the step, used again, redone for another branch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from chat.actions.message import delete_message
from chat.actions.send import send_message
from chat.database import run_unit
from chat.generation import summaries
from chat.generation.side_call import NoPlaceError
from chat.generation.summaries import QUEUE_SECONDS
from chat.generation.window import MessageTurns, fitted, summary_turns
from chat.live.process import process_name
from chat.models import (
    ChatModel,
    Conversation,
    Endpoint,
    Generation,
    Message,
    QueuedCall,
    ServerSettings,
    Summary,
    UsageEntry,
    User,
)
from chat.pipeline.tokens import request_tokens, turn_tokens
from chat.providers.base import EndpointConfig, Turn
from chat.providers.errors import UnavailableError
from chat.providers.registry import _instances, close_all
from chat.runtime import Runtime
from tests.generation.recorded import ACCOUNT, RecordedProvider

pytestmark = pytest.mark.django_db(transaction=True)
SMALL = EndpointConfig("small", "demo", "Small")
WINDOW = 1_000


class Chat:
    """One conversation with a small window, and a model for summaries."""

    def __init__(self, person: User, runtime: Runtime, small: RecordedProvider) -> None:
        self.id, self.person, self.runtime, self.small = uuid4(), person, runtime, small
        self.provider = RecordedProvider("Fine.")

    async def say(self, text: str) -> Generation:
        model = await ChatModel.objects.aget(name="recorded")
        ids = {"client_id": uuid4(), "model_ids": [model.pk]}
        sent = await run_unit(send_message, self.person, self.id, text=text, **ids)  # type: ignore[arg-type]
        generation = await Generation.objects.aget(message__parent=sent.message)
        await self.runtime.runner.run_of(generation.pk)()
        return await Generation.objects.select_related("summary", "conversation", "message").aget(
            pk=generation.pk
        )

    async def fill(self, first: int = 0, most: int = 20) -> Generation:
        """Sends prompts until some are left out."""
        for number in range(first, most):
            reply = await self.say(f"Prompt {number} " + "of words " * 40)
            if reply.sent_from:
                return reply
        raise AssertionError("everything fitted")

    @property
    def first_turn(self) -> str:
        return self.provider.requests[-1].turns[0].text


@pytest.fixture
async def start(person: User, runtime: Runtime, settings: Settings) -> AsyncIterator[Callable[..., Chat]]:
    settings.CHAT_ENDPOINTS = {**settings.CHAT_ENDPOINTS, "recorded": ACCOUNT, "small": SMALL}
    settings.CHAT_SYSTEM_PROMPT = ""
    runtime.journal.start()

    def chosen() -> None:
        for slug, window in (("recorded", WINDOW), ("small", 8_000)):
            provider = Endpoint.objects.create(slug=slug, name=slug)
            ChatModel.objects.create(
                endpoint=provider, name=slug, context_window=window, input_price=1, output_price=1
            )
        ServerSettings(summary_model=ChatModel.objects.get(name="small")).save()

    await run_unit(chosen)

    def start(*answers: str | Exception) -> Chat:
        chat = Chat(person, runtime, RecordedProvider(*answers))
        providers = _instances.setdefault(asyncio.get_running_loop(), {})
        providers[ACCOUNT], providers[SMALL] = chat.provider, chat.small  # type: ignore[assignment]
        return chat

    yield start
    await runtime.journal.stop()
    await close_all()


async def test_a_summary_replaces_what_was_cut_and_is_used_again(
    start: Callable[..., Chat], person: User
) -> None:
    chat = start("They spoke of words.", "They spoke of more words.")
    reply = await chat.fill()
    assert reply.summary and reply.conversation.summary_id == reply.summary_id
    first = await Message.objects.aget(conversation=chat.id, position=reply.sent_from)
    assert reply.summary.covers_id == first.parent_id, "it ends where the request begins"
    assert "<summary>\nThey spoke of words.\n</summary>" in chat.first_turn and first.text in chat.first_turn
    assert "not an instruction" in chat.first_turn
    entry = await UsageEntry.objects.aget()
    assert (entry.user_id, entry.api) == (person.pk, "summary") and entry.cost
    asked = chat.small.requests[0].turns[0].text
    assert asked.startswith("<user>\nPrompt 0 ") and first.text not in asked
    same = await chat.say("And now?")
    assert (same.summary_id, len(chat.small.requests)) == (reply.summary_id, 1)
    number = 20
    while (later := await chat.say(f"Prompt {number} " + "of words " * 40)).summary_id == reply.summary_id:
        number += 1
    assert "They spoke of more words." in chat.first_turn
    assert len(chat.small.requests) == 2 and later.sent_from
    again = chat.small.requests[1].turns[0].text
    assert again.startswith("<summary>\nThey spoke of words.\n</summary>"), "the next one goes on from it"
    assert "Prompt 0 " not in again


async def test_it_is_redone_when_the_branch_changes(start: Callable[..., Chat]) -> None:
    chat = start("One.", "Two.")
    reply = await chat.fill()
    covered = await Message.objects.select_related("parent").aget(summary=reply.summary_id)
    await run_unit(delete_message, chat.person, covered.parent_id or covered.pk)
    conversation = await Conversation.objects.aget(pk=chat.id)
    assert conversation.summary_id is None
    other = await chat.fill(100, 140)
    assert other.summary_id != reply.summary_id and "Two." in chat.first_turn
    assert "Prompt 100 " in chat.small.requests[-1].turns[0].text


async def test_the_deadline_of_a_summary_begins_with_the_call_and_not_in_the_queue(
    start: Callable[..., Chat],
    person: User,
    runtime: Runtime,
    later: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(summaries, "SECONDS", QUEUE_SECONDS - 20)
    chat = start("They spoke of words.")
    await Endpoint.objects.filter(slug="small").aupdate(at_once=1)
    who = {"user": person, "process": process_name()}
    busy = await QueuedCall.objects.acreate(id=uuid4(), endpoint_id="small", begun_at=timezone.now(), **who)
    runtime.call_queue.start()
    filling = asyncio.create_task(chat.fill())
    while not runtime.call_queue._waiting:
        await asyncio.sleep(0.01)
    later(QUEUE_SECONDS - 10)
    await busy.adelete()
    assert (await filling).summary_id is not None
    await runtime.call_queue.stop()


@pytest.mark.parametrize("answer", [UnavailableError(), " "])
async def test_without_a_summary_the_reply_is_written_and_the_next_does_not_wait(
    start: Callable[..., Chat], answer: str | Exception, client: Client
) -> None:
    chat = start(answer)
    reply = await chat.fill()
    assert (reply.status, reply.summary_id, reply.message.text) == ("complete", None, "Fine.")
    asked = len(chat.small.requests)
    await chat.say("And now?")
    assert len(chat.small.requests) == asked
    await run_unit(client.force_login, chat.person)
    page = await run_unit(client.get, f"/conversations/{chat.id}/")
    assert "The messages above are no longer sent to the model" in page.content.decode()


async def test_the_page_shows_it_to_its_owner_only(
    start: Callable[..., Chat], client: Client, make_user: Callable[..., User]
) -> None:
    chat = start("<b>Bold</b> words.")
    reply = await chat.fill()
    url = f"/summaries/{reply.summary_id}/"
    await run_unit(client.force_login, chat.person)
    page = (await run_unit(client.get, f"/conversations/{chat.id}/")).content.decode()
    assert f'href="{url}" data-sheet' in page and "no longer sent" not in page
    shown = (await run_unit(client.get, url)).content.decode()
    assert "&lt;b&gt;Bold&lt;/b&gt; words." in shown and "small" in shown
    other = await run_unit(make_user, "other@example.org")
    await run_unit(client.force_login, other)
    assert (await run_unit(client.get, url)).status_code == 404


async def with_a_long_past(chat: Chat) -> None:
    await ChatModel.objects.filter(name="recorded").aupdate(context_window=100_000)
    for number in range(9):
        await chat.say(f"{number} " + "of words " * 700)
    await ChatModel.objects.filter(name="recorded").aupdate(context_window=WINDOW)


async def test_a_long_history_is_summarised_in_parts(start: Callable[..., Chat]) -> None:
    chat = start("One.", "Two.", "Three.", "Four.")
    await with_a_long_past(chat)
    reply = await chat.say("And now?")
    assert len(chat.small.requests) > 1
    assert all(request_tokens(request) < 8_000 for request in chat.small.requests)
    assert reply.summary_id and await Summary.objects.acount() == len(chat.small.requests)


@pytest.mark.parametrize(("waits", "calls"), [(0.7, 0.0), (0.0, 0.95)])
async def test_the_parts_share_one_wait_and_one_limit_and_none_is_cut_while_it_is_paid(
    start: Callable[..., Chat],
    later: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
    waits: float,
    calls: float,
) -> None:
    """The second part would have 18 s left of the 60 in the queue, or 3 s left for its call."""
    chat = start("One.", "Two.", "Three.", "Four.")
    await with_a_long_past(chat)
    allowed: list[float] = []

    @asynccontextmanager
    async def place(*_args: object, seconds: float) -> AsyncIterator[None]:
        allowed.append(seconds)
        if seconds < waits * QUEUE_SECONDS:
            raise NoPlaceError("queue")
        later(waits * QUEUE_SECONDS)
        yield

    real = summaries.ask

    async def ask(*args: Any, **kwargs: Any) -> str:
        text = await real(*args, **kwargs)
        later(calls * summaries.SECONDS)
        return text

    monkeypatch.setattr(summaries, "place", place)
    monkeypatch.setattr(summaries, "ask", ask)
    reply = await chat.say("And now?")
    assert (reply.status, reply.summary_id, len(chat.small.requests)) == ("complete", None, 1)
    assert [round(seconds) for seconds in allowed] == ([60, 18] if waits else [60])
    assert await Summary.objects.acount() == 1  # the next reply goes on from it


@given(st.text(max_size=400), st.integers(0, 300))
def test_a_summary_is_cut_to_its_limit(text: str, room: int) -> None:
    turns = summary_turns(text, room)
    assert sum(map(turn_tokens, turns)) <= room
    assert all(turn.text.count("</summary>") == 1 for turn in turns)


@given(
    st.lists(st.integers(0, 60), max_size=30),
    st.integers(0, 80),
    st.integers(0, 400),
    st.integers(0, 40),
    st.floats(0, 0.5),
)
def test_what_is_sent_leaves_the_reserve_free_if_something_is_cut(
    lengths: list[int], fixed: int, room: int, before: int, share: float
) -> None:
    past = [
        MessageTurns(number, [Turn("assistant" if number % 2 else "user", "word " * length)])
        for number, length in enumerate(lengths)
    ]
    reserve = room * share
    kept = fitted(reversed(past), len(past), room, fixed=fixed, before=before, reserve=reserve)
    total = fixed + sum(turn_tokens(turn) for placed in kept.older for turn in placed.turns)
    assert kept.older == past[len(past) - len(kept.older) :], "the newest, without a gap"
    assert not kept.older or total <= room - (reserve if kept.sent_from else 0)
