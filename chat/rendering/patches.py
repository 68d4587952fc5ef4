"""The smallest htmx swaps that turn one sanitised HTML into a later state of it.

A reply grows at its right edge: inside the last element of the last element of the last block. That chain is
the spine; in HTML it is the run of end tags at the very end. Most often the new HTML has the old one, less
these end tags, as its beginning, and then only the rest is sent, to where it belongs on the spine.

All patches of one list address the page as it was before the first of them, and mean the same when they are
applied one by one: htmx finds all targets of a message before it swaps, other appliers do not.
"""

import re
from difflib import SequenceMatcher
from itertools import pairwise
from typing import NamedTuple


class Patch(NamedTuple):
    """One htmx 4 swap inside a message's body.

    `swap` is "append", "outerHTML", "before" or "delete"; `path` a selector relative to the body's element,
    "" being the body itself; `html` safe HTML, or escaped text alone.
    """

    swap: str
    path: str
    html: str


def spine_path(depth: int) -> str:
    """The selector of the element `depth` levels down the spine."""
    return " ".join(["> :last-child"] * depth)


def split_closers(html: str) -> tuple[str, list[str]]:
    """Take off the end tags that close the spine; a formula counts as closed, however it ends."""
    closers: list[str] = []
    end = len(html)
    while html[end - 1 : end] == ">" and (tag := _CLOSER.fullmatch(html, html.rfind("<", 0, end), end)):
        closers.append(tag.group())
        end = tag.start()
    return html[:end], closers[::-1]


def without_closers(html: str, count: int) -> str:
    """Take off the last `count` end tags."""
    return html[: len(html) - sum(map(len, split_closers(html)[1][-count:]))] if count else html


def spine_starts(html: str) -> list[int]:
    """Where each element of the spine starts in `html`, outermost first."""
    chain: list[int] = []
    depth = end = 0
    for tag in _TAG.finditer(html):
        if tag.start() > end or not tag["close"]:  # what stands before is not at the edge
            del chain[depth:]
        end = tag.end()
        if tag["close"]:
            depth -= 1
        elif tag["name"] not in _VOID:
            chain.append(tag.start())
            depth += tag["name"] is not None
    if end < len(html):
        del chain[depth:]
    return chain


def split_elements(html: str) -> list[str]:
    """The top-level elements of `html`."""
    starts: list[int] = []
    depth = 0
    for tag in _TAG.finditer(html):
        if tag["close"]:
            depth -= 1
            continue
        if not depth:
            starts.append(tag.start())
        depth += tag["name"] is not None and tag["name"] not in _VOID
    return [html[start:end] for start, end in pairwise([*starts, len(html)])]


def grow(old: str, new: str, fixed: int = 0) -> list[Patch] | None:
    """Patches for the last elements of a body, from `old` to `new`.

    The first `fixed` characters of both only stand for elements around. None if these would have to change.
    """
    if old == new:
        return []
    shown, closers = split_closers(old)
    if new.startswith(shown):
        return _swaps(new[len(shown) :], len(closers), "append")
    same = _common_prefix(old, new)
    starts = spine_starts(old)
    level = sum(start <= same for start in starts) - 1
    if level >= 0 and starts[level] >= fixed:
        return _swaps(new[starts[level] :], level, "outerHTML")
    return None if fixed else replace_blocks(split_elements(old), split_elements(new), from_end=True)


def replace_blocks(old: list[str], new: list[str], *, from_end: bool = False) -> list[Patch]:
    """Patches from one list of top-level elements to another that touch only what differs.

    With `from_end`, `old` are only the last elements of the body. Paths count from the side that the
    patches come to last, so that one patch does not move the target of another.
    """
    patches: list[Patch] = []

    def path(index: int) -> str:
        return f"> :nth-last-child({len(old) - index})" if from_end else f"> :nth-child({index + 1})"

    for kind, i, i_end, j, j_end in reversed(_differences(old, new)):
        html = "".join(new[j:j_end])
        if kind == "insert":
            at_end = i == len(old)
            patches.append(Patch("append", "", html) if at_end else Patch("before", path(i), html))
            continue
        first = i if kind == "delete" else i + 1
        patches += (Patch("delete", path(index), "") for index in reversed(range(first, i_end)))
        if kind == "replace":
            patches.append(Patch("outerHTML", path(i), html))
    return patches[::-1] if from_end else patches


_TAG = re.compile(r"<math\b.*?</math>|<(?P<close>/?)(?P<name>[a-z][a-z0-9]*)[^>]*>", re.DOTALL)
_CLOSER = re.compile(r"</(?!math>)[a-z][a-z0-9]*>")
_VOID = frozenset({"br", "hr", "img", "input"})


def _swaps(html: str, depth: int, first: str) -> list[Patch]:
    """Cut `html`, which goes on inside the spine at `depth`, at each end tag that closes a level of it.

    The first piece takes the place of the next element down the spine if `first` is "outerHTML".
    """
    patches: list[Patch] = []
    inner = begin = 0
    level = depth
    for tag in _TAG.finditer(html):
        if not tag["close"]:
            inner += tag["name"] is not None and tag["name"] not in _VOID
        elif inner:
            inner -= 1
        else:
            patches += _swap(html[begin : tag.start()], level, first if level == depth else "append")
            level -= 1
            begin = tag.end()
    return patches + _swap(html[begin:], level, first if level == depth else "append")


def _swap(html: str, level: int, swap: str) -> list[Patch]:
    if swap == "outerHTML":
        return [Patch(swap if html else "delete", spine_path(level + 1), html)]
    return [Patch(swap, spine_path(level), html)] if html else []


def _differences(old: list[str], new: list[str]) -> list[tuple[str, int, int, int, int]]:
    """What differs, as `SequenceMatcher` says it; it only sees what is between equal beginnings and ends."""
    shorter = min(len(old), len(new))
    head = next((i for i in range(shorter) if old[i] != new[i]), shorter)
    tail = next((i for i in range(shorter - head) if old[-1 - i] != new[-1 - i]), shorter - head)
    a, b = old[head : len(old) - tail], new[head : len(new) - tail]
    if len(a) == len(b):
        return [("replace", i, i + 1, i, i + 1) for i in range(head, head + len(a)) if old[i] != new[i]]
    matches = SequenceMatcher(None, a, b, autojunk=False).get_opcodes()
    return [(kind, i + head, k + head, j + head, m + head) for kind, i, k, j, m in matches if kind != "equal"]


def _common_prefix(a: str, b: str) -> int:
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a.startswith(b[:middle]):
            low = middle
        else:
            high = middle - 1
    return low
