"""The request to the model, from the database to its provider."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings

from chat.actions.message import delete_message
from chat.actions.reply import continue_reply, retry_reply
from chat.actions.send import send_message
from chat.database import run_unit
from chat.generation.context import prepare
from chat.generation.earlier_messages import _COLUMNS, rows_before
from chat.models import ChatModel, Conversation, Endpoint, Generation, Message, Role, Status, User
from chat.parts import Opaque
from chat.providers.base import CONTINUE_PROMPT
from chat.providers.errors import ContextLengthError
from chat.providers.registry import _instances, close_all
from chat.runtime import Runtime
from tests.generation.recorded import ACCOUNT, RecordedProvider

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def model(db: None, settings: Settings) -> ChatModel:
    """Returns a model with a window of 1,000 tokens."""
    settings.CHAT_ENDPOINTS = {**settings.CHAT_ENDPOINTS, "recorded": ACCOUNT}
    settings.CHAT_SYSTEM_PROMPT = ""
    provider = Endpoint.objects.create(slug="recorded", name="Recorded")
    return ChatModel.objects.create(endpoint=provider, name="recorded", context_window=1_000)


class Chat:
    """One conversation, with the real actions and runs."""

    def __init__(self, person: User, model: ChatModel, provider: RecordedProvider, runtime: Runtime) -> None:
        self.person, self.model, self.provider, self.runtime = person, model, provider, runtime
        self.id = uuid4()

    async def say(self, text: str) -> Generation:
        ids = {"client_id": uuid4(), "model_ids": [self.model.pk]}
        sent = await run_unit(send_message, self.person, self.id, text=text, **ids)  # type: ignore[arg-type]
        return await self.answered(await Message.objects.aget(parent=sent.message))

    async def answered(self, reply: Message) -> Generation:
        generation = await Generation.objects.aget(message=reply)
        await self.runtime.runner.run_of(generation.pk)()
        return await Generation.objects.select_related("message", "conversation").aget(pk=generation.pk)

    @property
    def sent(self) -> list[tuple[str, str]]:
        """Returns the turns of the last request."""
        return [(turn.role, turn.text) for turn in self.provider.requests[-1].turns]


@pytest.fixture
async def start(person: User, model: ChatModel, runtime: Runtime) -> AsyncIterator[Callable[..., Chat]]:
    runtime.journal.start()

    def start(*answers: str | Exception, rate: float = 0.25) -> Chat:
        provider = RecordedProvider(*answers, rate=rate)
        _instances.setdefault(asyncio.get_running_loop(), {})[ACCOUNT] = provider  # type: ignore[assignment]
        return Chat(person, model, provider, runtime)

    yield start
    await runtime.journal.stop()
    await close_all()


async def ended(reply: Generation, status: Status, text: str) -> Message:
    """Ends the reply with this status and text."""
    await Generation.objects.filter(pk=reply.pk).aupdate(status=status)
    parts = [{"type": "text", "text": text}] if text else []
    await Message.objects.filter(pk=reply.message_id).aupdate(text=text, parts=parts)
    return await Message.objects.aget(pk=reply.message_id)


async def test_a_prompt_after_a_stop_before_the_first_word_is_one_turn_with_the_one_before(
    start: Callable[..., Chat],
) -> None:
    chat = start("Fine.")
    await ended(await chat.say("First"), Status.STOPPED, "")
    await chat.say("Second")
    assert chat.sent == [("user", "First\n\nSecond")]


@pytest.mark.parametrize("text", ["", " \n"])
async def test_a_reply_that_says_nothing_is_no_turn(start: Callable[..., Chat], text: str) -> None:
    chat = start("Fine.")
    await chat.say("One")
    await ended(await chat.say("Two"), Status.FAILED, text)
    await chat.say("Three")
    assert chat.sent == [("user", "One"), ("assistant", "Fine."), ("user", "Two\n\nThree")]


async def test_a_reply_that_was_deleted_leaves_no_two_prompts_in_a_row(start: Callable[..., Chat]) -> None:
    chat = start("Fine.")
    reply = await chat.say("One")
    await run_unit(delete_message, chat.person, reply.message_id)
    await chat.say("Two")
    assert chat.sent == [("user", "One\n\nTwo")]


async def test_a_continuation_has_the_prompt_and_the_text_so_far_and_leaves_out_older_turns(
    start: Callable[..., Chat],
) -> None:
    chat = start("Fine.")
    await chat.say("Old words. " * 100)
    prompt, partial = "Near the window. " * 60, "What had come. " * 100
    partly = await ended(await chat.say(prompt), Status.STOPPED, partial)
    await chat.answered(await run_unit(continue_reply, chat.person, partly.pk))
    assert chat.sent == [("user", prompt.strip()), ("assistant", partial), ("user", CONTINUE_PROMPT)]


async def test_a_continuation_that_cannot_fit_is_refused_before_any_call(
    start: Callable[..., Chat],
) -> None:
    chat = start("Fine.")
    partly = await ended(await chat.say("Much. " * 300), Status.LENGTH, "More. " * 900)
    asked = len(chat.provider.requests)
    reply = await chat.answered(await run_unit(continue_reply, chat.person, partly.pk))
    assert (reply.status, reply.error_code) == (Status.FAILED, "context_length")
    assert "Nothing was sent" in reply.error_message
    assert reply.message.text == partly.text, "what had come is kept"
    assert len(chat.provider.requests) == asked


async def test_a_message_that_cannot_fit_is_refused_and_not_sent(start: Callable[..., Chat]) -> None:
    chat = start("Fine.")
    reply = await chat.say("Much. " * 2_000)
    assert (reply.status, reply.error_code, chat.provider.requests) == (Status.FAILED, "context_length", [])


async def test_an_unknown_window_refuses_nothing(start: Callable[..., Chat]) -> None:
    chat = start("Fine.")
    await ChatModel.objects.aupdate(context_window=None)
    assert (await chat.say("Much. " * 30_000)).status == Status.COMPLETE


async def test_the_window_is_filled_by_what_the_provider_counts(start: Callable[..., Chat]) -> None:
    """For this provider each character is two tokens, eight times the estimate of English, so 500 characters
    are the limit."""
    chat = start("Fine.", rate=1.0)
    for number in range(12):
        await chat.say(f"Prompt number {number} " + "of words " * 15)
    counted = sum(len(turn.text) for turn in chat.provider.requests[-1].turns)
    assert counted <= 1_000


async def test_half_of_the_window_is_not_wasted_in_english(start: Callable[..., Chat]) -> None:
    chat = start("Fine.", rate=0.22)
    longest = 0
    for number in range(16):
        await chat.say(f"Prompt number {number} " + "of words " * 25)
        longest = max(longest, sum(len(turn.text) for turn in chat.provider.requests[-1].turns))
    assert longest * 0.22 > 600


async def test_a_request_that_is_refused_as_too_long_is_sent_once_more_with_less(
    start: Callable[..., Chat],
) -> None:
    chat = start("Fine.", "Fine.", "Fine.", ContextLengthError(), "Fine after all.")
    for number in range(3):
        await chat.say(f"{number} " + "of words " * 20)
    reply = await chat.say("And now?")
    assert (reply.status, reply.message.text) == (Status.COMPLETE, "Fine after all.")
    refused, sent = chat.provider.requests[-2:]
    assert len(sent.turns) < len(refused.turns) == 7
    assert sent.turns[-1].text == "And now?"
    assert reply.sent_from and reply.conversation.sent_from == reply.sent_from


async def test_it_is_sent_no_third_time(start: Callable[..., Chat]) -> None:
    chat = start("Fine.", "Fine.", "Fine.", ContextLengthError())
    for number in range(3):
        await chat.say(f"{number} " + "of words " * 20)
    reply = await chat.say("And now?")
    assert (reply.status, reply.error_code) == (Status.FAILED, "context_length")
    assert len(chat.provider.requests) == 5


async def test_a_refused_request_with_nothing_to_leave_out_is_not_repeated(
    start: Callable[..., Chat],
) -> None:
    chat = start(ContextLengthError())
    assert (await chat.say("Hello")).status == Status.FAILED
    assert len(chat.provider.requests) == 1


async def test_the_message_from_which_on_the_model_is_sent_the_chat_is_marked_and_viewers_receive_it(
    start: Callable[..., Chat],
) -> None:
    chat = start("Fine.")
    cuts = []
    for number in range(14):
        reply = await chat.say(f"{number} " + "of words " * 40)
        cuts.append(reply.conversation.sent_from)
        if len(cuts) > 1 and cuts[-1] != cuts[-2]:
            first = await Message.objects.aget(conversation=chat.id, position=cuts[-1])
            assert first.role == Role.USER and first.revision > first.added_revision
            assert chat.sent[0] == ("user", first.text)
    assert cuts[0] == 0 < cuts[-1]
    assert len(set(cuts)) <= 5, "the cut moves in big steps"


async def test_a_larger_model_is_sent_everything_and_the_mark_is_removed(start: Callable[..., Chat]) -> None:
    chat = start("Fine.")
    for number in range(10):
        reply = await chat.say(f"{number} " + "of words " * 40)
    assert reply.conversation.sent_from
    chat.model = await ChatModel.objects.acreate(
        endpoint_id="recorded", name="large", context_window=1_000_000
    )
    reply = await chat.say("And all?")
    assert (reply.sent_from, reply.conversation.sent_from) == (0, 0)
    assert len(chat.sent) == 21


async def test_deleting_the_marked_message_removes_the_mark(start: Callable[..., Chat]) -> None:
    chat = start("Fine.")
    replies = [await chat.say(f"{number} " + "of words " * 40) for number in range(10)]
    assert replies[-1].conversation.sent_from
    await run_unit(delete_message, chat.person, replies[1].message_id)
    assert (await Conversation.objects.aget()).sent_from == 0


def branch(conversation: Conversation, parent: Message, start: int, count: int) -> Message:
    """Creates hidden messages, one after the other."""
    for position in range(start, start + count):
        parent = Message.objects.create(
            conversation=conversation,
            parent=parent,
            position=position,
            role=Role.USER,
            text="Elsewhere",
            shown=False,
            added_revision=1,
            revision=1,
        )
    return parent


def test_only_the_shown_path_is_read(person: User, model: ChatModel) -> None:
    chat = uuid4()

    def ask() -> Message:
        sent = send_message(person, chat, client_id=uuid4(), text="Why?", model_ids=[model.pk])
        Generation.objects.update(status=Status.COMPLETE)
        Message.objects.filter(role=Role.ASSISTANT).update(text="So.")
        return sent.message

    first = ask()
    branch(first.conversation, first, 1_000, 30)
    Conversation.objects.update(last_position=2_000)
    second = ask()
    retry_reply(person, Message.objects.get(parent=second).pk)
    generation = Generation.objects.select_related("message__parent", "model__endpoint").latest("queued_at")
    rows = rows_before(second, model.pk, with_tool_calls=False)
    assert [row[_COLUMNS.index("text")] for row in rows] == ["So.", "Why?"]
    with CaptureQueriesContext(connection) as queries:
        prepared = prepare(generation)
    assert [turn.text for turn in prepared.request.turns] == ["Why?", "So.", "Why?"]
    assert len(queries) <= 4  # one of them for the person's instructions


def test_a_long_chat_is_read_in_few_queries_and_no_further_than_needed(
    person: User, model: ChatModel
) -> None:
    chat = Conversation.objects.create(owner=person, title="Long", revision=1, last_position=2_000)
    rows: list[Message] = []
    for position in range(1, 2_001):
        role = Role.USER if position % 2 else Role.ASSISTANT
        parent = rows[-1] if rows else None
        row = Message(conversation=chat, parent=parent, position=position, role=role, text="Why so? " * 5)
        row.added_revision = row.revision = 1
        rows.append(row)
    Message.objects.bulk_create(rows)
    Conversation.objects.filter(pk=chat.pk).update(head=rows[-1])
    sent = send_message(person, chat.pk, client_id=uuid4(), text="Why?", model_ids=[model.pk])
    for window, queries_of_messages, number in ((1_000_000, 4, 2_001), (1_000, 1, 30)):
        ChatModel.objects.update(context_window=window)
        found = Generation.objects.select_related("message__parent", "model__endpoint", "conversation")
        generation = found.get(message__parent=sent.message)
        with CaptureQueriesContext(connection) as queries:
            prepared = prepare(generation)
        assert len(prepared.request.turns) <= number and prepared.request.turns[-1].text == "Why?"
        assert (len(prepared.request.turns) == 2_001) == (window == 1_000_000)
        reading = [query for query in queries if 'FROM "chat_message"' in query["sql"]]
        assert len(reading) == queries_of_messages


def test_metadata_of_a_provider_is_sent_back_only_to_its_model(person: User, model: ChatModel) -> None:
    other = ChatModel.objects.create(endpoint=model.endpoint, name="other")
    chat = uuid4()

    def ask(by: ChatModel) -> Generation:
        sent = send_message(person, chat, client_id=uuid4(), text="Why?", model_ids=[by.pk])
        return Generation.objects.select_related("message__parent").get(message__parent=sent.message)

    reply = ask(model)
    parts = [{"type": "text", "text": "So."}, {"type": "opaque", "kind": "k", "data": {"signature": "s"}}]
    Message.objects.filter(pk=reply.message_id).update(text="So.", parts=parts)
    Generation.objects.update(status=Status.COMPLETE)
    assert prepare(ask(model)).request.turns[1].opaque == [Opaque("k", {"signature": "s"})]
    Generation.objects.update(status=Status.COMPLETE)
    assert not prepare(ask(other)).request.turns[1].opaque
