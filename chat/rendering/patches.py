"""The smallest htmx swaps that turn one sanitised HTML into a later state of it.

A reply grows at its right edge: inside the last element of the last element of the last block. That chain is
the spine; in HTML it is the run of end tags at the very end. Most often the new HTML has the old one, less
these end tags, as its beginning, and then only the rest is sent, to where it belongs on the spine.

All patches of one list address the page as it was before the first of them, and mean the same when they are
applied one by one: htmx finds all targets of a message before it swaps, other appliers do not.
"""

import re
from bisect import bisect_left
from collections import Counter
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
    """What differs, as `difflib` says it, in n log n: blocks that stand in both once, and in the same order,
    stay; and so do those beside them and at the ends that are equal."""
    found: list[tuple[str, int, int, int, int]] = []
    i = j = 0
    for i_end, j_end in [*_anchors(old, new), (len(old), len(new))]:
        while i < i_end and j < j_end and old[i] == new[j]:
            i, j = i + 1, j + 1
        k, m = i_end, j_end
        while k > i and m > j and old[k - 1] == new[m - 1]:
            k, m = k - 1, m - 1
        if k - i == m - j:
            found += (("replace", i + n, i + n + 1, j + n, j + n + 1) for n in range(k - i))
        else:
            found.append(("replace" if k > i and m > j else "delete" if k > i else "insert", i, k, j, m))
        i, j = i_end, j_end
    return [one for one in found if old[one[1] : one[2]] != new[one[3] : one[4]]]


def _anchors(old: list[str], new: list[str]) -> list[tuple[int, int]]:
    """The longest rising row of places of blocks that both lists have once (patience sorting)."""
    in_old, in_new = Counter(old), Counter(new)
    places = {block: j for j, block in enumerate(new) if in_new[block] == 1 == in_old[block]}
    pairs = [(i, places[block]) for i, block in enumerate(old) if block in places]
    ends: list[int] = []  # the smallest last place in `new` of a row of each length
    rows: list[int] = []  # and the pair that it is of
    before: list[int] = []  # the pair that comes before each pair in its row
    for number, (_, j) in enumerate(pairs):
        length = bisect_left(ends, j)
        before.append(rows[length - 1] if length else -1)
        ends[length : length + 1] = [j]
        rows[length : length + 1] = [number]
    chain: list[tuple[int, int]] = []
    number = rows[-1] if rows else -1
    while number >= 0:
        chain.append(pairs[number])
        number = before[number]
    return chain[::-1]


def _common_prefix(a: str, b: str) -> int:
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a.startswith(b[:middle]):
            low = middle
        else:
            high = middle - 1
    return low
