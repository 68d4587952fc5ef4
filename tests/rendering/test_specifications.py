"""GitHub's extensions render as in their specification, except for the intended deviations."""

import json
from html.parser import HTMLParser
from itertools import zip_longest
from typing import NamedTuple
from urllib.parse import unquote

from chat.rendering.markdown import render_markdown
from tests.rendering.documents import HERE

EXAMPLES = json.loads((HERE / "data" / "gfm-0.29.json").read_text(encoding="utf-8"))["examples"]

RAW = "Raw HTML is shown as the text it is."
# By example and block, both counted from one.
DEVIATIONS = {
    (20, 3): "Only http, https and mailto are linked: no ftp.",
    (24, 1): RAW,
    (24, 2): RAW,
    (36, 1): RAW,
    **{
        (43, block): "An address is linked without the scheme before it; xmpp is not a scheme we link."
        for block in (8, 9, 10, 12, 13, 14, 15, 16, 17, 18)
    },
    (43, 7): "Of two addresses that a slash joins the first is linked.",
    (43, 22): "A host without a dot is no address: models write `http://host/` to say what to fill in.",
    (43, 23): "An image of another site is a link: to load it would tell that site who reads.",
    (44, 1): "The specification only asks for an answer.",
    **{(46, block): RAW for block in (1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12)},
}

# Decoration around the specification's elements, ours and theirs.
_FRAMES = {"code-block", "table-scroll"}
_LEFT_OUT = {"code-header", "footnote-backref"}
_LEFT_OUT_ATTRIBUTES = {"target", "rel", "aria-label", "loading", "tabindex", "type", "id"}
_VOID = {"br", "hr", "img", "input"}
_INLINE = {"a", "em", "strong", "del", "code", "sup", "input", "img", "br"}


class Element(NamedTuple):
    tag: str
    attributes: tuple[tuple[str, str], ...]
    children: list["Element | str"]


def test_the_extensions_look_as_specified_but_for_the_known_deviations() -> None:
    assert len(EXAMPLES) == 54
    differing = {
        (example["example"], block)
        for example in EXAMPLES
        for block, (shown, specified) in enumerate(
            zip_longest(blocks(render_markdown(example["markdown"], id_prefix="p")), blocks(example["html"])),
            start=1,
        )
        if shown != specified
    }
    assert differing == set(DEVIATIONS)


def blocks(html: str) -> list[Element | str]:
    """The elements and texts of a page, without decoration and the blanks between blocks."""
    parser = _Parser()
    parser.feed(html)
    parser.close()
    return _trimmed(parser.root.children)


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", (), [])
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, _attributes(tag, attrs), [])
        classes = dict(attrs).get("class")
        if classes in _FRAMES or tag == "span":
            element = Element(tag, (), self.open[-1].children)
        elif classes not in _LEFT_OUT:
            self.open[-1].children.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if any(element.tag == tag for element in self.open):
            while self.open.pop().tag != tag:
                pass

    def handle_data(self, data: str) -> None:
        children = self.open[-1].children
        if children and isinstance(children[-1], str):
            children[-1] += data
        else:
            children.append(data)


def _attributes(tag: str, attributes: list[tuple[str, str | None]]) -> tuple[tuple[str, str], ...]:
    found = {}
    for name, value in attributes:
        is_own = name in _LEFT_OUT_ATTRIBUTES or name.startswith("data-") or (value or "").startswith("#fn")
        if name == "align":
            found["class"] = f"align-{value}"
        elif not is_own and (tag, name) != ("code", "class"):
            found[name] = unquote(value or "")  # a browser quotes an address as the specification does
    return tuple(sorted(found.items()))


def _trimmed(nodes: list[Element | str]) -> list[Element | str]:
    trimmed: list[Element | str] = []
    for before, node, after in zip([None, *nodes], nodes, [*nodes[1:], None], strict=False):
        if isinstance(node, Element):
            trimmed.append(node._replace(children=_trimmed(node.children)))
            continue
        text = node if _is_inline(before) else node.lstrip("\n")
        text = text if _is_inline(after) else text.rstrip(" \n")
        if text:
            trimmed.append(text)
    return trimmed


def _is_inline(node: Element | str | None) -> bool:
    return isinstance(node, Element) and node.tag in _INLINE
