"""Puts the marks of cited pages into the HTML of a text.

The Markdown parser gets each mark as one character of a private use area. In the result it becomes a link to
the source, after the surrounding link or inline code if there is one. A mark that would change anything else,
such as one in a code block, is left out: the list under the reply still has its source.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from uuid import UUID

from chat.rendering import dom
from chat.rendering.markdown import render_markdown
from chat.sources import Mark, marked

MOST_TRIED = 5  # marks that are tried one by one
_FIRST = 0xF0000
_PRIVATE = re.compile("[\U000f0000-\U000ffffd]")
# Elements that take no mark, other tags, and marks in running text.
_PIECES = re.compile(
    r"<(?P<name>math|pre|code|a)\b.*?</(?P=name)>|<[^<>\"]*(?:\"[^\"]*\"[^<>\"]*)*>"
    "|[\U000f0000-\U000ffffd]",
    re.DOTALL,
)


def render_cited(source: str, marks: Sequence[Mark], *, id_prefix: str = "") -> str:
    """As `render_markdown`, with a mark at each of these places of the source."""
    plain = render_markdown(source := _PRIVATE.sub("\ufffd", source), id_prefix=id_prefix)
    if not marks:
        return plain
    html = _rendered(source, marks, id_prefix)
    if not _is_like(html, plain):
        marks = [mark for mark in marks[:MOST_TRIED] if _is_like(_rendered(source, [mark], id_prefix), plain)]
        html = _rendered(source, marks, id_prefix)
        if not _is_like(html, plain):
            return plain
    return _PIECES.sub(lambda found: _piece(found[0], marks, id_prefix), html)


def _is_like(html: str, plain: str) -> bool:
    """Returns whether marks, and spaces before them, are all that was added."""
    return _PRIVATE.sub("", html).replace(" ", "") == plain.replace(" ", "")


def _rendered(source: str, marks: Sequence[Mark], id_prefix: str) -> str:
    """Each mark becomes the private character with its place among `marks`."""
    places = [(at, number) for number, (at, _source) in enumerate(marks)]
    return render_markdown(marked(source, places, lambda at: chr(_FIRST + at)), id_prefix=id_prefix)


def _piece(html: str, marks: Sequence[Mark], prefix: str) -> str:
    found = _PRIVATE.findall(html)
    return _PRIVATE.sub("", html) + "".join(_mark(marks[ord(mark) - _FIRST][1], prefix) for mark in found)


def _mark(number: int, prefix: str) -> str:
    target = dom.source(UUID(prefix.partition("-")[0]), number) if prefix else ""
    inner = f'<a href="#{target}">[{number}]</a>' if target else f"[{number}]"
    return f'<sup class="cited">{inner}</sup>'
