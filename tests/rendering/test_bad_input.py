"""Hostile and expensive input: only text reaches the page, and in linear time."""

import json

import pytest

from chat.rendering.incremental import IncrementalRenderer
from chat.rendering.markdown import render_markdown
from tests.rendering.bad_inputs import EXPENSIVE, HOSTILE
from tests.rendering.page import Node, Page, parse
from tests.rendering.test_incremental import assert_equals_whole

ELEMENTS = set(
    """
    p h1 h2 h3 h4 h5 h6 ul ol li blockquote div section pre code table thead tbody tr th td hr br em strong
    del sup span a input button math mi mo mn mrow msup msub msubsup mfrac msqrt mroot mtext mspace mstyle
    mtable mtr mtd mover munder munderover mpadded mphantom merror ms menclose mmultiscripts mprescripts
    """.split()  # noqa: SIM905
)
ATTRIBUTES = set(
    """
    href title target rel src alt loading class tabindex type disabled checked aria-label start display
    """.split()  # noqa: SIM905
)


def assert_harmless(nodes: list[Node]) -> None:
    for root in nodes:
        for node in root.walk():
            if not node.tag:
                continue
            assert node.tag in ELEMENTS
            is_math = node.tag == "math" or (node.tag[0] == "m" and len(node.tag) > 1)
            for name, value in node.attributes:
                assert is_math or name in ATTRIBUTES, (node.tag, name)
                assert not name.startswith(("on", "hx-", "style", "id", "xlink"))
                if name == "href":
                    assert value and value.lower().startswith(("http://", "https://", "mailto:"))
                if name == "src":
                    assert value and value[0] == "/" and value[1:2] not in ("/", "\\")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_leaves_only_harmless_elements(text: str) -> None:
    assert_harmless(parse(render_markdown(text)))
    for prefix in ("> ", "- ", "1. > - ", "| a |\n|---|\n| "):
        assert_harmless(parse(render_markdown(prefix + text)))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_streamed_by_characters_is_harmless_at_every_step(text: str) -> None:
    renderer, page = IncrementalRenderer(), Page()
    for character in text:
        renderer.feed(character)
        patches = renderer.patches()
        page.apply(patches)
        for patch in patches:
            assert_harmless(parse(patch.html))
    page.apply(renderer.finish())
    assert_harmless(page.body.elements)
    assert_equals_whole(list(text))


@pytest.mark.parametrize("name", EXPENSIVE)
def test_expensive_text_is_rendered_and_streamed(name: str) -> None:
    whole = render_markdown(EXPENSIVE[name])
    renderer = IncrementalRenderer()
    for at in range(0, len(EXPENSIVE[name]), 997):
        renderer.feed(EXPENSIVE[name][at : at + 997])
        renderer.patches()
    renderer.finish()
    assert renderer.snapshot() == whole


def test_every_answer_of_json_shape_is_text() -> None:
    text = json.dumps({"type": "token", "data": "<b>x</b>"})
    assert render_markdown(text) == '<p>{"type": "token", "data": "&lt;b&gt;x&lt;/b&gt;"}</p>'
