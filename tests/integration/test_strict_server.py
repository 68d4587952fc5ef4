"""Conversations with a stock llama.cpp server whose chat template refuses turns that do not alternate.

They use the actions, the database and the runs. The window has 512 tokens, and the model makes a token of
nearly each character: four times the estimate.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import pytest_asyncio
from django.test import override_settings

from chat.actions.reply import continue_reply
from chat.actions.send import send_message
from chat.database import run_unit
from chat.models import ChatModel, Endpoint, Generation, Message, Status, User
from chat.providers.base import ChatRequest, Turn
from chat.providers.errors import InvalidRequestError
from chat.providers.registry import close_all, provider_for
from chat.runtime import Runtime
from tests.integration.stock import endpoint, stock_server

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.django_db(transaction=True)]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["gemma", "mistral"])
async def address(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    async with stock_server(request.param) as address:
        yield address
    await close_all()


class Chat:
    def __init__(self, person: User, model: ChatModel, runtime: Runtime) -> None:
        self.person, self.model, self.runtime = person, model, runtime
        self.id = uuid4()

    async def say(self, text: str, *, stopped: bool = False) -> Generation:
        sent = await run_unit(
            send_message, self.person, self.id, client_id=uuid4(), text=text, model_ids=[self.model.pk]
        )
        return await self.answered(await run_unit(Message.objects.get, parent=sent.message), stopped=stopped)

    async def answered(self, reply: Message, *, stopped: bool = False) -> Generation:
        replies = Generation.objects.select_related("message")
        generation = await run_unit(replies.get, message=reply)
        run = self.runtime.runner.run_of(generation.pk)
        if stopped:
            run.stop()
        await run()
        return await run_unit(replies.get, message=reply)


@pytest_asyncio.fixture(loop_scope="module")
async def chat(address: str, person: User, runtime: Runtime) -> AsyncIterator[Chat]:
    """A chat with the values of the server's own model list."""
    (info,) = await provider_for(endpoint(address)).list_models()
    provider = await run_unit(Endpoint.objects.create, slug="stock", name="Stock")
    model = await run_unit(
        ChatModel.objects.create, endpoint=provider, name=info.name, context_window=info.context_window
    )
    runtime.journal.start()
    with override_settings(
        CHAT_ENDPOINTS={"stock": endpoint(address)}, CHAT_SYSTEM_PROMPT="", CHAT_MAX_OUTPUT_TOKENS=12
    ):
        yield Chat(person, model, runtime)
    await runtime.journal.stop()


async def test_the_server_refuses_two_prompts_in_a_row(chat: Chat, address: str) -> None:
    request = ChatRequest(chat.model.name, [Turn("user", "Hi"), Turn("user", "Ho")], max_output_tokens=5)
    with pytest.raises(InvalidRequestError):
        async for _ in provider_for(endpoint(address)).stream(request):
            pass


async def test_a_prompt_after_a_stop_before_the_first_word_is_answered(chat: Chat) -> None:
    stopped = await chat.say("First", stopped=True)
    assert (stopped.status, stopped.message.text) == (Status.STOPPED, "")
    for text in ("Second", "Third"):
        reply = await chat.say(text)
        assert (reply.error_message, reply.status) == ("", Status.LENGTH)
        assert reply.message.text


async def test_a_reply_is_continued_right_where_it_ended(chat: Chat) -> None:
    partly = await chat.say("Talk")
    assert partly.status == Status.LENGTH
    whole = await chat.answered(await run_unit(continue_reply, chat.person, partly.message_id))
    assert (whole.error_message, whole.status) == ("", Status.LENGTH)
    assert whole.message.text.startswith(partly.message.text)
    more = whole.message.text[len(partly.message.text) :]
    assert 10 < len(more) < 30, "twelve letters, and not the beginning once more"
    assert whole.input_tokens is not None and whole.input_tokens < 150, "no instruction was sent"


async def test_a_conversation_longer_than_its_window_can_continue(chat: Chat) -> None:
    started = []
    for number in range(12):
        reply = await chat.say(f"Prompt {number} of a long talk")
        assert (reply.error_message, reply.status) == ("", Status.LENGTH)
        assert reply.input_tokens is not None and reply.input_tokens <= 512
        started.append(reply.sent_from)
    assert started[0] == 0 < (started[-1] or 0)
    assert len(set(started)) <= 5, "in big steps"


async def test_simultaneous_answers_wait_in_the_queue(chat: Chat) -> None:
    """The server has one slot, and sends no headers before it is free."""
    await close_all()  # On a busy machine the server has meanwhile closed the connection of the model list.
    other = Chat(chat.person, chat.model, chat.runtime)
    replies = await asyncio.gather(chat.say("One"), other.say("Two"))
    assert [reply.status for reply in replies] == [Status.LENGTH] * 2
