"""A page as a tree, changed by `<hx-partial>` swaps as in htmx: enough of HTML and CSS for the server's
output. Anything else raises an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from html.parser import HTMLParser
from itertools import islice

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
DIFFERS = {"data-now"}  # depends on the second in which the page was made
_STEP = re.compile(r"(?P<tag>[a-z][\w-]*|\*)?(?P<rest>(?:#[\w-]+|\.[\w-]+|:[a-z-]+(?:\([^)]*\))?)*)")
_ID = re.compile(r"#[\w-]+")
_SIMPLE = re.compile(r"#[\w-]+|\.[\w-]+|:[a-z-]+(?:\([^)]*\))?")


class SwapError(AssertionError):
    """The server sent an impossible swap: no such target, or an unknown style."""


class Node:
    """An element; text is `str` among its children. The root has the tag ""."""

    def __init__(self, tag: str = "", attributes: dict[str, str] | None = None) -> None:
        self.tag, self.attributes = tag, attributes or {}
        self.children: list[Node | str] = []
        self.parent: Node | None = None

    @property
    def id(self) -> str:
        return self.attributes.get("id", "")

    @property
    def elements(self) -> list[Node]:
        return [child for child in self.children if isinstance(child, Node)]

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    def walk(self) -> Iterator[Node]:
        """Yields the elements below this one, in the order of the document."""
        waiting = self.elements[::-1]
        while waiting:
            element = waiting.pop()
            yield element
            waiting += element.elements[::-1]

    def find(self, selector: str) -> Node | None:
        return next(iter(self.select(selector)), None)

    def get(self, selector: str) -> Node:
        if (found := self.find(selector)) is None:
            raise SwapError(f"Nothing matches {selector!r}.")
        return found

    def select(self, selector: str) -> list[Node]:
        """Returns the elements below this one that match a selector of tags, ids, classes, positions and
        `>`."""
        found = [self]
        deep = True
        for token in selector.replace(">", " > ").split():
            if token == ">":
                deep = False
                continue
            matches = _matcher(token)
            if deep and _ID.fullmatch(token):  # there is one, and the search ends at it
                found = [match for node in found for match in islice(filter(matches, node.walk()), 1)]
                continue
            candidates = [c for node in found for c in (node.walk() if deep else node.elements)]
            found = [candidate for candidate in dict.fromkeys(candidates) if matches(candidate)]
            deep = True
        return found

    def add(self, children: list[Node | str], at: int | None = None) -> None:
        """Inserts children. Neighbouring texts become one, as in a freshly parsed page."""
        begin = len(self.children) if at is None else at
        end = begin + len(children)
        self.children[begin:begin] = children
        for child in children:
            if isinstance(child, Node):
                child.parent = self
        first = max(0, begin - 1)  # the neighbours on both sides may be texts
        joined: list[Node | str] = []
        for child in self.children[first : end + 1]:
            if isinstance(child, str) and joined and isinstance(joined[-1], str):
                joined[-1] += child
            elif child != "":
                joined.append(child)
        self.children[first : end + 1] = joined

    def clear(self) -> None:
        self.children = []

    def replace_by(self, children: list[Node | str]) -> None:
        parent, at = self._place()
        del parent.children[at]
        parent.add(children, at)

    def _place(self) -> tuple[Node, int]:
        if self.parent is None:
            raise SwapError("The root has no place to be replaced in.")
        for at, child in enumerate(self.parent.children):
            if child is self:
                return self.parent, at
        raise SwapError("The target was taken out of the page by an earlier swap of the same text.")

    def canonical(self) -> str:
        """Returns its HTML in a form for comparison: attributes sorted, without the space between elements
        (except inside of a message) and the tokens that differ with each response."""
        if self.attributes.get("name") == "csrfmiddlewaretoken":
            return ""
        if self.attributes.get("class") == "message-body":
            return self.html()
        inner = "".join(
            child.strip() if isinstance(child, str) else child.canonical() for child in self.children
        )
        return self._tagged(inner)

    def html(self) -> str:
        return self._tagged("".join(c if isinstance(c, str) else c.html() for c in self.children))

    def _tagged(self, inner: str) -> str:
        if not self.tag:
            return inner
        attributes = "".join(
            f' {name}="{value}"' for name, value in sorted(self.attributes.items()) if name not in DIFFERS
        )
        return f"<{self.tag}{attributes}>" + ("" if self.tag in VOID else f"{inner}</{self.tag}>")


def parse(html: str) -> Node:
    parser = _Parser()
    parser.feed(html)
    parser.close()
    return parser.root


def swap(page: Node, html: str) -> None:
    """Applies one text of partials. As in htmx, all targets are found before the first swap."""
    planned = []
    for partial in parse(html).elements:
        if partial.tag != "hx-partial":
            raise SwapError(f"A bare <{partial.tag}> was sent.")
        selector, style = partial.attributes["hx-target"], partial.attributes.get("hx-swap", "innerHTML")
        found = page.find(selector)
        if found is None and not selector.endswith("> a"):  # a page may have no list of conversations
            raise SwapError(f"Nothing matches {selector!r}, for {style}.")
        planned.append((found, style, partial))
    for target, style, partial in planned:
        if target is not None:
            if style not in _STYLES:
                raise SwapError(f"Unknown swap {style!r}.")
            _STYLES[style](target, partial)


def _inner(target: Node, partial: Node) -> None:
    target.clear()
    target.add(partial.children)


def _text(target: Node, partial: Node) -> None:
    target.clear()
    target.add([partial.text])


def _outer_morph(target: Node, partial: Node) -> None:
    """Replaces the element; an element marked for it keeps its present children."""
    kept = {node.id: node.children for node in [target, *target.walk()] if _keeps(node)}
    for node in partial.walk():
        if _keeps(node) and node.id in kept:
            node.clear()
            node.add(kept[node.id])
    target.replace_by(partial.children)


def _keeps(node: Node) -> bool:
    return "hx-morph-skip-children" in node.attributes


def _beside(target: Node, partial: Node, after: int) -> None:
    parent, at = target._place()
    parent.add(partial.children, at + after)


_STYLES: dict[str, Callable[[Node, Node], None]] = {
    "innerHTML": _inner,
    "innerMorph": _inner,
    "outerHTML": lambda target, partial: target.replace_by(partial.children),
    "append": lambda target, partial: target.add(partial.children),
    "beforeend": lambda target, partial: target.add(partial.children),
    "afterbegin": lambda target, partial: target.add(partial.children, 0),
    "beforebegin": lambda target, partial: _beside(target, partial, 0),
    "afterend": lambda target, partial: _beside(target, partial, 1),
    "textContent": _text,
    "delete": lambda target, partial: target.replace_by([]),
    "outerMorph": _outer_morph,
}


@cache
def _matcher(token: str) -> Callable[[Node], bool]:
    found = _STEP.fullmatch(token)
    if found is None:
        raise SwapError(f"Cannot read the selector {token!r}.")
    tests = [_simple(part) for part in _SIMPLE.findall(found["rest"])]
    tag = found["tag"]
    return lambda node: (tag in (None, "*", node.tag)) and all(test(node) for test in tests)


def _simple(part: str) -> Callable[[Node], bool]:
    if part[0] == "#":
        return lambda node: node.id == part[1:]
    if part[0] == ".":
        return lambda node: part[1:] in node.attributes.get("class", "").split()
    name, _, argument = part[1:].removesuffix(")").partition("(")
    if name in ("first-child", "last-child"):
        return lambda node: _siblings(node)[-1 if name == "last-child" else 0] is node
    if name in ("nth-child", "nth-last-child"):
        number = int(argument)
        return lambda node: _siblings(node)[:: 1 if name == "nth-child" else -1].index(node) + 1 == number
    if name == "last-of-type":
        return lambda node: [s for s in _siblings(node) if s.tag == node.tag][-1] is node
    raise SwapError(f"Cannot read the selector {part!r}.")


def _siblings(node: Node) -> list[Node]:
    return node.parent.elements if node.parent else [node]


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node()
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attrs})
        self._open[-1].add([node])
        if tag not in VOID:
            self._open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open[-1].add([Node(tag, {name: value or "" for name, value in attrs})])

    def handle_endtag(self, tag: str) -> None:
        names = [node.tag for node in self._open]
        if tag in names[1:]:
            del self._open[len(names) - names[::-1].index(tag) - 1 :]

    def handle_data(self, data: str) -> None:
        self._open[-1].add([data])
