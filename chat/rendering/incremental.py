"""Renders a growing reply as the smallest HTML patches.

The source is cut at the last line that starts an open block. Everything before the cut is finished and is
never parsed again. The rest, the *window*, is mostly one paragraph, one item or one line of code. If the open
block lies inside other blocks (an item in a list in a quotation), the window alone does not parse as in its
place. So it gets an *opening*: a few lines that open the same containers again, whose HTML is cut off. The
cut and the opening are those of `window`.

Finished blocks do not change until `finish`. It corrects what only the whole source shows: reference links
and footnotes that were defined later.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape

from pyromark import reference_definitions

from chat.rendering.code import CODE_CLOSE, code_open, highlight
from chat.rendering.colours import PendingColours, missing_colours
from chat.rendering.markdown import render_blocks
from chat.rendering.math import unclosed_formula
from chat.rendering.patches import (
    Patch,
    grow,
    replace_blocks,
    spine_path,
    spine_starts,
    split_closers,
    split_elements,
)
from chat.rendering.repair import visible
from chat.rendering.sanitise import sanitise
from chat.rendering.source import clean_source, split_unfinished
from chat.rendering.window import (
    Container,
    Cut,
    Opening,
    context_of,
    cut_of,
    item_lead,
    lead_of,
    line_start,
    opening_of,
)
from chat.rendering.writer import Block, Notes, Written, write

__all__ = ["IncrementalRenderer", "Patch"]

# A window that weighs more than this is rendered again only after it has grown by a part of its weight. So
# the sum of all renderings stays linear, also for one long paragraph. A mark costs as much as 8 letters.
_LIGHT, _HEAVY = 4_096, 32_768
_MARKS = ("[", "*", "_", "`", "$", "<", ">", "~", "|", "\\", "!", "- ", "+ ", ". ", ") ")
_MUCH_TEXT = 24_000  # takes about 10 ms

# The limit for one reply: parsed characters, counted where many are parsed at once. Above it the page waits
# for more text, or for the end. Ordinary replies need a tenth.
_FREE_WORK, _WORK_PER_CHARACTER = 1_000_000, 64

# Letters that no following code point joins, except an accent, and marks without meaning inside a line.
_PLAIN = re.compile(
    "[A-Za-z0-9\u00c0-\u02ff\u0370-\u0481\u048a-\u052f\u3001-\ud7a3\uff01-\uffef ,;'\"()?%–—’“”.-]*\\Z"
)
_MAY_BE_ADDRESS = re.compile(r"https?|www|//")


class IncrementalRenderer:
    """Renders one reply while it grows. Not thread-safe. One renderer per reply, shared by all viewers of the
    same states.

    `patches` and `finish` change the shown state. `snapshot` returns that state for a new viewer. All patches
    of one call may go in one message. The cost is linear in the length of the reply, in CPU and bytes.
    """

    def __init__(self, *, id_prefix: str = "") -> None:
        self._id_prefix = id_prefix
        self._fed: list[str] = []
        self._half = ""  # of a character
        self._pending: list[str] = []
        self._notes = Notes(id_prefix)
        self._definitions: dict[str, tuple[str, str]] = {}
        self._colours: dict[tuple[str, str], str] = {}
        # By the first block that may contain the code.
        self._late: dict[tuple[str, str, int], PendingColours] = {}
        self._finished: list[str] = []  # HTML of top-level blocks
        self._source_before = _Pieces()  # source of the open block before the window
        self._html_before = _Pieces()  # HTML of the open block before the window
        self._containers: list[Container] = []
        self._opening = Opening()
        self._window = ""
        self._complete = 0  # characters of the window that are parsed for structure
        self._rendered = 0  # characters of the window when it was last rendered
        self._least_growth = 0  # required before the window is rendered again
        self._tail = ""  # HTML of the window, with the end tags of the containers that `_closers` has not
        self._closers = ""  # while plain letters follow: the end tags after them
        self._end = ""  # and the path to their element
        self._context = ""  # kind of the block at the end
        self._plain = False
        self._blanks = ""  # at the end of the window, not shown yet
        self._length = 0  # of the whole input
        self._work = 0  # done so far

    @property
    def source(self) -> str:
        """All fed text, unchanged."""
        return "".join(self._fed)

    def takes_long(self, length: int) -> bool:
        """Returns whether `patches` may take more than a few milliseconds after so many characters are
        fed."""
        return len(self._window) + sum(map(len, self._pending)) + length > _MUCH_TEXT

    def feed(self, text: str) -> None:
        """Adds source text. Only stores it."""
        self._fed.append(text)
        self._length += len(text)
        text, self._half = split_unfinished(self._half + text)
        if text:
            self._pending.append(clean_source(text))

    def patches(self) -> list[Patch]:
        """Returns the smallest patches from the state of the last call to the present one."""
        late = self._recolour() if self._late else []
        if not self._pending:
            return late
        return late + self._take_pending()

    def _take_pending(self) -> list[Patch]:
        new = "".join(self._pending)
        self._pending.clear()
        self._window += new
        if self._plain and self._continues_plainly(new):
            return self._append_plain(new)
        self._end_plain()
        if len(self._window) - self._rendered < self._least_growth or self._is_over_limit():
            return []
        return self._render()

    @property
    def is_empty(self) -> bool:
        """Returns whether nothing was fed yet."""
        return not self._length

    def snapshot(self) -> str:
        """Returns the HTML inside the body after the last call of `patches` or `finish`."""
        return "".join([*self._finished, str(self._html_before), self._tail, self._closers])

    def finish(self) -> list[Patch]:
        """Renders the whole source once and returns the patches from the shown state to it. Finished blocks
        change only where their HTML differs."""
        self._end_plain()
        shown = [*self._finished, *split_elements(str(self._html_before) + self._tail)]
        self._late.clear()
        whole = render_blocks(self.source, id_prefix=self._id_prefix, colour=self._colour)
        self._pending.clear()
        self._late = {(info, code, 0): answer for (info, code, _), answer in self._late.items()}
        self._finished, self._html_before, self._source_before, self._tail = whole, _Pieces(), _Pieces(), ""
        self._containers, self._opening, self._window = [], Opening(), ""
        self._complete = self._rendered = self._least_growth = 0
        finished = max(0, len(shown) - 1)
        if shown[:finished] == whole[:finished]:
            return grow("".join(shown[finished:]), "".join(whole[finished:])) or []
        return replace_blocks(shown, whole)

    def _is_over_limit(self) -> bool:
        return self._work > _FREE_WORK + _WORK_PER_CHARACTER * self._length

    def _spend(self, characters: int) -> None:
        if characters > _LIGHT:
            self._work += characters

    def _continues_plainly(self, new: str) -> bool:
        if self._context == "Fence":
            has_begun = self._window[-len(new) - 1 : -len(new)] not in ("", "\n")
            may_end = (
                "`" in new or "~" in new or ((not has_begun or "\n" in new) and not self._is_plain_code())
            )
            return new.isascii() and not may_end
        recent = self._window[-len(new) - 8 :]
        return _PLAIN.match(new) is not None and _MAY_BE_ADDRESS.search(recent) is None

    def _is_plain_code(self) -> bool:
        """Returns whether the lines of the open fence have no other meaning: the fence is not indented."""
        around = self._containers
        return len(around) == 1 and around[0].kind == "Fence" and around[0].lead.startswith(("`", "~"))

    def _begin_plain(self) -> None:
        """Prepares for letters after the last shown text, if that is the end of the window."""
        text, closers = split_closers(self._tail)
        if self._context == "Fence":
            self._plain = closers[:1] == ["</code>"]
        else:
            self._plain = bool(text) and text.endswith(self._window.rstrip()[-1:])
        if self._plain:
            self._tail, self._closers, self._end = text, "".join(closers), spine_path(len(closers))

    def _end_plain(self) -> None:
        self._plain = False
        self._tail, self._closers = self._tail + self._closers, ""

    def _append_plain(self, new: str) -> list[Patch]:
        """Appends letters to letters and lines of code to lines of code, without the parser."""
        text = self._blanks + new
        shown = text.removesuffix("\n") if self._context == "Fence" else text.rstrip(" ")
        self._blanks = text[len(shown) :]
        html = escape(shown, quote=False)
        self._tail += html
        if "\n" in new:
            self._pass_lines()
        return [Patch("append", self._end, html)] if html else []

    def _pass_lines(self) -> None:
        """Moves all complete lines of code except the last one out of the window."""
        self._complete = self._window.rfind("\n") + 1
        begin = self._window.rfind("\n", 0, self._complete - 1) + 1
        if lines := self._window.count("\n", 0, begin):
            *passed, self._tail = self._tail.split("\n", lines)
            self._html_before.add("\n".join([*passed, ""]))
            self._source_before.add(self._window[:begin])
            self._window = self._window[begin:]
            self._complete -= begin
            self._rendered = self._least_growth = 0

    def _render(self) -> list[Patch]:
        decided = len(self._window) if self._context == "Fence" else unclosed_formula(self._window)
        end = self._window.rfind("\n", 0, decided) + 1
        length = len(self._window)
        move = self._advance(end) if end > self._complete else None
        decided += len(self._window) - length
        if move is None:
            move = _Move(
                self._opening.html, self._html_before, self._html_before.length, self._tail, "", self._tail
            )
        shown = visible(self._window[:decided], self._context)
        html = self._html(shown.text)
        if html.startswith(self._opening.html):
            self._tail = html[len(self._opening.html) :]
            continues = shown.plain and decided == len(self._window)
            self._blanks = self._window[len(self._window.rstrip(" ")) :]
            if self._context == "Fence":
                self._blanks = "\n" if self._window.endswith("\n") else ""
        else:  # the partial line changes the opening: wait for its end
            self._tail, continues = move.rest, False
        self._rendered, self._least_growth = len(self._window), _least_growth(self._window)
        new = move.moved + self._tail
        patches = grow(move.opening + move.tail, move.opening + new, len(move.opening))
        if patches is None:
            self._spend(move.length)
            patches = grow(move.done + move.tail, move.done + new) or []
        if continues:
            self._begin_plain()
        return patches

    def _html(self, source: str) -> str:
        return "".join(self._blocks(self._write(source)))

    def _write(self, source: str) -> Written:
        self._spend(len(self._opening.source) + len(source))
        return write(
            self._opening.source + source,
            self._notes,
            colour=self._colour,
            growing=True,
            loose=self._opening.loose,
            definitions=self._definitions,
        )

    def _blocks(self, written: Written) -> list[str]:
        return [sanitise(block) if block else "" for block in written.blocks]

    @property
    def uncoloured(self) -> list[PendingColours]:
        """Returns the missing colours of its code; `patches` adds them when they are available."""
        return list(self._late.values())

    def _colour(self, code: str, info: str) -> str:
        if html := self._colours.get((info, code)):
            return html
        with missing_colours() as pending:
            html = highlight(code, info)
        if pending:
            self._late[info, code, len(self._finished)] = pending[0]
        else:
            self._colours[info, code] = html
        return html

    def _recolour(self) -> list[Patch]:
        """Patches the finished blocks whose colours became available."""
        changed: set[int] = set()
        for (info, code, begin), answer in list(self._late.items()):
            if not answer.done() or begin == len(self._finished):
                continue
            del self._late[info, code, begin]
            if (html := answer.result()) is None:
                continue
            self._colours[info, code] = html
            plain = code_open(info) + escape(code, quote=False) + CODE_CLOSE
            coloured = code_open(info) + html + CODE_CLOSE
            found = [i for i in range(begin, len(self._finished)) if plain in self._finished[i]]
            for index in found:
                self._finished[index] = self._finished[index].replace(plain, coloured)
            changed.update(found)
            # Code that has changed since is not coloured.
            if not found and plain in str(self._html_before) + self._tail:
                self._late[info, code, len(self._finished)] = answer
        return [
            Patch("outerHTML", f"> :nth-child({index + 1})", self._finished[index])
            for index in sorted(changed)
        ]

    def _advance(self, end: int) -> _Move | None:
        """Parses the complete lines of the window and moves the finished part out of it."""
        while True:
            written = self._write(self._window[:end])
            blocks = self._blocks(written)
            back = self._rewind_to(written, blocks)
            if back is None:
                break
            before = len(self._window)
            self._rewind(back)
            end += len(self._window) - before
        self._complete = end
        if not written.spine:
            return None
        text = self._opening.source + self._window[:end]
        leaf = written.spine[-1]
        self._context = context_of(text, leaf)
        if leaf.start < len(self._opening.source) and leaf.kind != "Fence":
            return None  # only blank lines yet: they may end the innermost container
        cut = cut_of(text, "".join(blocks), written.spine)
        return self._move(cut, text, blocks, written.spine) if cut else None

    def _rewind_to(self, written: Written, blocks: list[str]) -> int | None:
        """Returns the container that must be rendered again as a whole, if any."""
        containers = self._containers
        if not containers:
            return None
        if not "".join(blocks).startswith(self._opening.html):
            return 0
        lists = [i for i, container in enumerate(containers) if container.kind == "List"]
        for i, block in zip(lists, written.lists, strict=False):
            if block.loose and not containers[i].loose:
                return i
        last = len(containers) - 1
        leaf = written.spine[-1]
        still_open = len(written.spine) == last + 1 and leaf.kind == "Fence" and not leaf.closed
        if containers[last].kind == "Fence" and not (still_open and leaf.start < len(self._opening.source)):
            return last
        return None

    def _rewind(self, index: int) -> None:
        """Moves a container and its content back into the window."""
        line = self._containers[index].line
        index = next(i for i, container in enumerate(self._containers) if container.line == line)
        first = self._containers[index]
        opening = opening_of(self._containers[:index], first.lead if first.kind == "Item" else "")
        if opening is None:
            index, first, opening = 0, self._containers[0], Opening()
        self._spend(self._source_before.length + self._html_before.length)
        past, done = str(self._source_before), str(self._html_before)
        self._source_before, self._html_before = _Pieces(past[: first.line]), _Pieces(done[: first.html])
        self._window = past[first.line :] + self._window
        self._tail = done[first.html :] + self._tail
        self._containers = self._containers[:index]
        self._opening = opening

    def _move(self, cut: Cut, text: str, blocks: list[str], spine: list[Block]) -> _Move | None:
        """Moves everything before `cut` out of the window, and builds the opening for the rest."""
        begin, fixed = len(self._opening.source), len(self._opening.html)
        html = "".join(blocks)
        if cut.source <= begin or cut.html < fixed:
            return None
        move = _Move(
            self._opening.html,
            self._html_before,
            self._html_before.length,
            self._tail,
            html[fixed : cut.html],
            html[cut.html :],
        )
        is_new = len(blocks) > 1
        if is_new:
            block_line, block_html = line_start(text, spine[0].start), len(html) - len(blocks[-1])
        else:
            block_line, block_html = begin - self._source_before.length, fixed - self._html_before.length
        containers = self._open_around(cut, text, html, spine, block_line, block_html)
        lead = item_lead(text, spine[cut.outer]) if cut.outer < len(spine) else ""
        opening = opening_of(containers, lead) if containers is not None else None
        if containers is None or opening is None:
            return None
        self._store_definitions(text[begin : cut.source])
        if is_new:
            done = [move.done + blocks[0][fixed:], *blocks[1:-1]]
            self._finished += filter(None, done)
            self._source_before = _Pieces(text[block_line : cut.source])
            self._html_before = _Pieces(html[block_html : cut.html])
        else:
            self._source_before.add(text[begin : cut.source])
            self._html_before.add(move.moved)
        if cut.html == len(html):
            self._finished += filter(None, [str(self._html_before)])
            self._source_before, self._html_before = _Pieces(), _Pieces()
        self._containers, self._opening = containers, opening
        self._window = self._window[cut.source - begin :]
        self._complete -= cut.source - begin
        return move

    def _open_around(
        self, cut: Cut, text: str, html: str, spine: list[Block], block_line: int, block_html: int
    ) -> list[Container] | None:
        """Returns the containers of the new window: the open ones of the old window, and new ones."""
        containers: list[Container] = []
        begin = len(self._opening.source)
        starts: list[int] = []
        level = 0
        for i, block in enumerate(spine[: cut.outer]):
            if block.start < begin and i < len(self._containers):
                self._containers[i].loose |= block.loose
                containers.append(self._containers[i])
            else:
                starts = starts or spine_starts(html)
                lead = lead_of(text, block)
                if lead is None or level >= len(starts) or block.start < begin:
                    return None
                line = line_start(text, block.start) - block_line
                start = starts[level] - block_html
                containers.append(Container(block.kind, block.levels, line, start, lead, block.loose))
            level += block.levels
        return containers

    def _store_definitions(self, source: str) -> None:
        """Stores the reference definitions in finished source."""
        if "]:" in source and not self._opening.source:
            for label, found in reference_definitions(source).items():
                self._definitions.setdefault(label.casefold(), (found["dest"], found["title"] or ""))


class _Pieces:
    """A text that grows at its end."""

    def __init__(self, text: str = "") -> None:
        self._pieces = [text]
        self.length = len(text)

    def add(self, text: str) -> None:
        self._pieces.append(text)
        self.length += len(text)

    def __str__(self) -> str:
        return "".join(self._pieces)


@dataclass(frozen=True, slots=True)
class _Move:
    """The result of a move: the opening and HTML before it, the HTML that left the window, and the HTML that
    stayed."""

    opening: str
    pieces: _Pieces
    length: int  # of them, before the move
    tail: str
    moved: str
    rest: str

    @property
    def done(self) -> str:
        return str(self.pieces)[: self.length]


def _least_growth(window: str) -> int:
    """Returns the number of new characters after which `window` is rendered again."""
    if len(window) * 9 <= _LIGHT:
        return 0
    weight = len(window) + 8 * sum(map(window.count, _MARKS))
    return max(0, weight - _LIGHT) // (4 if weight > _HEAVY else 16)
