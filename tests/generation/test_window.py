"""The turns that are sent to a model."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.generation.turns import turns_of
from chat.generation.window import (
    MessageTurns,
    alternating,
    correction,
    fitted,
    room_for_input,
    summary_turns,
)
from chat.parts import Part, TextPart, ToolCall, ToolResult
from chat.pipeline.tokens import turn_tokens
from chat.providers.base import CONTINUE_PROMPT, File, Turn

texts = st.text(st.sampled_from("ab 我é\n"), max_size=60)
turns = st.builds(Turn, st.sampled_from(["user", "assistant"]), texts)


def placed(turns: list[Turn]) -> list[MessageTurns]:
    return [MessageTurns(number, [turn]) for number, turn in enumerate(turns, 1)]


@given(st.lists(turns, max_size=12))
def test_turns_alternate_begin_with_the_user_and_have_text(given: list[Turn]) -> None:
    merged = alternating(given)
    assert all(one.role != other.role for one, other in pairwise(merged))
    assert not merged or merged[0].role == "user"
    assert all(turn.text.strip() for turn in merged)


@given(st.lists(turns, max_size=12))
def test_merging_loses_only_words_before_the_first_prompt(given: list[Turn]) -> None:
    said = [turn for turn in given if turn.text.strip()]
    while said and said[0].role != "user":
        said.pop(0)
    assert "\n\n".join(turn.text for turn in alternating(given)) == "\n\n".join(turn.text for turn in said)


def test_two_prompts_in_a_row_become_one_with_all_that_they_had() -> None:
    picture = File("image/png", b"")
    (merged,) = alternating(
        [Turn("user", "One", files=[picture]), Turn("assistant", " \n"), Turn("user", "Two")]
    )
    assert (merged.text, list(merged.files)) == ("One\n\nTwo", [picture])


def test_provider_metadata_is_kept_where_nothing_was_merged_and_left_out_where_it_was() -> None:
    signed = Turn("assistant", "Yes", opaque=[{"signature": "s"}])
    assert alternating([Turn("user", "A"), signed])[1] == signed
    assert alternating([Turn("user", "A"), signed, Turn("assistant", "No")])[1].opaque == []


@given(
    st.lists(turns.filter(lambda turn: turn.text.strip() != ""), max_size=20),
    st.integers(0, 60),
    st.integers(0, 400),
    st.integers(0, 20),
)
def test_what_is_sent_fits_is_the_newest_and_begins_with_a_prompt(
    past: list[Turn], fixed: int, room: int, before: int
) -> None:
    everything = placed(past)
    chosen = fitted(iter(everything[::-1]), len(past) + 1, room, fixed=fixed, before=before)
    kept = chosen.older
    assert kept == everything[len(everything) - len(kept) :], "the newest, without a hole"
    assert not kept or fixed + sum(turn_tokens(it.turns[0]) for it in kept) <= room
    if chosen.sent_from:
        assert chosen.sent_from == (kept[0].position if kept else len(past) + 1)
        assert not kept or kept[0].turns[0].role == "user"
    else:
        assert kept == everything


@given(st.integers(120, 600), st.lists(st.integers(1, 80), min_size=30, max_size=60))
def test_the_request_begins_with_the_same_message_for_several_turns(room: int, lengths: list[int]) -> None:
    """A turn is at most a sixth of the room here, and half of it is freed each time."""
    past: list[MessageTurns] = []
    before, moved = 0, []
    for number, length in enumerate(lengths):
        prompt = Turn("user", "a " * min(length, room // 12))
        position = 2 * number + 1
        chosen = fitted(iter(past[::-1]), position, room, fixed=turn_tokens(prompt), before=before)
        if chosen.sent_from != before:
            moved.append(number)
        before = chosen.sent_from
        past += [MessageTurns(position, [prompt]), MessageTurns(position + 1, [Turn("assistant", "b")])]
    assert all(later - earlier >= 2 for earlier, later in pairwise(moved))


def test_a_cut_stays_where_it_is_while_all_since_fits() -> None:
    past = placed([Turn(role, "word " * 40) for role in ("user", "assistant") * 10])
    cuts = []
    before = 0
    for length in range(6, 21, 2):
        chosen = fitted(iter(past[:length][::-1]), length + 1, 600, fixed=60, before=before)
        cuts.append(before := chosen.sent_from)
    assert cuts[0] == 0 and len(set(cuts)) <= 4
    assert cuts == sorted(cuts)


def test_omitted_turns_are_sent_again_when_there_is_room() -> None:
    past = placed(
        [Turn("user", "One"), Turn("assistant", "Two"), Turn("user", "Three"), Turn("assistant", "Four")]
    )
    assert fitted(iter(past[::-1]), 5, 1000, before=3).sent_from == 0


def test_older_turns_are_read_only_as_far_as_they_fit() -> None:
    past = iter(placed([Turn("user", "word " * 50)] * 100)[::-1])
    fitted(past, 101, 200)
    assert len(list(past)) > 90


@pytest.mark.parametrize(
    ("estimated", "counted", "low", "high"),
    [
        (None, None, 1, 1),
        (5, 12, 1, 1.1),  # mostly wrapping
        (4_000, 8_000, 1.9, 2),
        (1_000, 10**9, 4, 4),
        (10_000, 1, 0.4, 0.4),  # a gateway that counts what was not cached
        (0, 50, 1, 1),
    ],
)
def test_the_correction_follows_the_provider_within_bounds(
    estimated: int | None, counted: int | None, low: float, high: float
) -> None:
    assert low <= correction(estimated, counted) <= high


@pytest.mark.parametrize(
    ("window", "most_output", "room"),
    [(32_000, None, 24_000), (200_000, 8_000, 180_000), (1_000_000, 400_000, 750_000), (8_192, 8_192, 6_144)],
)
def test_a_reply_has_its_part_of_the_window(window: int, most_output: int | None, room: int) -> None:
    assert room_for_input(window, most_output) == room


def test_the_instruction_to_continue_is_a_turn_like_others() -> None:
    sent = alternating([Turn("user", "A"), Turn("assistant", "B"), Turn("user", CONTINUE_PROMPT)])
    assert [turn.role for turn in sent] == ["user", "assistant", "user"]


@st.composite
def chats(draw: st.DrawFn) -> list[MessageTurns]:
    """Prompts and replies, some of which called tools in several steps."""
    found = []
    for position in range(1, draw(st.integers(0, 16)) + 1):
        if position % 2:
            found.append(MessageTurns(position, turns_of("user", "Why? " * draw(st.integers(1, 20)))))
            continue
        parts: list[Part] = []
        for step in range(draw(st.integers(0, 3))):
            calls = [f"{position}-{step}-{number}" for number in range(draw(st.integers(1, 3)))]
            parts += [TextPart("Look. "), *(ToolCall(it, "clock", "{}") for it in calls)]
            parts += [
                ToolResult(it, "noon " * draw(st.integers(0, 20))) for it in calls[draw(st.booleans()) :]
            ]
        parts.append(TextPart("So. " * draw(st.integers(1, 20))))
        text = "".join(part.text for part in parts if isinstance(part, TextPart))
        found.append(MessageTurns(position, turns_of("assistant", text, parts, with_tool_calls=True)))
    return found


@given(chats(), st.integers(0, 500), st.text("ab ", max_size=80), st.integers(0, 20))
def test_a_request_fits_has_whole_pairs_and_the_prompt_with_the_partial_reply(
    past: list[MessageTurns], room: int, digest: str, before: int
) -> None:
    last = [Turn("user", "And now?"), Turn("assistant", "It is"), Turn("user", CONTINUE_PROMPT)]
    fixed = sum(map(turn_tokens, last))
    chosen = fitted(reversed(past), len(past) + 1, room, fixed=fixed, before=before)
    sent = [turn for placed in chosen.older for turn in placed.turns]
    assert chosen.tokens == sum(map(turn_tokens, sent))
    left = room - fixed - chosen.tokens
    summary = summary_turns(digest, left) if chosen.sent_from else []
    request = alternating([*summary, *sent, *last])
    assert sum(map(turn_tokens, [*summary, *sent, *last])) <= max(room, fixed)
    assert request[-2:] == last[1:] and request[-3].text.endswith("And now?")
    answered = set[str]()
    for turn, after in pairwise([*request, Turn("user")]):
        asked = {call.id for call in turn.tool_calls}
        assert asked == {result.call_id for result in after.tool_results}
        answered |= asked
    calls = {call.id for placed in chosen.older for turn in placed.turns for call in turn.tool_calls}
    assert answered == calls, "no call of what is sent is lost"
