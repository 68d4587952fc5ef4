"""Computes the smallest htmx swaps that turn sanitised HTML into a later state of it.

A reply grows at its right edge: inside the last element of the last element of the last block. This chain is
the spine; in HTML it is the sequence of end tags at the very end. Usually the new HTML begins with the old
one without these end tags. Then only the rest is sent, to its place on the spine.

All patches of one list address the page before the first of them, and have the same effect if they are
applied one by one: htmx finds all targets of a message before it swaps, other clients do not.
"""

import re
from bisect import bisect_left
from collections import Counter
from itertools import pairwise
from typing import NamedTuple


class Patch(NamedTuple):
    """One htmx 4 swap inside a message's body.

    `swap` is "append", "outerHTML", "before" or "delete". `path` is a selector relative to the body's
    element, "" for the body itself. `html` is safe HTML, or escaped text.
    """

    swap: str
    path: str
    html: str


def spine_path(depth: int) -> str:
    """Returns the selector of the element `depth` levels down the spine."""
    return " ".join(["> :last-child"] * depth)


def split_closers(html: str) -> tuple[str, list[str]]:
    """Removes the end tags that close the spine. A formula counts as closed, whatever it ends with."""
    closers: list[str] = []
    end = len(html)
    while html[end - 1 : end] == ">" and (tag := _CLOSER.fullmatch(html, html.rfind("<", 0, end), end)):
        closers.append(tag.group())
        end = tag.start()
    return html[:end], closers[::-1]


def without_closers(html: str, count: int) -> str:
    """Removes the last `count` end tags."""
    return html[: len(html) - sum(map(len, split_closers(html)[1][-count:]))] if count else html


def spine_starts(html: str) -> list[int]:
    """Returns the start of each element of the spine in `html`, outermost first."""
    chain: list[int] = []
    depth = end = 0
    for tag in _TAG.finditer(html):
        if tag.start() > end or not tag["close"]:  # text before it is not at the edge
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
    """Returns the top-level elements of `html`."""
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
    """Returns patches for the last elements of a body, from `old` to `new`.

    The first `fixed` characters of both only stand for surrounding elements. Returns None if these would have
    to change.
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
    """Returns patches from one list of top-level elements to another that change only the differences.

    With `from_end`, `old` contains only the last elements of the body. Paths count from the side that is
    patched last, so that one patch does not move the target of another.
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


# The sanitiser writes `<` and `>` in attributes as entities.
_TAG = re.compile(
    r"<math\b[^<]*+(?:<(?!/?math\b)[^<]*+)*+</math>|<(?P<close>/?)(?P<name>[a-z][a-z0-9]*)[^<>]*>"
)
_CLOSER = re.compile(r"</(?!math>)[a-z][a-z0-9]*>")
_VOID = frozenset({"br", "hr", "img", "input"})


def _swaps(html: str, depth: int, first: str) -> list[Patch]:
    """Cuts `html`, which continues inside the spine at `depth`, at each end tag that closes a level of it.

    The first piece replaces the next element down the spine if `first` is "outerHTML".
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
    """Returns the differences in `difflib`'s form, in n log n. Blocks that both lists contain once and in the
    same order stay, as do equal ones beside them and at the ends."""
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
    """Returns the longest increasing sequence of positions of blocks that both lists contain once (patience
    sorting)."""
    in_old, in_new = Counter(old), Counter(new)
    places = {block: j for j, block in enumerate(new) if in_new[block] == 1 == in_old[block]}
    pairs = [(i, places[block]) for i, block in enumerate(old) if block in places]
    ends: list[int] = []  # the smallest last position in `new` of a sequence of each length
    rows: list[int] = []  # and its pair
    before: list[int] = []  # the pair that precedes each pair in its sequence
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
