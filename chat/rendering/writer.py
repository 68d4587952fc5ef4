"""Writes Markdown events as HTML, block by block, and describes the open blocks at the end.

The parser is pulldown-cmark. This module defines the HTML of each element; `sanitise` has the last decision.
Every top-level block becomes one element (a footnote definition none), with nothing between two of them.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

from pyromark import Markdown, Options

from chat.rendering.code import CODE_CLOSE, code_open, highlight, language_of
from chat.rendering.links import is_web_address, link_open, text_html
from chat.rendering.math import mask_math, math_html, unmask

# The content of more deeply nested elements is shown without them.
DEEPEST = 32

type Highlight = Callable[[str, str], str]
type Definitions = Mapping[str, tuple[str, str]]


@dataclass(slots=True)
class Block:
    """A block on the path from the document to its last text: its kind and its start in the source."""

    kind: str
    start: int  # characters; bytes while it is written
    levels: int  # of HTML elements
    loose: bool = False  # a list whose items have paragraphs
    info: str = ""  # of a fence
    closed: bool = False  # a fence with its closing line


@dataclass(slots=True)
class Notes:
    """Footnotes of one reply: numbered by first mention, written at the end."""

    prefix: str = ""
    numbers: dict[str, int] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)

    def mark(self, label: str) -> str:
        """Returns the superscript for a mention of `label`."""
        number = self.numbers.setdefault(label.casefold(), len(self.numbers) + 1)
        inner = f'<a href="#fn-{self.prefix}-{number}">{number}</a>' if self.prefix else str(number)
        return f'<sup class="footnote-ref">{inner}</sup>'

    def section(self) -> str:
        """Returns the list of all notes that are mentioned and have a text, or nothing."""
        items = []
        for label, number in self.numbers.items():
            if (text := self.texts.get(label)) is not None:
                name = f' id="fn-{self.prefix}-{number}"' if self.prefix else ""
                items.append(f"<li{name}>{text}</li>")
        return f'<section class="footnotes"><ol>{"".join(items)}</ol></section>' if items else ""


@dataclass(slots=True)
class Written:
    """A rendered text: the HTML of each top-level block, and the open blocks at its end, outermost first."""

    blocks: list[str]
    spine: list[Block]
    lists: list[Block]  # all lists, by start


def write(
    text: str,
    notes: Notes,
    *,
    colour: Highlight = highlight,
    growing: bool = False,
    loose: Iterable[bool] = (),
    definitions: Definitions | None = None,
) -> Written:
    """Renders clean source text, one block at a time; linear in its size.

    While a reply grows (`growing`), an unclosed fence stays plain and a footnote's mention is shown before
    its text is known. `loose` says of the first lists whether they are loose, whatever the text shows.
    `definitions` resolves reference links that the text itself does not define, by case-folded label.
    """
    masked = mask_math(text)
    return _Writer(masked, notes, colour, growing, definitions or {}).run(tuple(loose))


_PARSER_OPTIONS = (
    Options.ENABLE_TABLES
    | Options.ENABLE_FOOTNOTES
    | Options.ENABLE_STRIKETHROUGH
    | Options.ENABLE_TASKLISTS
    | Options.ENABLE_MATH
    | Options.ENABLE_GFM
)
_PARSER = Markdown(options=_PARSER_OPTIONS)
_SIMPLE = {"Emphasis": "em", "Strong": "strong", "Strikethrough": "del"}
_CELL_CLASSES = {"None": "", "Left": ' class="align-left"', "Center": ' class="align-center"'}
_CELL_CLASSES["Right"] = ' class="align-right"'
_FOOTNOTE_MENTION = re.compile(r"\[\^([^\]\s\[]{1,80})\]")
_FENCE = re.compile(rb"[ \t>]*(`{3,}|~{3,})[ \t]*\Z")


class _Writer:
    def __init__(
        self, text: str, notes: Notes, colour: Highlight, growing: bool, definitions: Definitions
    ) -> None:
        self.text = text
        self.encoded = text.encode()
        self.last = len(self.encoded.rstrip(b"> \t\n"))
        self.notes = notes
        self.colour = colour
        self.growing = growing
        self.definitions = definitions
        self.out: list[str] = []
        self.closers: list[str] = []
        self.open: list[Block] = []
        self.spine: list[Block] = []
        self.blocks: list[str] = []
        self.lists: list[Block] = []
        self.aligns: list[tuple[str, ...]] = []
        self.cell = 0
        self.in_head = False
        self.in_body = False
        self.links = 0
        self.code: list[str] | None = None
        self.alts: list[tuple[list[str], dict[str, str]]] = []
        self.footnotes: list[tuple[list[str], str]] = []

    def run(self, loose: tuple[bool, ...]) -> Written:
        events: Iterator[tuple[Any, Any]] = (
            Markdown(options=_PARSER_OPTIONS, broken_link_callback=self.resolve)
            if self.definitions
            else _PARSER
        ).events_with_range(self.text, merge_text=True)
        if any(loose):
            events = _loosened(events, loose)
        for event, place in events:
            if event.__class__ is str:
                self.write_break(event, place)
                continue
            ((name, value),) = event.items()
            if name == "Text":
                self.write_text(value)
            elif name == "Start":
                self.start(value, place)
            elif name == "End":
                self.end(value if value.__class__ is str else next(iter(value)), place)
            else:
                self.inline(name, value)
        if not self.text.isascii():
            characters = octets = 0
            for block in self.spine:
                characters += len(self.encoded[octets : block.start].decode())
                octets, block.start = block.start, characters
        return Written(self.blocks, self.spine, self.lists)

    def resolve(self, link: Any) -> tuple[str, str] | None:
        return self.definitions.get(link["reference"].casefold())

    def write_break(self, event: str, place: Any) -> None:
        if event == "SoftBreak":
            self.out.append(" " if self.alts else "\n")
        elif event == "HardBreak":
            self.out.append(" " if self.alts else "<br>")
        else:
            self.push_block(Block("Rule", place["start"], 1), "<hr>", "")
            self.pop_block()

    def write_text(self, text: str) -> None:
        if self.code is not None:
            self.code.append(text)
            return
        text = unmask(text)
        if self.alts:
            self.out.append(text)
        elif self.links:
            self.out.append(escape(text, quote=False))
        elif self.growing and "[^" in text:
            parts = _FOOTNOTE_MENTION.split(text)
            self.out += (self.notes.mark(part) if i % 2 else text_html(part) for i, part in enumerate(parts))
        else:
            self.out.append(text_html(text))

    def inline(self, name: str, value: Any) -> None:
        if name in ("Html", "InlineHtml"):
            html = escape(unmask(value), quote=False)
        elif self.alts:
            html = unmask(str(value)) if name != "FootnoteReference" else ""
        elif name == "Code":
            html = f"<code>{escape(unmask(value), quote=False)}</code>"
        elif name == "InlineMath":
            html = math_html(value, display=False)
        elif name == "DisplayMath":
            html = math_html(value, display=True)
        elif name == "FootnoteReference":
            html = self.notes.mark(value)
        else:  # TaskListMarker
            state = ' checked="" aria-label="Done"' if value else ' aria-label="To do"'
            html = f'<input type="checkbox" disabled=""{state}> '
        self.out.append(html)

    def start(self, tag: Any, place: Any) -> None:
        name: str
        data: Any
        name, data = (tag, None) if tag.__class__ is str else next(iter(tag.items()))
        begin: int = place["start"]
        if name == "Paragraph":
            if self.open and self.open[-1].kind == "Item":
                self.open[-2].loose = True
            self.push_block(Block(name, begin, 1), "<p>", "</p>")
        elif name in _SIMPLE:
            self.push_inline(f"<{_SIMPLE[name]}>", f"</{_SIMPLE[name]}>")
        elif name == "Link":
            self.start_link(data)
        elif name == "Image":
            self.alts.append((self.out, data))
            self.out = []
        elif name == "Item":
            shown = len(self.closers) <= DEEPEST
            self.push_block(Block(name, begin, int(shown)), "<li>" * shown, "</li>" * shown)
        elif name == "List":
            self.start_list(data, begin)
        elif name == "Heading":
            level = data["level"].lower()
            self.push_block(Block(name, begin, 1), f"<{level}>", f"</{level}>")
        elif name == "CodeBlock":
            self.code = []
            info = data["Fenced"] if data.__class__ is dict else ""
            self.push_block(
                Block("Fence" if data.__class__ is dict else "Indented", begin, 3, info=unmask(info)), "", ""
            )
        elif name == "BlockQuote":
            self.start_quote(data, begin)
        elif name.startswith("Table"):
            self.start_table(name, data, begin)
        elif name == "HtmlBlock":
            self.push_block(Block(name, begin, 1), '<p class="raw-html">', "</p>")
        else:  # FootnoteDefinition
            self.push_block(Block(name, begin, 0), "", "")
            self.footnotes.append((self.out, data))
            self.out = []

    def start_link(self, data: dict[str, str]) -> None:
        url = data["dest_url"]
        if data["link_type"] == "Email":
            url = f"mailto:{url}"
        self.links += 1
        if self.alts:
            self.closers.append("")
        elif is_web_address(url := unmask(url)):
            self.push_inline(link_open(url, unmask(data["title"])), "</a>")
        else:
            self.push_inline("<span>", "</span>")

    def start_list(self, first: int | None, begin: int) -> None:
        shown = len(self.closers) < DEEPEST
        number = f' start="{first}"' if first is not None and first != 1 else ""
        tag = "ul" if first is None else "ol"
        self.push_block(
            Block("List", begin, int(shown)),
            f"<{tag}{number}>" * shown,
            f"</{tag}>" * shown,
        )

    def start_quote(self, alert: str | None, begin: int) -> None:
        shown = len(self.closers) < DEEPEST
        if alert is None:
            self.push_block(
                Block("BlockQuote", begin, int(shown)),
                "<blockquote>" * shown,
                "</blockquote>" * shown,
            )
            return
        opening = f'<blockquote class="markdown-alert markdown-alert-{alert.lower()}">'
        opening += f'<p class="markdown-alert-title">{alert}</p>'
        self.push_block(Block("BlockQuote", begin, int(shown)), opening * shown, "</blockquote>" * shown)

    def start_table(self, name: str, data: Any, begin: int) -> None:
        if name == "Table":
            self.aligns.append(data)
            self.in_body = False
            opening = '<div class="table-scroll" tabindex="0"><table>'
            self.push_block(Block(name, begin, 3), opening, "</table></div>")
        elif name == "TableCell":
            align = _CELL_CLASSES[self.aligns[-1][self.cell]] if self.cell < len(self.aligns[-1]) else ""
            self.cell += 1
            tag = "th" if self.in_head else "td"
            self.push_inline(f"<{tag}{align}>", f"</{tag}>", always=True)
        else:
            self.cell = 0
            self.in_head = name == "TableHead"
            opening = "<thead><tr>" if self.in_head else "<tr>" if self.in_body else "<tbody><tr>"
            self.in_body = not self.in_head
            self.push_block(Block(name, begin, 1), opening, "</tr></thead>" if self.in_head else "</tr>")

    def end(self, name: str, place: Any) -> None:
        if name == "Image":
            self.end_image()
        elif name in _SIMPLE or name == "TableCell":
            self.out.append(self.closers.pop())
        elif name == "Link":
            self.links -= 1
            self.out.append(self.closers.pop())
        elif name == "CodeBlock":
            self.end_code(place)
        elif name == "FootnoteDefinition":
            outer, label = self.footnotes.pop()
            self.notes.texts.setdefault(label.casefold(), "".join(self.out))
            self.out = outer
            self.pop_block()
        else:
            if name == "Table":
                self.aligns.pop()
                if self.in_body:
                    self.out.append("</tbody>")
                self.in_body = False
            elif name == "HtmlBlock" and self.out[-1].endswith("\n"):
                self.out[-1] = self.out[-1].removesuffix("\n")
            self.pop_block()

    def end_image(self) -> None:
        alt = "".join(self.out)
        self.out, data = self.alts.pop()
        url, title = unmask(data["dest_url"]), unmask(data["title"])
        if self.alts:
            self.out.append(alt)
        elif is_web_address(url) and not self.links:
            self.out += link_open(url, title), escape(alt or url, quote=False), "</a>"
        else:
            self.out.append(escape(alt, quote=False))

    def end_code(self, place: Any) -> None:
        block = self.open[-1]
        code = unmask("".join(self.code or ())).removesuffix("\n")
        self.code = None
        block.closed = self.is_closed(block, place)
        is_open = self.growing and not block.closed and place["end"] >= self.last
        if language_of(block.info).lower() == "math" and not is_open:
            self.out += "<p>", math_html(code, display=True), "</p>"
        else:
            lines = escape(code, quote=False) if is_open else self.colour(code, block.info)
            self.out += code_open(block.info), lines, CODE_CLOSE
        self.pop_block()

    def is_closed(self, block: Block, place: Any) -> bool:
        source = self.encoded[place["start"] : place["end"]].rstrip()
        first, newline, rest = source.partition(b"\n")
        last = _FENCE.match(rest[rest.rfind(b"\n") + 1 :])
        if block.kind != "Fence" or not newline or not last:
            return False
        mark = last[1]
        return first.startswith(mark[:1]) and len(mark) >= len(first) - len(first.lstrip(mark[:1]))

    def push_inline(self, opening: str, closing: str, *, always: bool = False) -> None:
        if (len(self.closers) >= DEEPEST + 2 and not always) or self.alts:
            opening = closing = ""
        self.out.append(opening)
        self.closers.append(closing)

    def push_block(self, block: Block, opening: str, closing: str) -> None:
        depth = len(self.open)
        if block.kind == "List":
            self.lists.append(block)
        del self.spine[depth:]
        self.spine.append(block)
        self.open.append(block)
        self.out.append(opening)
        self.closers.append(closing)

    def pop_block(self) -> None:
        self.open.pop()
        self.out.append(self.closers.pop())
        if not self.open:
            self.blocks.append("".join(self.out))
            self.out = []


def _loosened(events: Iterator[tuple[Any, Any]], loose: tuple[bool, ...]) -> Iterator[tuple[Any, Any]]:
    """Adds the paragraphs that the items of a loose list have. `loose` says it of the first lists."""
    inline = {
        "Text",
        "Code",
        "InlineMath",
        "DisplayMath",
        "InlineHtml",
        "FootnoteReference",
        "TaskListMarker",
    }
    lists = 0
    stack: list[str] = []  # block kinds; "LooseItem" for an item that needs paragraphs
    lists_loose: list[bool] = []
    wrapped = False
    for event, place in events:
        name, value = (event, "") if event.__class__ is str else next(iter(event.items()))
        tag: str = (
            value if value.__class__ is str else next(iter(value), "") if name in ("Start", "End") else ""
        )
        is_inline = name in inline or name in ("SoftBreak", "HardBreak") or tag in _INLINE_TAGS
        if wrapped and not is_inline:
            yield {"End": "Paragraph"}, place
            wrapped = False
        if is_inline and not wrapped and stack and stack[-1] == "LooseItem":
            yield {"Start": "Paragraph"}, place
            wrapped = True
        yield event, place
        if is_inline:
            continue
        if name == "Start":
            if tag == "List":
                lists_loose.append(lists < len(loose) and loose[lists])
                lists += 1
            stack.append("LooseItem" if tag == "Item" and lists_loose[-1] else tag)
        elif name == "End":
            stack.pop()
            if tag == "List":
                lists_loose.pop()


_INLINE_TAGS = {*_SIMPLE, "Link", "Image"}
