"""Where the window of a growing reply begins, and the lines that open its surrounding blocks again.

`incremental` describes the window. The functions here read source and HTML, and keep no state.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from chat.rendering.patches import spine_starts, split_closers, without_closers
from chat.rendering.sanitise import sanitise
from chat.rendering.writer import Block, Notes, write

_MOST_CONTAINERS = 24
_ITEM_MARK = re.compile(r"(?:[-+*]|\d{1,9}[.)])(?: {1,4}(?=[^ \n])| |(?=\n))")
_QUOTE_MARK = re.compile(r"> ?")
_ENDED_LEAVES = ("Rule", "Heading")
_ENDED_BY_BLANK = ("Paragraph", "Table")


@dataclass(slots=True)
class Container:
    """An open block around the window: its start in source and HTML, and the line that opens it again."""

    kind: str
    levels: int
    line: int  # start of its first line, in characters after the start of the top-level block
    html: int  # start of its HTML, in characters after the start of the top-level block's HTML
    lead: str  # the markers of it and its parents on that line; for a table or a fence the whole lines
    loose: bool = False


@dataclass(slots=True)
class Opening:
    """The lines that open the containers again, and the HTML of these lines alone, still open."""

    source: str = ""
    html: str = ""
    loose: tuple[bool, ...] = ()


@dataclass(frozen=True, slots=True)
class Cut:
    """The start of the new window in source and HTML, and the number of spine blocks around it."""

    source: int
    html: int
    outer: int


def context_of(text: str, leaf: Block) -> str:
    """Returns the kind of block that the next line continues, as far as `visible` needs it."""
    if leaf.kind == "Fence":
        return "" if leaf.closed else "Fence"
    if not text[line_start(text, len(text) - 1) :].strip(" \t>\n"):
        return ""
    return "Table" if leaf.kind.startswith("Table") else leaf.kind


def cut_of(text: str, html: str, spine: list[Block]) -> Cut | None:
    """Returns the finished part of complete lines: all before the line that starts the deepest last block, or
    more."""
    leaf = spine[-1]
    last_line = line_start(text, len(text) - 1)
    if spine[0].kind in _ENDED_BY_BLANK and not text[last_line:].strip():
        return Cut(len(text), len(html), 0)
    if spine[0].kind == "FootnoteDefinition":
        return Cut(line_start(text, spine[0].start), len(html), 0)
    if leaf.kind == "Fence" and not leaf.closed and "\n" in text[leaf.start : last_line]:
        shown = split_closers(html)[0]
        line_html = max(shown.rfind("<code>") + len("<code>"), shown.rfind("\n") + 1)
        return Cut(last_line, line_html, len(spine))
    if leaf.kind in ("TableRow", "Fence", *_ENDED_LEAVES) and (leaf.kind != "Fence" or leaf.closed):
        outer = spine[:-1]
        end = text.find("\n", len(text.rstrip(" \t>\n"))) + 1 if outer else len(text)
        return Cut(end, len(without_closers(html, sum(block.levels for block in outer))), len(outer))
    if leaf.kind == "TableHead":
        leaf = spine[-2]
    line = line_start(text, leaf.start)
    count = next(i for i, block in enumerate(spine) if block.start >= line)
    level = sum(block.levels for block in spine[:count])
    starts = spine_starts(html)
    if level >= len(starts) or not spine[count].levels or count > _MOST_CONTAINERS:
        return None
    return Cut(line, starts[level], count)


def line_start(text: str, index: int) -> int:
    """Returns the start of the line that contains `index`."""
    return text.rfind("\n", 0, max(index, 0)) + 1


def lead_of(text: str, block: Block) -> str | None:
    """Returns the source that opens a container again: its markers, or the first lines of a table or a
    fence."""
    line = line_start(text, block.start)
    if block.kind == "Fence":
        return text[line : text.find("\n", line) + 1]
    if block.kind == "Table":
        header = text.find("\n", line) + 1
        delimiters = text[header : text.find("\n", header) + 1]
        return text[line:header] + delimiters * 2
    if block.kind == "List":
        return ""
    return item_lead(text, block) if block.kind in ("Item", "BlockQuote") else None


def item_lead(text: str, block: Block) -> str | None:
    """Returns the first line of an item or a quotation up to the end of its marker, if it has no tab."""
    mark = (_QUOTE_MARK if block.kind == "BlockQuote" else _ITEM_MARK).match(text, block.start)
    if mark is None:
        return None
    lead = text[line_start(text, block.start) : mark.end()]
    lead = lead if lead[-1] == " " else lead + " "
    return None if "\t" in lead else lead


def opening_of(containers: list[Container], lead: str | None) -> Opening | None:
    """Returns the lines that open `containers` again. `lead` is that of the item in the window, which an open
    list needs.

    Each container gets a heading, which leaves tight lists tight. A table gets its delimiter row.
    """
    if not containers:
        return Opening()
    lines: dict[int, str] = {}
    for container in containers:
        if container.lead:
            whole = container.kind in ("Table", "Fence")
            lines[container.line] = container.lead if whole else container.lead + "# x\n"
    if containers[-1].kind == "List":
        if not lead:
            return None
        lines[-1] = lead + "# x\n"
    source = "".join(lines.values())
    loose = tuple(container.loose for container in containers if container.kind == "List")
    html = _opening_html(source, sum(container.levels for container in containers))
    return Opening(source, html, loose) if html else None


@lru_cache(maxsize=256)
def _opening_html(source: str, levels: int) -> str:
    blocks = write(source, Notes(), growing=True).blocks
    return without_closers(sanitise(blocks[0]), levels) if len(blocks) == 1 else ""
