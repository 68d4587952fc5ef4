"""Large pages are rendered off the event loop, and finished replies once."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from uuid import UUID

import pytest

from chat.actor import SessionClaim
from chat.database import run_unit
from chat.live.session_monitor import Viewer
from chat.models import ChatModel, Conversation, Endpoint, Generation, Message, User
from chat.rendering import render_cache as render_cache_module
from chat.rendering.colours import colours
from chat.rendering.render_cache import RenderCache
from chat.transports.feed import frames

CODE = "\n".join(
    ["```python", *(f"def f{i}(a, b={i}): return a + b  # comment {i}" for i in range(60)), "```"]
)


def long_conversation(owner: User) -> UUID:
    conversation = Conversation.objects.create(owner=owner, revision=9, path_revision=9, last_position=50)
    provider = Endpoint.objects.create(slug="demo", name="Demo")
    model = ChatModel.objects.create(endpoint=provider, name="demo")
    parent = None
    for position in range(1, 51):
        role = "user" if position % 2 else "assistant"
        text = "Question" if position % 2 else f"Answer {position}\n\n{CODE}\n\n{CODE}"
        parent = Message.objects.create(
            conversation=conversation,
            position=position,
            role=role,
            parent=parent,
            text=text,
            added_revision=1,
            revision=1,
        )
        if role == "assistant":
            Generation.objects.create(
                conversation=conversation, message=parent, model=model, model_label="demo", status="complete"
            )
    return conversation.pk


async def opened(person: User, conversation_id: UUID) -> tuple[float, int]:
    """Returns the longest time that the event loop worked without a pause for the first frame (seconds of
    CPU), and the frame's length."""
    worst = 0.0
    done = asyncio.Event()

    async def watch() -> None:
        nonlocal worst
        while not done.is_set():
            before = time.thread_time()
            await asyncio.sleep(0.005)
            worst = max(worst, time.thread_time() - before)

    watching = asyncio.create_task(watch())
    async with aclosing(
        frames(Viewer(SessionClaim(person.pk, "key", "hash")), conversation_id, 0, "en")
    ) as stream:
        frame = await asyncio.wait_for(anext(stream), 60)
    done.set()
    await watching
    return worst, sum(map(len, frame.updates))


@pytest.mark.django_db(transaction=True)
async def test_opening_a_long_chat_does_not_block_the_event_loop(
    person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation_id = await run_unit(long_conversation, person)
    standstill, length = await opened(person, conversation_id)
    while colours._pending:
        await asyncio.sleep(0.01)
    again, length_again = await opened(person, conversation_id)
    assert standstill < 0.2
    assert again < 0.2
    assert length_again >= length > 200_000
    assert length_again > 300_000  # with colours, the first time perhaps without
    rendered: list[str] = []
    monkeypatch.setattr(render_cache_module, "render_cited", lambda text, *_, **__: rendered.append(text))
    await opened(person, conversation_id)
    assert rendered == []


def test_the_cache_of_finished_replies_is_bounded() -> None:
    render_cache = RenderCache(100_000)
    for number in range(100):
        assert "word" in render_cache.html(f"{number} " + "word " * 1_000, "")
        assert render_cache._used <= 100_000
    assert render_cache._used > 50_000


@pytest.mark.django_db(transaction=True)
async def test_a_long_chat_is_sent_in_steps_that_fit_into_a_frame(person: User) -> None:
    conversation_id = await run_unit(long_conversation, person)
    async with aclosing(
        frames(Viewer(SessionClaim(person.pk, "key", "hash")), conversation_id, 0, "en")
    ) as stream:
        frame = await asyncio.wait_for(anext(stream), 60)
    assert max(len(update.encode()) for update in frame.updates) < 512 * 1024
    assert sum(update.count("<article") for update in frame.updates) == 50
    assert "".join(frame.updates).count('hx-target="#messages" hx-swap="innerHTML"') == 1
