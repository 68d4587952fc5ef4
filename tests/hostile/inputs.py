"""Expensive text for careless code, as units to be repeated, and the measurement of its cost."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator

LONG = bool(os.environ.get("STEADY_LONG_FAULTS"))  # everything, at full length; minutes

# Text that some rule of ours or of the parser searches for, and text that ends the search early or late.
# ruff: noqa: SIM905
ATOMS = [
    *"a|1|[|]|(|)|![|`|```|~~~|$|$$|*|**|_|~~|#|:|.|;|<|=|{|}|^|!|/|'|@|+|&|,|…".split("|"),
    *r"\( \) \[ \] \ \| x\ :// %2 &amp; <a <!-- [^a] [a]: http://a.b www. a@b.c".split(),
    *(
        "- ",
        "> ",
        "* ",
        "1. ",
        "# ",
        " é",
        "- [ ] ",
        "- * ",
        "[a]: /b",
        '"',
        "|",
        "|-|",
        " ",
        "\t",
        "\n",
        "\n\n",
    ),
    *("\n\n", "  ", "  \n", "\r", "\u0301", "\n    ", "\n- ", "\n> ", "\n|", "\n```", "\n```\n", "\n$$\n"),
    *("> ```\n\n", "- ```\n\n", "\x00"),
]

# Found by earlier runs.
FOUND = {
    "an address with trailing dots": ("http://a.b/c", "."),
    "an address with trailing entities": ("http://a.b/c", "&amp;"),
    "an address with trailing brackets": ("http://a.b/c", ".)"),
    "spaces": ("", " "),
    "spaces with an end": ("x ", " "),
    "definitions on one line": ("", "[a]:"),
    "prices": ("", "$1"),
    "escaped pipes": ("", "\\|"),
    "display formulas on one line": ("", "$$ a"),
    "display formulas on a line of markers": ("- " * 500, "$$ a"),
    "fences in quotations": ("", "> ```\n\n"),
    "backticks": ("", "`"),
    "quotations in quotations and a word of another script": ("é ", ">"),
}


def grown(unit: str, size: int, before: str = "") -> str:
    return (before + unit * (size // len(unit) + 1))[:size]


def units(seed: int, count: int) -> Iterator[str]:
    """Yields each atom, then combinations; in a short run every tenth of each, and others for each seed."""
    step = 1 if LONG else 10
    yield from ATOMS[seed % step :: step]
    source = random.Random(seed)
    for _ in range(count // step):
        yield "".join(source.choice(ATOMS) for _ in range(source.randint(2, 4)))


def once(work: Callable[[str], object], text: str) -> float:
    """Returns the CPU seconds of this thread, independent of the load of the machine."""
    began = time.thread_time()
    work(text)
    return time.thread_time() - began


def cost(work: Callable[[str], object], text: str) -> float:
    """Returns the least of three runs: a cold cache and a new page of memory cost too."""
    return min(once(work, text) for _ in range(3))


def assert_linear(work: Callable[[str], object], unit: str, size: int, before: str = "") -> None:
    """Allows eight times the time for four times the input: linear work takes four, quadratic sixteen. Very
    cheap work is ignored."""
    text, longer = grown(unit, size, before), grown(unit, 4 * size, before)
    if once(work, longer) < 0.03:
        return
    small, large = cost(work, text), cost(work, longer)
    assert large <= max(0.03, 8 * small), f"{before[:40]!r} + n * {unit!r}: {small:.3f} s, then {large:.3f} s"
