"""Buffers lose nothing, and produce the same pieces for any division of the text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.live.buffering import STRATEGIES, Buffer, buffer_for
from tests.pipeline.test_transform import cut

TEXTS = st.text(
    alphabet=st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from(" \n.!?。你好é👩‍🚀"))
)
SIZES = st.lists(st.integers(0, 9), max_size=40)
CUTTING = [name for name in STRATEGIES if name not in {"none", "time"}]


def pieces_of(buffer: Buffer, fed: list[str]) -> list[str]:
    return [piece for text in fed for piece in buffer.feed(text)] + buffer.flush()


@pytest.mark.parametrize("name", STRATEGIES)
@given(text=TEXTS, sizes=SIZES)
def test_the_pieces_joined_are_the_text(name: str, text: str, sizes: list[int]) -> None:
    pieces = pieces_of(buffer_for(name), cut(text, sizes))
    assert "".join(pieces) == text
    assert all(pieces)


@pytest.mark.parametrize("name", CUTTING)
@given(text=TEXTS, sizes=SIZES)
def test_the_pieces_do_not_depend_on_how_the_text_was_fed(name: str, text: str, sizes: list[int]) -> None:
    assert pieces_of(buffer_for(name), cut(text, sizes)) == pieces_of(buffer_for(name), [text])


@pytest.mark.parametrize(
    ("name", "text", "pieces"),
    [
        ("none", "Hi you.", ["Hi you."]),
        ("word", "Hi  you there", ["Hi  ", "you ", "there"]),
        ("word", "你好吗", ["你", "好", "吗"]),
        ("line", "a\n\nb\nc", ["a\n", "\n", "b\n", "c"]),
        ("sentence", "One. Two? Three", ["One. ", "Two? ", "Three"]),
        ("sentence", "你好。世界！", ["你好。", "世界！"]),
        ("sentence", 'He said "no." Then 3.14 of', ['He said "no." ', "Then 3.14 of"]),
        ("sentence", "# Title\n\nText", ["# Title\n\n", "Text"]),
        ("time", "abc def", ["abc def"]),
    ],
)
def test_a_strategy_cuts_where_it_says(name: str, text: str, pieces: list[str]) -> None:
    assert pieces_of(buffer_for(name), [text]) == pieces


@pytest.mark.parametrize("name", STRATEGIES)
def test_flush_leaves_nothing_behind(name: str) -> None:
    buffer = buffer_for(name)
    told = [*buffer.feed("half a sen"), *buffer.flush()]
    assert "".join(told) == "half a sen"
    assert buffer.flush() == []


def test_a_long_word_in_small_pieces_costs_linear_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = 0

    class Counting:
        def finditer(self, text: str, start: int) -> list[re.Match[str]]:
            nonlocal seen
            seen += len(text) - start
            return []

    buffer = buffer_for("word")
    monkeypatch.setattr(buffer, "_boundary", Counting())
    for _ in range(1_000):
        buffer.feed("x")
    assert seen < 1_000 * 70


def test_an_unknown_strategy_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        buffer_for("paragraph")
