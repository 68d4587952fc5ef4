"""The program that colours code. It runs in its own process and may end at any moment (`colours` starts it).

Pygments' lexers are regular expressions by many authors. Some take exponential time for a few chosen letters,
and Python's engine blocks its whole process meanwhile. So the kernel ends this process when a job has used
its CPU time. It imports Pygments alone: no Django, no environment, no database.

Input is one line of JSON, `{"language", "code"}`. Output is one line of JSON: the HTML, or null if the code
cannot be coloured.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from html import escape
from typing import Any

from pygments.token import STANDARD_TYPES

LOADING_SECONDS = 2.0  # of CPU, for the first use of a language: importing its module takes 2 to 300 ms
COLOURING_SECONDS = 0.25  # of CPU; 40 lines take 2.4 ms
MEMORY_BYTES = 512 * 1024 * 1024

# Pygments' short class names, except those without a style: names, punctuation, blanks.
HIGHLIGHT_CLASSES = frozenset(STANDARD_TYPES.values()) - {"", "n", "nx", "p", "w", "x", "l", "ld", "g", "esc"}


def coloured(language: str, code: str) -> str | None:
    """Returns the lines of `code` as HTML with Pygments' short classes; None if Pygments fails or loses any
    character."""
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    _limit(LOADING_SECONDS)
    try:
        lexer = get_lexer_by_name(language, stripnl=False, ensurenl=True)
    except ClassNotFound:
        return None
    _limit(COLOURING_SECONDS)
    out: list[str] = []
    name, run = "", ""  # neighbours of one class
    values: list[str] = []
    for _, token, value in lexer.get_tokens_unprocessed(code + "\n"):
        if not value:  # at the end it would hide the line end, which was added here and is removed again
            continue
        values.append(value)
        if (next_name := _CLASS_OF[token]) == name:
            run += value
        else:
            out.append(_span(name, run))
            name, run = next_name, value
    out.append(_span(name, run.removesuffix("\n")))
    _limit(0)
    return "".join(out) if "".join(values) == code + "\n" else None


def _limit(seconds: float) -> None:
    """Lets the kernel end the process after so many seconds of CPU time from now on; 0 removes the limit."""
    signal.setitimer(signal.ITIMER_PROF, seconds)


def _span(name: str, text: str) -> str:
    text = escape(text, quote=False)
    return f'<span class="{name}">{text}</span>' if name and text else text


class _Classes(dict[Any, str]):  # keys are Pygments' token types, whose class is private
    def __missing__(self, token: Any) -> str:
        kind = token
        while kind not in STANDARD_TYPES and kind.parent is not None:
            kind = kind.parent
        name = STANDARD_TYPES.get(kind, "")
        self[token] = name if name in HIGHLIGHT_CLASSES else ""
        return self[token]


_CLASS_OF = _Classes()


def main() -> None:
    """Runs until the input ends, which happens when the server ends, also after a kill."""
    # Service managers and terminals signal the whole group. The server decides when this process ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.nice(5)  # pages come first
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin.buffer:
        job = json.loads(line)
        try:
            html = coloured(job["language"], job["code"])
        except Exception:  # noqa: BLE001 - a lexer's own error, or no memory: the code stays plain
            html = None
        _limit(0)
        sys.stdout.buffer.write(json.dumps(html).encode() + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
