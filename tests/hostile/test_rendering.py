"""No text takes more than linear time until it is on the page."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from html import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.rendering import incremental, repair
from chat.rendering.incremental import IncrementalRenderer
from chat.rendering.links import text_html
from chat.rendering.markdown import render_blocks
from chat.rendering.math import mask_math, math_html, unclosed_formula
from chat.rendering.patches import grow, replace_blocks
from chat.rendering.repair import visible
from chat.rendering.sanitise import sanitise
from tests.hostile.inputs import ATOMS, FOUND, LONG, assert_linear, cost, units


def plain(code: str, info: str) -> str:
    """Colours are made elsewhere (`test_colours`)."""
    return escape(code, quote=False)


def whole(text: str) -> None:
    render_blocks(text, colour=plain)


def streamed(step: int) -> Callable[[str], None]:
    def stream(text: str) -> None:
        renderer = IncrementalRenderer()
        for at in range(0, len(text), step):
            renderer.feed(text[at : at + step])
            renderer.patches()
        renderer.finish()

    return stream


SHORTER = 1 if LONG else 4

# By name: the work, the length of the smaller input, and the number of combinations.
WORK: dict[str, tuple[Callable[[str], object], int, int]] = {
    "links": (text_html, 50_000, 100),
    "half a paragraph": (lambda text: visible(text, "Paragraph"), 25_000, 50),
    "half a table": (lambda text: visible(text, "Table"), 25_000, 50),
    "masking": (mask_math, 50_000, 100),
    "open formulas": (unclosed_formula, 50_000, 100),
    "a formula": (lambda text: math_html(text, display=True), 1_900, 100),
    "sanitising": (sanitise, 25_000, 50),
    "whole": (whole, 25_000, 50),
    "streamed in large pieces": (streamed(4_000), 25_000, 20),
    "streamed in small pieces": (streamed(61), 10_000, 20),
}


@pytest.fixture(autouse=True)
def _without_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incremental, "highlight", plain)


@pytest.mark.parametrize("name", WORK)
def test_each_known_attack_is_linear(name: str) -> None:
    work, size, _ = WORK[name]
    for before, unit in FOUND.values():
        assert_linear(work, unit, size // SHORTER, before)


@pytest.mark.parametrize("name", WORK)
def test_time_grows_with_the_text_and_not_with_its_square(name: str) -> None:
    work, size, count = WORK[name]
    for unit in units(len(name), count):
        assert_linear(work, unit, size // SHORTER)
        if LONG:
            assert_linear(work, unit, size, "x")


def test_a_reply_in_which_every_block_changes_is_compared_in_linear_time() -> None:
    """For example, when the last line defines what all lines before it refer to."""

    def compare(count: int) -> float:
        old = [f"<p>[a] {n}</p>" for n in range(count)]
        new = [f'<p><a href="/a">a</a> {n}</p>' for n in range(count + 1)]
        mixed = [text for pair in zip(old, new, strict=False) for text in pair]
        return cost(lambda _: (replace_blocks(old, new), replace_blocks(old, mixed), grow("", "")), "")

    assert compare(20_000) <= 8 * max(compare(5_000), 0.01)


@pytest.mark.parametrize(
    "source",
    ["a\n\n[a]\n\n" * 2_000 + "[a]: /b\n", "[^a]\n\n" * 2_000 + "[^a]: b\n", "- a\n\n" * 4_000 + "[a]: /b\n"],
)
def test_a_definition_at_the_end_costs_no_more_than_its_text(source: str) -> None:
    streamed(997)(source)
    half = source[: len(source) // 4] + source[-10:]
    assert cost(streamed(997), source) <= 8 * max(cost(streamed(997), half), 0.03)


class Looked:
    """An expression that remembers how many characters it was given at once."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.pattern, self.most = pattern, 0

    def search(self, text: str, begin: int = 0, end: int = sys.maxsize) -> re.Match[str] | None:
        self.most = max(self.most, min(end, len(text)) - begin)
        return self.pattern.search(text, begin, end)

    def finditer(self, text: str, begin: int = 0, end: int = sys.maxsize) -> Iterator[re.Match[str]]:
        self.most = max(self.most, min(end, len(text)) - begin)
        return self.pattern.finditer(text, begin, end)

    def match(self, text: str, begin: int = 0, end: int = sys.maxsize) -> re.Match[str] | None:
        return self.pattern.match(text, begin, end)


@pytest.mark.parametrize("unit", [" ", "a", "a ", "a\n", "*a ", "<a", "http://a.b/ ", "@", "&<"])
def test_the_end_of_a_long_paragraph_is_searched_in_short_steps(
    unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One step of a search lets nothing else run, on any thread."""
    names = ["_TOKEN", "_UNDECIDED_END", "_PLAIN_END", "_HALF_MAIL"]
    names += ["_BLOCK_START"] if "\n" in unit else []  # of one line it looks at the beginning alone
    spies = {name: Looked(getattr(repair, name)) for name in names}
    for name, spy in spies.items():
        monkeypatch.setattr(repair, name, spy)
    visible("x" + unit * (500_000 // len(unit)), "")
    assert max(spy.most for spy in spies.values()) < 70_000


@given(text=st.lists(st.sampled_from(ATOMS), max_size=40).map("".join), size=st.integers(8, 40))
def test_where_the_steps_end_changes_nothing(text: str, size: int) -> None:
    whole = visible(text, "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repair, "_SEARCHED", size)
        assert visible(text, "") == whole
