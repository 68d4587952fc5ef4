"""A small model of a page: enough of HTML and of htmx to apply patches without a browser."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Literal

from chat.rendering.incremental import Patch

VOID = {"br", "hr", "img", "input"}


@dataclass(eq=False)
class Node:
    """An element, or with an empty tag a text."""

    tag: str
    attributes: tuple[tuple[str, str | None], ...] = ()
    text: str = ""
    children: list["Node"] = field(default_factory=list)
    parent: "Node | None" = None

    def append(self, node: "Node") -> None:
        node.parent = self
        self.children.append(node)

    @property
    def elements(self) -> list["Node"]:
        return [child for child in self.children if child.tag]

    def walk(self) -> Iterator["Node"]:
        yield self
        for child in self.children:
            yield from child.walk()

    def shape(self) -> object:
        """The node as plain data, adjacent texts joined."""
        if not self.tag:
            return self.text
        shapes: list[object] = []
        for child in self.children:
            shape = child.shape()
            if isinstance(shape, str) and shapes and isinstance(shapes[-1], str):
                shapes[-1] += shape
            else:
                shapes.append(shape)
        return (self.tag, self.attributes, tuple(shapes))


def parse(html: str) -> list[Node]:
    """Strict: an end tag that closes nothing is an error."""
    parser = _Parser()
    parser.feed(html)
    parser.close()
    assert len(parser.stack) == 1, f"left open: {html!r}"
    return parser.stack[0].children


class Page:
    """A message's body to which patches are applied, as htmx does, or one after the other."""

    def __init__(self, targets: Literal["first", "in turn"] = "first") -> None:
        self.body = Node("div")
        self.targets = targets
        self.removed: list[Node] = []

    def apply(self, patches: Iterable[Patch]) -> None:
        if self.targets == "first":
            for patch, target in [(patch, self.find(patch.path)) for patch in patches]:
                self.swap(patch, target)
        else:
            for patch in patches:
                self.swap(patch, self.find(patch.path))

    def find(self, path: str) -> Node:
        node = self.body
        for step in filter(None, path.split("> ")):
            match = re.fullmatch(r":(last-child|nth-child|nth-last-child)(?:\((\d+)\))?", step.strip())
            assert match, path
            name, number = match.groups()
            index = int(number) - 1 if name == "nth-child" else -int(number or 1)
            node = node.elements[index]
        return node

    def swap(self, patch: Patch, target: Node) -> None:
        new = parse(patch.html)
        if patch.swap == "append":
            for node in new:
                target.append(node)
            return
        parent = target.parent
        assert parent, patch
        place = parent.children.index(target)
        for node in new:
            node.parent = parent
        match patch.swap:
            case "outerHTML":
                parent.children[place : place + 1] = new
                self.removed.append(target)
            case "before":
                parent.children[place:place] = new
            case "delete":
                assert not new
                del parent.children[place]
                self.removed.append(target)
            case _:
                raise AssertionError(patch)

    def shape(self) -> object:
        return self.body.shape()


def shape_of(html: str) -> object:
    body = Node("div")
    for node in parse(html):
        body.append(node)
    return body.shape()


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.stack = [Node("div")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, tuple(attrs))
        self.stack[-1].append(node)
        if tag not in VOID:
            self.stack.append(node)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.stack[-1].append(Node("", text=data))
