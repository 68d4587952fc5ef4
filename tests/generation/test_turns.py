"""The turns of a stored message."""

from __future__ import annotations

from chat.generation.turns import DATA, NO_RESULT, turns_of
from chat.parts import NoticePart, Opaque, Part, ReasoningPart, TextPart, ToolCall, ToolResult
from chat.providers.base import Turn

FIRST, SECOND = ToolCall("1", "clock", "{}"), ToolCall("2", "clock", "{}")
SIGNED = Opaque("k", {"signature": "s"})


def test_a_message_without_words_is_no_turn() -> None:
    assert turns_of("user", " \n") == turns_of("assistant", "", [ReasoningPart("hm")]) == []


def test_metadata_goes_to_its_own_model_only_and_notices_to_none() -> None:
    parts: list[Part] = [ReasoningPart("hm"), TextPart("So."), NoticePart("Cut."), SIGNED]
    assert turns_of("assistant", "So.", parts) == [Turn("assistant", "So.", opaque=[])]
    assert turns_of("assistant", "So.", parts, is_own=True) == [Turn("assistant", "So.", opaque=[SIGNED])]


def test_each_step_is_followed_by_the_results_of_its_calls() -> None:
    parts: list[Part] = [TextPart("Look: "), FIRST, SECOND, ToolResult("2", "noon"), TextPart("So.")]
    noon = ToolResult("2", f"{DATA}\nnoon")
    assert turns_of("assistant", "Look: So.", parts, with_tool_calls=True) == [
        Turn("assistant", "Look: ", tool_calls=[FIRST, SECOND], opaque=[]),
        Turn("user", tool_results=[ToolResult("1", NO_RESULT, is_error=True), noon]),
        Turn("assistant", "So.", opaque=[]),
    ]


def test_arguments_that_were_cut_are_not_sent() -> None:
    """Providers refuse what is no JSON, so the chat could not go on."""
    cut = ToolCall("1", "clock", '{"at": "no')
    parts: list[Part] = [cut, ToolResult("1", "Not run.", is_error=True, state="skipped")]
    (called, _results) = turns_of("assistant", "", parts, with_tool_calls=True)
    assert [call.arguments for call in called.tool_calls] == ["{}"]


def test_calls_are_left_out_where_no_tools_are_offered_or_none_has_run() -> None:
    parts: list[Part] = [TextPart("Look: "), FIRST, SIGNED, ToolResult("1", "noon"), TextPart("So.")]
    said = [Turn("assistant", "Look: So.", opaque=[])]
    assert turns_of("assistant", "Look: So.", parts, is_own=True) == said
    assert turns_of("assistant", "Look: So.", [TextPart("Look: So."), FIRST], with_tool_calls=True) == said
