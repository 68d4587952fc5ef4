"""A streamed reply equals the whole one, for any content and any division."""

import random
import re
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Literal

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from chat.rendering import incremental
from chat.rendering.incremental import IncrementalRenderer, Patch
from chat.rendering.markdown import render_markdown
from tests.rendering.documents import answers, cuts, documents, examples, random_cut, tokens
from tests.rendering.page import Node, Page, shape_of
from tests.services import LONG

DEFINITION = re.compile(r"^ {0,3}\[[^\]]+\]:", re.MULTILINE)


# Answers whose last block is only known to be over when the stream is.
UNFINISHED = ("unclosed-fence",)


def stream(chunks: Iterable[str], *, targets: Literal["first", "in turn"] = "first") -> Page:
    """Feeds `chunks` and compares page and snapshot at every step, up to the end."""
    renderer, page = IncrementalRenderer(), Page(targets)
    for chunk in chunks:
        renderer.feed(chunk)
        page.apply(renderer.patches())
        assert page.shape() == shape_of(renderer.snapshot())
    page.apply(renderer.finish())
    assert page.shape() == shape_of(renderer.snapshot())
    return page


def assert_equals_whole(chunks: list[str], targets: Literal["first", "in turn"] = "first") -> None:
    assert stream(chunks, targets=targets).shape() == shape_of(render_markdown("".join(chunks)))


@pytest.mark.parametrize("targets", ["first", "in turn"])
def test_specification_examples_streamed_equal_the_whole(targets: Literal["first", "in turn"]) -> None:
    """A short run applies the patches of each cut in one of the two ways."""
    for number, text in enumerate(examples()):
        for way, chunks in enumerate(cuts(text, number)):
            if LONG or (number + way) % 2 == (targets == "in turn"):
                assert_equals_whole(chunks, targets)


def test_colours_of_code_that_is_no_longer_shown_are_removed() -> None:
    renderer = IncrementalRenderer()
    answer: Future[str | None] = Future()
    answer.set_result("<b></b>")
    renderer._late["py", "gone", 0] = answer
    renderer.feed("one\n\ntwo\n\nthree\n\n")
    renderer.patches()
    renderer.patches()
    assert renderer.uncoloured == []


def test_answers_streamed_equal_the_whole() -> None:
    for name, text in answers().items():
        for chunks in [tokens(text), random_cut(text, random.Random(name))]:
            assert_equals_whole(chunks)


@settings(max_examples=2_000 if LONG else 60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=documents, seed=st.integers(0, 1000), targets=st.sampled_from(["first", "in turn"]))
@example(text="- a\n  - b\n\n    c\n- d\n", seed=0, targets="first")
@example(text="> - ```\n>   a\n>   ```\n>   | a |\n>   |---|\n>   | b |\n> c", seed=0, targets="in turn")
@example(text="> [!NOTE]\n~~\\]&amp;[> [foo]: /url\n", seed=3, targets="first")
def test_any_document_streamed_equals_the_whole(
    text: str, seed: int, targets: Literal["first", "in turn"]
) -> None:
    assert_equals_whole(random_cut(text, random.Random(seed)), targets)
    assert_equals_whole(list(text), targets)


@settings(max_examples=2_000 if LONG else 60, deadline=None)
@given(text=st.text(max_size=60), seed=st.integers(0, 1000))
def test_any_text_streamed_equals_the_whole(text: str, seed: int) -> None:
    assert_equals_whole(random_cut(text, random.Random(seed)))


def test_no_finished_block_of_an_answer_is_touched_before_the_end() -> None:
    """At the end, a block changes only if something was defined after its use."""
    assert len(answers()) >= 50
    for name, text in answers().items():
        renderer, page = IncrementalRenderer(), Page()
        finished: list[tuple[Node, list[Node]]] = []
        for chunk in tokens(text):
            renderer.feed(chunk)
            page.apply(renderer.patches())
            assert_untouched(name, page, finished)
            blocks = page.body.elements[:-1]
            finished += [(block, list(block.walk())) for block in blocks[len(finished) :]]
        final = renderer.finish()
        page.apply(final)
        if not DEFINITION.search(text):
            assert final == [] or name in UNFINISHED
            assert_untouched(name, page, finished)


def assert_untouched(name: str, page: Page, finished: list[tuple[Node, list[Node]]]) -> None:
    for (block, nodes), now in zip(finished, page.body.elements, strict=False):
        assert block is now, f"{name}: a finished block was replaced"
        assert list(now.walk()) == nodes, f"{name}: inside a finished block something was changed"
    assert len(page.body.elements) >= len(finished), name


def patches_of(*chunks: str) -> list[list[Patch]]:
    renderer = IncrementalRenderer()
    made = []
    for chunk in chunks:
        renderer.feed(chunk)
        made.append(renderer.patches())
    return made


def test_a_paragraph_grows_by_its_text() -> None:
    assert patches_of("Hello", " wor", "ld **bo", "ld", "** x") == [
        [Patch("append", "", "<p>Hello</p>")],
        [Patch("append", "> :last-child", " wor")],
        [Patch("append", "> :last-child", "ld <strong>bo</strong>")],
        [Patch("append", "> :last-child > :last-child", "ld")],
        [Patch("append", "> :last-child", " x")],
    ]


def test_code_grows_by_lines_and_is_coloured_once() -> None:
    made = patches_of("```py\n", "x = 1\n", "y", "<2\n", "``", "`\n")
    code = "> :last-child > :last-child > :last-child"
    assert made[1:] == [
        [Patch("append", code, "x = 1")],
        [Patch("append", code, "\ny")],
        [Patch("append", code, "&lt;2")],
        [],
        [Patch("outerHTML", code, made[5][0].html)],
    ]
    assert '<span class="mi">1</span>' in made[5][0].html


def test_a_list_grows_by_items_at_every_level() -> None:
    assert patches_of("- a\n", "  - b\n", "  - c\n", "- d\n")[1:] == [
        [Patch("append", "> :last-child > :last-child", "<ul><li>b</li></ul>")],
        [Patch("append", "> :last-child > :last-child > :last-child", "<li>c</li>")],
        [Patch("append", "> :last-child", "<li>d</li>")],
    ]


def test_a_table_grows_by_whole_rows() -> None:
    body = "> :last-child > :last-child > :last-child"
    assert [
        [(p.swap, p.path, p.html.count("<tr>")) for p in patches]
        for patches in patches_of("| a | b", " |\n|--", "-|--|\n", "| 1 |", " 2 |\n", "| 3 | 4 |\n")
    ] == [
        [],
        [],
        [("append", "", 1)],
        [],
        [("append", "> :last-child > :last-child", 1)],
        [("append", body, 1)],
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("para\n--", "<p>para</p>"),
        ("para\n=", "<p>para</p>"),
        ("#", ""),
        ("1", ""),
        ("1. ", ""),
        ("- ", ""),
        ("```p", ""),
        ("see [the do", "<p>see <span>the do</span></p>"),
        ("see [the docs](http://x", "<p>see <span>the docs</span></p>"),
        ("see ![the do", "<p>see</p>"),
        ("see https://x.or", "<p>see</p>"),
        ("a **", "<p>a</p>"),
        ("a **b", "<p>a <strong>b</strong></p>"),
        ("a *b **c", "<p>a <em>b <strong>c</strong></em></p>"),
        ("a `", "<p>a</p>"),
        ("a `b*", "<p>a <code>b*</code></p>"),
        ("a_b", "<p>a_b</p>"),
        ("2 * 3", "<p>2 * 3</p>"),
        ("it costs $5", "<p>it costs</p>"),
        ("it costs $5 n", "<p>it costs $5 n</p>"),
        ("so $x", "<p>so</p>"),
        ("so \\(x", "<p>so</p>"),
        ("$$\nx\n\ny", ""),
        ("a[^1] b", '<p>a<sup class="footnote-ref">1</sup> b</p>'),
        ("a[^1", "<p>a</p>"),
        ("a &am", "<p>a</p>"),
        ("a <b", "<p>a</p>"),
        ("a <b> c", "<p>a &lt;b&gt; c</p>"),
        ("- > 25", "<ul><li>&gt; 25</li></ul>"),
        ("20~25", "<p>20~25</p>"),
        ("👨‍👩", ""),
        ("ok 👨‍👩‍👧 x", "<p>ok 👨‍👩‍👧 x</p>"),
        ("[foo]: /u", ""),
        ("> [!NO", ""),
        ("| a | b |\n", ""),
        ("| a | b |\n|--", ""),
    ],
)
def test_a_partial_line_is_shown_as_it_will_continue(text: str, shown: str) -> None:
    for chunks in ([text], list(text)):
        renderer = IncrementalRenderer()
        for chunk in chunks:
            renderer.feed(chunk)
            renderer.patches()
        assert renderer.snapshot() == shown


def test_a_character_cut_in_half_is_joined() -> None:
    renderer = IncrementalRenderer()
    for half in ["a \ud83d", "\ude00 b\r", "\nc"]:
        renderer.feed(half)
        renderer.patches()
    assert renderer.source == "a \ud83d\ude00 b\r\nc"
    assert renderer.snapshot() == "<p>a 😀 b\nc</p>"


def test_a_definition_counts_for_what_follows_it_at_once_and_for_the_rest_in_the_end() -> None:
    renderer = IncrementalRenderer()
    for chunk in ["early [x]\n\n[", "x]: https://x.org\n\nlate", " [x] ok\n\nend"]:
        renderer.feed(chunk)
        renderer.patches()
    assert "early [x]" in renderer.snapshot()
    assert '<p>late <a href="https://x.org"' in renderer.snapshot()
    (patch,) = renderer.finish()
    assert (patch.swap, patch.path) == ("outerHTML", "> :nth-child(1)")


def test_nothing_new_makes_no_patch() -> None:
    renderer = IncrementalRenderer()
    renderer.feed("a\n\nb")
    assert renderer.patches()
    assert renderer.patches() == []
    assert renderer.finish() == []
    assert renderer.finish() == []


def test_only_long_text_takes_long() -> None:
    renderer = IncrementalRenderer()
    for piece in ["```py\n", *["value = compute(value, `x`)\n"] * 300, "`", "`", "`\n"]:
        assert not renderer.takes_long(len(piece))
        renderer.feed(piece)
        renderer.patches()
    assert not renderer.takes_long(9)
    assert renderer.takes_long(50_000)


LENGTHENED = {
    "paragraph": "word *a_ [b `c` $d ",
    "one word": "a",
    "prose": "Some **bold** text, [a link](https://x.org) and `code`.\n\n",
    "code": "    value = compute(value)\n",
    "list": "- an item with `code`\n",
    "nested list": "- an item\n  - another\n    - a third\n",
    "loose list": "1. an item\n\n   and more of it\n\n",
    "quotation": "> some words\n>\n> - an item\n",
    "table": "| a | b |\n",
    "brackets": "[",
    "marks": "*a_",
    "lines": "\n",
    "short lines": "a\n",
    "raw": "<!-- x\n",
}


@pytest.mark.parametrize("kind", LENGTHENED)
def test_the_work_is_linear_in_the_length(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts parsed characters and sent bytes, not seconds."""
    start = {"table": "| a | b |\n|---|---|\n", "code": "```py\n", "raw": "<!--\n"}.get(kind, "")

    def work(length: int) -> tuple[int, int]:
        parsed = sent = 0
        write = incremental.write

        def counting(text: str, *args: object, **options: object) -> object:
            nonlocal parsed
            parsed += len(text)
            return write(text, *args, **options)  # type: ignore[arg-type]

        renderer = IncrementalRenderer()
        text = start + (LENGTHENED[kind] * (length // len(LENGTHENED[kind]) + 1))[:length]
        with monkeypatch.context() as patched:
            patched.setattr(incremental, "write", counting)
            for at in range(0, len(text), 16):
                renderer.feed(text[at : at + 16])
                sent += sum(len(patch.html) + len(patch.path) for patch in renderer.patches())
        return parsed, sent

    (parsed, sent), (parsed_4, sent_4) = work(10_000), work(40_000)
    assert parsed_4 < 4 * parsed * 1.5 + 20_000
    assert sent_4 < 4 * sent * 1.5 + 20_000
