"""Buffers: nothing lost, and the same pieces however the text was fed."""

import asyncio
import random
import re
import unicodedata
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.pipeline.buffering import STRATEGIES, Buffer, buffer_for, buffered
from tests.pipeline.test_transform import cut
from tests.pipeline.virtual_time import in_virtual_time

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
    pieces = pieces_of(buffer_for(name, size=5), cut(text, sizes))
    assert "".join(pieces) == text
    assert all(pieces)


@pytest.mark.parametrize("name", CUTTING)
@given(text=TEXTS, sizes=SIZES)
def test_the_pieces_do_not_depend_on_how_the_text_was_fed(name: str, text: str, sizes: list[int]) -> None:
    assert pieces_of(buffer_for(name, size=5), cut(text, sizes)) == pieces_of(
        buffer_for(name, size=5), [text]
    )


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
        ("size", "abcdefghijkl", ["abcde", "fghij", "kl"]),
        ("size", "abcd👩‍🚀efgh", ["abcd👩‍🚀", "efgh"]),
        ("time", "abc def", ["abc def"]),
    ],
)
def test_a_strategy_cuts_where_it_says(name: str, text: str, pieces: list[str]) -> None:
    assert pieces_of(buffer_for(name, size=5), [text]) == pieces


@given(text=TEXTS)
def test_no_piece_of_a_size_begins_with_a_combining_mark(text: str) -> None:
    for piece in pieces_of(buffer_for("size", size=3), [text])[1:]:
        assert not unicodedata.category(piece[0]).startswith("M")


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


ANSWER = (
    "Well, a_very_long_word_without_an_end " * 3
    + "and so on. Next!\nA line\n你好。 👩‍🚀 the end, without a stop"
)


async def arriving(text: str, pauses: list[float], came: list[float]) -> AsyncGenerator[str]:
    """`text` in as many pieces as there are pauses; `came` is told when each character came."""
    size = len(text) // len(pauses) + 1
    for at, pause in zip(range(0, len(text), size), pauses, strict=False):
        await asyncio.sleep(pause)
        came += [asyncio.get_running_loop().time()] * len(text[at : at + size])
        yield text[at : at + size]


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("seed", range(5))
@in_virtual_time
async def test_no_style_is_ever_more_than_400_ms_behind_the_provider(name: str, seed: int) -> None:
    source = random.Random(seed)
    pauses = [source.choice([0, 0.005, 0.02, 0.1, 0.39, 0.4, 0.41, 3]) for _ in range(60)]
    came: list[float] = []
    told = ""
    async for piece in buffered(arriving(ANSWER, pauses, came), buffer_for(name, size=40)):
        late = asyncio.get_running_loop().time() - came[len(told)]
        assert late <= 0.4 + 1e-9, piece
        told += piece
    assert told == ANSWER


@in_virtual_time
async def test_what_comes_in_time_is_cut_where_the_style_says() -> None:
    texts = arriving("One. Two, three. Four", [0.01] * 21, [])
    assert [piece async for piece in buffered(texts, buffer_for("sentence"))] == [
        "One. ",
        "Two, three. ",
        "Four",
    ]


@in_virtual_time
async def test_a_failure_comes_after_all_that_came_before_it() -> None:
    async def failing() -> AsyncGenerator[str]:
        yield "half a sen"
        raise ConnectionError

    told = []
    with pytest.raises(ConnectionError):
        async for piece in buffered(failing(), buffer_for("sentence")):
            told.append(piece)
    assert told == ["half a sen"]


@in_virtual_time
async def test_a_reader_who_leaves_closes_the_source() -> None:
    closed = False

    async def endless() -> AsyncGenerator[str]:
        nonlocal closed
        try:
            while True:
                yield "word "
                await asyncio.sleep(1)
        finally:
            closed = True

    async with aclosing(buffered(endless(), buffer_for("word"))) as pieces:
        assert await anext(pieces) == "word "
        assert not closed
    assert closed
