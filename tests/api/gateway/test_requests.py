"""The limits of a request, and the fields that are refused, without a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chat.api.gateway import chat_request, messages_request, responses_request
from chat.api.gateway.content import Content
from chat.api.gateway.failures import FailureError
from chat.api.gateway.fields import MOST_ITEMS, MOST_OBJECTS, Fields
from chat.providers.anthropic_messages import messages_body
from chat.providers.base import File
from chat.providers.gemini_content import content_body
from chat.providers.openai_chat import chat_body
from chat.providers.openai_responses import responses_body

Parse = Callable[[Fields, str], Any]
USER = {"role": "user", "content": "Hi"}


class Counted(str):
    """A text that counts the characters that adding it to another one copies."""

    copied = 0

    def __radd__(self, before: str) -> str:
        Counted.copied += len(before) + len(self)
        return Counted(str(before) + str(self))

    def __add__(self, after: str) -> str:
        Counted.copied += len(after) + len(self)
        return Counted(str(self) + str(after))


def chat(content: object, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}], **more}


def refused(parse: Parse, body: dict[str, Any]) -> str | None:
    """Returns the name of the field that is refused."""
    with pytest.raises(FailureError) as error:
        parse(Fields(body), "model")
    assert error.value.status == 400
    return error.value.param


def test_a_message_of_many_pieces_is_joined_once() -> None:
    Counted.copied = 0
    content = Content()
    for _ in range(1_000):
        content.add_text(Counted("piece"))
    content.add_file(File("image/png"))
    content.add_text(Counted("end"))
    assert content.text == "\n".join(["piece"] * 1_000) + "end"
    assert content.files[0].after == content.length - 3 == 5_999
    assert Counted.copied <= 2 * len(content.text)


def test_the_lists_of_a_message_are_limited() -> None:
    parts = [{"type": "text", "text": "x"}] * (MOST_ITEMS + 1)
    inputs = [{"type": "input_text", "text": "x"}] * (MOST_ITEMS + 1)
    result = {"type": "tool_result", "tool_use_id": "c", "content": parts}
    output = {"type": "function_call_output", "call_id": "c", "output": inputs}
    assert refused(chat_request.parse, chat(parts)) == "messages[0].content"
    assert refused(messages_request.parse, chat(parts)) == "messages[0].content"
    assert refused(messages_request.parse, chat("Hi", system=parts)) == "system"
    assert refused(messages_request.parse, chat([result])) == "messages[0].content[0].content"
    assert refused(responses_request.parse, {"input": [{**USER, "content": inputs}]}) == "input[0].content"
    assert refused(responses_request.parse, {"input": [output]}) == "input[0].output"
    assert refused(chat_request.parse, chat("Hi", stop=["x"] * (MOST_ITEMS + 1))) == "stop"


def test_the_parts_of_all_messages_are_limited() -> None:
    parts = [{"type": "text", "text": "x"}] * MOST_ITEMS
    inputs = [{"type": "input_text", "text": "x"}] * MOST_ITEMS
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": parts}]}
    output = {"type": "function_call_output", "call_id": "c", "output": inputs}
    many = MOST_OBJECTS // MOST_ITEMS
    for parse, body in (
        (chat_request.parse, {"messages": [{"role": "user", "content": parts}] * many}),
        (messages_request.parse, {"messages": [{"role": "user", "content": parts}] * many}),
        (messages_request.parse, {"messages": [result] * many}),
        (responses_request.parse, {"input": [{"role": "user", "content": inputs}] * many}),
        (responses_request.parse, {"input": [output] * many}),
    ):
        assert refused(parse, body) is None


IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/x.png"}}
INPUT_IMAGE = {"type": "input_image", "image_url": "https://example.org/x.png"}


@pytest.mark.parametrize("role", ["system", "developer", "assistant", "tool"])
def test_an_image_outside_of_a_users_message_is_refused(role: str) -> None:
    message = {"role": role, "content": [IMAGE]} | ({"tool_call_id": "c"} if role == "tool" else {})
    assert refused(chat_request.parse, {"messages": [USER, message]}) == "messages[1].content[0].type"
    if role != "tool":
        item = {"role": role, "content": [INPUT_IMAGE]}
        assert refused(responses_request.parse, {"input": [USER, item]}) == "input[1].content[0].type"


def test_what_would_change_the_answer_is_not_dropped() -> None:
    messages = {"messages": [USER], "max_tokens": 5}
    assert refused(chat_request.parse, chat("Hi", parallel_tool_calls="abc")) == "parallel_tool_calls"
    assert refused(messages_request.parse, {**messages, "thinking": {}}) == "thinking.type"
    choice = {"disable_parallel_tool_use": True}
    assert refused(messages_request.parse, {**messages, "tool_choice": choice}) == "tool_choice.type"


@pytest.mark.parametrize("role", ["system", "user", "assistant"])
def test_the_name_of_an_author_is_sent_where_the_provider_takes_it(role: str) -> None:
    messages = [USER, {"role": role, "content": "Hi", "name": "bob"}]
    request = chat_request.parse(Fields({"messages": messages, "model": "x"}), "model").request
    sent = chat_body(request, limit_name="max_tokens")["messages"]
    assert sent == messages
    for body in (messages_body, responses_body, content_body) if role != "system" else ():
        assert "bob" not in str(body(request))


def test_a_tools_message_may_repeat_its_name() -> None:
    result = {"role": "tool", "tool_call_id": "c", "name": "look", "content": "seen"}
    (turn,) = chat_request.parse(Fields({"messages": [result]}), "model").request.turns
    assert turn.tool_results[0].text == "seen"
