"""Parts are read back as they were stored, those of former releases too."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.parts import Opaque, Part, ReasoningPart, TextPart, ToolCall, loaded, stored, tool_calls

PARTS = st.lists(st.one_of(*(st.from_type(cls) for cls in get_args(Part.__value__) if cls is not Opaque)))


@given(PARTS)
def test_what_is_stored_is_read_back(parts: list[Part]) -> None:
    parts = [*parts, Opaque("kind", {"signature": "s", "after_calls": 0})]
    assert loaded(json.loads(json.dumps(stored(parts)))) == parts


def test_the_stored_form_stays_as_it_is() -> None:
    parts = [ReasoningPart("Hm."), TextPart("Yes."), ToolCall("1", "clock", "{}"), Opaque("k", {"a": 1})]
    assert stored(parts) == [
        {"type": "reasoning", "text": "Hm."},
        {"type": "text", "text": "Yes."},
        {"type": "tool_call", "id": "1", "name": "clock", "arguments": "{}"},
        {"type": "opaque", "kind": "k", "data": {"a": 1}},
    ]


def line(index: int, arguments: str, **start: str) -> str:
    return json.dumps({"index": index, "id": None, "name": None, "arguments": arguments, **start}) + "\n"


LINES = line(0, '{"at":', id="a", name="clock") + line(1, "{}", id="b", name="map") + line(0, ' "Z\u2028"}')
CALLS = [ToolCall("a", "clock", '{"at": "Z\u2028"}'), ToolCall("b", "map", "{}")]


@pytest.mark.parametrize("cut", ["", '{"index": 2, "id'])
def test_tool_calls_that_were_stored_as_pieces_are_read_as_calls(cut: str) -> None:
    assert tool_calls(LINES + cut) == CALLS
    before: list[dict[str, Any]] = [
        {"type": "text", "text": "I look."},
        {"type": "tool", "text": LINES + cut},
    ]
    assert loaded(before) == [TextPart("I look."), *CALLS]


def test_what_no_database_stores_is_replaced_in_a_call() -> None:
    (call,) = tool_calls(line(0, "\x00\ud800", id="\x00", name="\udfff"))
    assert call == ToolCall("\ufffd", "\ufffd", "\ufffd\ufffd")


def test_a_part_of_a_later_release_is_left_out() -> None:
    items = [{"type": "hologram", "data": 1}, {"type": "text", "text": "Yes.", "language": "en"}]
    assert loaded(items) == [TextPart("Yes.")]
