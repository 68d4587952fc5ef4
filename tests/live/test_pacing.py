"""Which output is held back, and for how long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.live.pacing import MOST_HOLD_SECONDS, STYLES, Pacer
from chat.live.reply_log import Segment, joined
from chat.models import Preferences
from chat.transports.feed import MOST_FRAME_SECONDS

TEXT = "One two three. Four five!\nSix seven"


def shown(style: str, *pieces: str, every: float = 0.02) -> list[str]:
    """Returns the released output after each piece. The pieces follow each other after so many seconds."""
    pacer = Pacer(style)
    released = [
        pacer.release([Segment("text", piece)], number * every) for number, piece in enumerate(pieces)
    ]
    return ["".join(text for _, text in segments) for segments in released]


def test_every_style_that_a_person_may_choose_is_known() -> None:
    assert set(STYLES) == set(Preferences.Streaming.values)


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ("instant", ["I", " th", "ink. ", "So", " I"]),
        ("words", ["I", " ", "", "think. ", "So "]),
        ("sentences", ["I", "", "", " think. ", ""]),
        ("lines", ["I", "", "", "", ""]),
        ("calm", ["I", "", "", "", ""]),
    ],
)
def test_the_first_words_are_sent_at_once_and_then_whole_pieces(style: str, expected: list[str]) -> None:
    assert shown(style, "I", " th", "ink. ", "So", " I") == expected


@given(
    st.sampled_from(sorted(STYLES)),
    st.lists(
        st.tuples(st.sampled_from(["text", "reasoning"]), st.text(min_size=1, max_size=20), st.floats(0, 1))
    ),
)
def test_nothing_is_lost_changed_or_held_for_long(style: str, output: list[tuple[str, str, float]]) -> None:
    pacer, now, length = Pacer(style), 0.0, 0
    came: list[tuple[float, int]] = []  # times and total characters of the output
    released: list[Segment] = []
    for kind, text, pause in output:
        now += pause
        while pacer.due is not None and pacer.due <= now:
            released += pacer.release([], pacer.due)
        released += pacer.release([Segment(kind, text)], now)
        length += len(text)
        came.append((now, length))
        gone = sum(len(segment.text) for segment in released)
        assert all(gone >= so_far for then, so_far in came if then + MOST_HOLD_SECONDS <= now)
    if pacer.due is not None:
        released += pacer.release([], pacer.due)
    assert joined(released) == joined(Segment(kind, text) for kind, text, _ in output)


def test_no_viewer_is_400_ms_behind_the_provider() -> None:
    assert MOST_HOLD_SECONDS + MOST_FRAME_SECONDS <= 0.4


def test_a_flood_is_not_cut_into_words() -> None:
    """The event loop would search millions of characters for ends of words."""
    pacer = Pacer("words")
    pacer.release([Segment("text", "One two")], 0.0)
    flood = Segment("text", " " * 1_000_000)
    assert "".join(text for _, text in pacer.release([flood], 0.0)).endswith(flood.text)
