"""A reply with calls of tools: the grown page equals the stored one, and shows what a tool said as text."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest

from chat.live.reply_log import TOOL_CALL, Segment
from chat.live.tool_call_lines import parts_of, piece_line, segments_of, state_line
from chat.models import Conversation, Message, Role, User
from chat.parts import ReasoningPart, TextPart, ToolCall, ToolResult, loaded, stored
from chat.rendering.growing_body import GrowingBody
from chat.rendering.tool_cards import Card, reply_body

OUTPUT = [
    Segment("reasoning", "I look."),
    Segment("text", "Let me **see**."),
    Segment(TOOL_CALL, piece_line(0, '{"expr', "a", "calculator")),
    Segment(TOOL_CALL, piece_line(1, "{}", "b", "current_time")),
    Segment(TOOL_CALL, piece_line(0, 'ession": "1"}')),
    Segment(TOOL_CALL, state_line(0, "started")),
    Segment(
        TOOL_CALL, state_line(1, "done", "<img src=x onerror=alert(1)> [link](https://evil.example)", 0.5)
    ),
    Segment(TOOL_CALL, state_line(0, "failed", "No.", 1.0)),
    Segment("reasoning", "So <b>it</b> is."),
    Segment("text", "It is *one*.\n\n1. a"),
    Segment("text", "\n2. b"),
]


def reply() -> Message:
    conversation = Conversation(owner=User(email="person@example.org"))
    return Message(conversation=conversation, pk=uuid4(), position=2, role=Role.ASSISTANT)


def bare(html: str) -> str:
    return re.sub(r"\s+", " ", html)


def test_parts_keep_the_order_and_make_the_output_again() -> None:
    parts = parts_of(OUTPUT)
    assert [type(part) for part in parts] == [
        *(ReasoningPart, TextPart, ToolCall, ToolCall, ToolResult, ToolResult, ReasoningPart, TextPart)
    ]
    assert parts[2] == ToolCall("a", "calculator", '{"expression": "1"}')
    assert parts_of(segments_of(parts)) == parts == loaded(stored(parts))


@pytest.mark.django_db
@pytest.mark.parametrize("cut", [1, 7, 10_000])
def test_a_reply_that_grew_with_calls_shows_what_the_stored_one_shows(cut: int) -> None:
    message = reply()
    body = GrowingBody(message)
    for kind, text in OUTPUT[1:]:
        for start in range(0, len(text), cut):
            body.feed([Segment(kind, text[start : start + cut])])
    body.finish()
    message.parts = stored(parts_of(OUTPUT))
    html = reply_body(message)
    assert bare(body.snapshot()) == bare(html)
    assert html.index("<strong>see") < html.index("Calculator") < html.index("Current time")
    assert html.index("Current time") < html.index("So &lt;b&gt;it") < html.index("<em>one")
    assert "<img" not in html and "<a " not in html and "evil.example" in html


@pytest.mark.django_db
def test_what_is_new_at_once_is_in_one_partial() -> None:
    """htmx finds the targets of all partials before it swaps the first."""
    body = GrowingBody(reply())
    for pieces in (body.feed(OUTPUT[1:4]), body.feed(OUTPUT[4:]), body.feed([Segment("text", " **c")])):
        assert pieces
        for piece in pieces:
            [target] = re.findall(r'hx-target="#([\w-]+)', piece)
            assert not any(f'id="{target}"' in other.partition(">")[2] for other in pieces if other != piece)


def test_a_state_of_a_later_release_has_no_words() -> None:
    assert (Card(0, "x", state="folded").words, bool(Card(0, "x", state="done").words)) == ("", True)
